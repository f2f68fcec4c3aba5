"""The CustomResourceDefinitions follow the rules of an API server."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from dockerv6.api.crd import EDITOR_SCHEMA, export
from dockerv6.api.kinds import GROUP, KINDS, KindInfo
from dockerv6.api.scheme import MODELS
from scripts.resources_page import page

ALLOWED = {
    "type",
    "description",
    "format",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxItems",
    "maxLength",
    "nullable",
    "required",
    "properties",
    "items",
    "additionalProperties",
    "x-kubernetes-validations",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
}
FORMATS = {"cidr", "ipv4", "ipv6", "date-time", "int64"}


def crd(info: KindInfo) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(export()[f"{GROUP}_{info.plural}.yaml"])
    return document


def schemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for inner in schema.get("properties", {}).values():
        yield from schemas(inner)
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from schemas(schema[key])


@pytest.mark.parametrize("info", KINDS, ids=lambda info: info.kind)
def test_the_schema_is_structural(info: KindInfo) -> None:
    (version,) = crd(info)["spec"]["versions"]
    for schema in schemas(version["schema"]["openAPIV3Schema"]):
        assert set(schema) <= ALLOWED
        assert schema["type"] in {"object", "array", "string", "integer", "boolean"}
        assert schema.get("format", "cidr") in FORMATS
        assert ("properties" in schema) + ("additionalProperties" in schema) <= 1
        assert set(schema.get("required", [])) <= set(schema.get("properties", {}))
        assert ("items" in schema) == (schema["type"] == "array")
        re.compile(schema.get("pattern", ""))


@pytest.mark.parametrize("info", KINDS, ids=lambda info: info.kind)
def test_the_definition_has_names_status_and_columns(info: KindInfo) -> None:
    document = crd(info)
    assert document["metadata"]["name"] == f"{info.plural}.{GROUP}"
    assert document["spec"]["names"]["shortNames"] == list(info.short_names)
    (version,) = document["spec"]["versions"]
    assert version["subresources"] == {"status": {}}
    assert [column["name"] for column in version["additionalPrinterColumns"]] == [
        column.name for column in info.columns
    ]
    assert set(version["schema"]["openAPIV3Schema"]["properties"]) == {
        "apiVersion",
        "kind",
        "metadata",
        "spec",
        "status",
    }


@pytest.mark.parametrize("info", KINDS, ids=lambda info: info.kind)
def test_every_column_is_in_the_schema_of_the_status(info: KindInfo) -> None:
    (version,) = crd(info)["spec"]["versions"]
    status = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    for column in info.columns:
        if column.path.startswith(".status."):
            assert re.split(r"[.\[]", column.path)[2] in status


def test_every_field_is_described() -> None:
    for info in KINDS:
        (version,) = crd(info)["spec"]["versions"]
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        undescribed = [
            name
            for schema in schemas(spec)
            for name, field in schema.get("properties", {}).items()
            if "description" not in field
        ]
        assert undescribed == []


def test_the_editors_schema_covers_every_kind_and_resolves() -> None:
    text = export()[EDITOR_SCHEMA]
    schema = json.loads(text)
    definitions = schema["definitions"]
    assert set(MODELS) <= set(definitions)
    assert {name.removeprefix("#/definitions/") for name in re.findall(r'"\$ref": "(#/[^"]+)"', text)} <= set(
        definitions
    )
    assert definitions["IPv6Network"]["additionalProperties"] is False


def test_the_reference_names_every_field_once_and_every_required_one() -> None:
    text = page()
    for info in KINDS:
        assert f"## {info.kind}\n" in text
    assert "| `snatAddress` | IPv6 address |" in text
    assert "| `mtu` | integer |" in text
    assert "| `from` | list of IPv6 prefix |" in text
    assert "| `matchLabels` | map of string to string |" in text
    assert text.count("**Required.**") == 6
    assert text.isprintable() or "\n" in text
