"""CustomResourceDefinitions and a JSON Schema for editors, generated from the models.

``crds/`` contains the result of `export`; a test compares them. Only the command ``crds`` imports this module.
"""

import json
from collections.abc import Mapping
from typing import cast

import yaml
from pydantic.json_schema import GenerateJsonSchema

from dockerv6.api.kinds import API_VERSION, GROUP, KINDS, NETWORK, POLICY, POOL, VERSION, Column, KindInfo
from dockerv6.api.meta import Model
from dockerv6.api.scheme import MODELS

JsonSchema = dict[str, object]

EDITOR_SCHEMA = "dockerv6.schema.json"
COMMAND = "dockerv6 crds --dir crds"
"""Writes the files."""

_LIST = {"type": "array", "items": {"type": "string"}}
_TEXT = {"type": "string"}
_COUNT = {"type": "integer"}

_CONDITION: JsonSchema = {
    "type": "object",
    "required": ["type", "status", "reason", "message", "lastTransitionTime"],
    "properties": {
        "type": {**_TEXT, "maxLength": 316},
        "status": {**_TEXT, "enum": ["True", "False", "Unknown"]},
        "reason": {**_TEXT, "minLength": 1, "maxLength": 1024},
        "message": {**_TEXT, "maxLength": 32768},
        "lastTransitionTime": {**_TEXT, "format": "date-time"},
        "observedGeneration": {**_COUNT, "format": "int64", "minimum": 0},
    },
}

_STATUS: Mapping[str, JsonSchema] = {
    NETWORK: {
        "networkName": _TEXT,
        "networkID": _TEXT,
        "subnet": _TEXT,
        "gateway": _TEXT,
        "bridge": _TEXT,
        "egress": _TEXT,
        "engine": _TEXT,
        "firewallBackend": _TEXT,
        "containers": _COUNT,
        "publishedPorts": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        "translatedTo": _LIST,
        "answeredFor": _LIST,
        "lastAppliedHash": _TEXT,
        "warnings": _LIST,
    },
    POOL: {
        "prefixes": _LIST,
        "allocationLength": _COUNT,
        "allocated": _COUNT,
        "cooling": _COUNT,
        "total": _COUNT,
        "interface": _TEXT,
        "interfacePrefix": _TEXT,
        "onLink": {"type": "boolean"},
        "since": {**_TEXT, "format": "date-time"},
        "candidate": _TEXT,
        "formerPrefixes": _LIST,
        "renumbering": _LIST,
    },
    POLICY: {"warnings": _LIST, "networks": _COUNT, "translatedTo": _LIST, "answeredFor": _LIST},
}
"""The status fields of each kind besides conditions. The schema preserves unknown fields."""

_ONE_SOURCE = (
    "[has(self.prefix), has(self.prefixes), has(self.generate), has(self.fromInterface)]"
    ".filter(given, given).size() <= 1"
)

_RULES: Mapping[str, Mapping[tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    NETWORK: {
        ("addressing",): (
            ("!has(self.subnet) || !has(self.poolRef)", "subnet and poolRef are mutually exclusive"),
            ("!has(self.subnet) || !has(self.prefixLength)", "subnet and prefixLength are mutually exclusive"),
        ),
        ("egress",): (
            ("!has(self.mode) || self.mode != 'SNAT' || has(self.snatAddress)", "mode SNAT requires snatAddress"),
        ),
    },
    POOL: {
        (): (
            (
                _ONE_SOURCE,
                "prefix, prefixes, generate and fromInterface are mutually exclusive",
            ),
        ),
    },
    POLICY: {
        ("egress",): (
            ("!has(self.mode) || self.mode != 'SNAT' || has(self.snatAddress)", "mode SNAT requires snatAddress"),
        ),
    },
}
"""CEL rules by kind and path in the spec. Only simple rules: dockerv6 itself does the full validation."""


def definition(info: KindInfo) -> dict[str, object]:
    """The CustomResourceDefinition of a kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{info.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {
                "kind": info.kind,
                "listKind": f"{info.kind}List",
                "plural": info.plural,
                "singular": info.singular,
                "shortNames": list(info.short_names),
                "categories": ["dockerv6"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in info.columns],
                    "schema": {"openAPIV3Schema": _schema(info.kind)},
                }
            ],
        },
    }


def export() -> dict[str, str]:
    """The text of each file in ``crds/``, by name."""
    files = {f"{GROUP}_{info.plural}.yaml": _yaml(definition(info)) for info in KINDS}
    files[EDITOR_SCHEMA] = json.dumps(for_editors(MODELS), indent=2, ensure_ascii=False) + "\n"
    return files


def _schema(kind: str) -> JsonSchema:
    whole = structural(MODELS[kind])
    properties = cast("dict[str, JsonSchema]", whole["properties"])
    metadata = cast("dict[str, JsonSchema]", properties["metadata"]["properties"])
    spec = properties["spec"]
    for place, rules in _RULES[kind].items():
        target = spec
        for name in place:
            target = cast("dict[str, JsonSchema]", target["properties"])[name]
        target["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in rules]
    return {
        "type": "object",
        "description": whole["description"],
        "required": ["metadata"],
        "properties": {
            "apiVersion": _TEXT,
            "kind": _TEXT,
            # an API server validates the other metadata itself and allows a schema only for the name
            "metadata": {"type": "object", "properties": {"name": metadata["name"]}},
            "spec": spec,
            "status": status_schema(kind),
        },
    }


def status_schema(kind: str) -> JsonSchema:
    """The schema of a kind's status."""
    fields = {
        "observedGeneration": {**_COUNT, "format": "int64"},
        "conditions": _conditions(),
        "commit": _TEXT,
        **_STATUS[kind],
    }
    return {
        "type": "object",
        "description": "Written by dockerv6.",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": fields,
    }


def _conditions() -> JsonSchema:
    return {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": _CONDITION,
    }


def _column(column: Column) -> dict[str, object]:
    result: dict[str, object] = {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        "description": column.description,
    }
    if column.wide:
        result["priority"] = 1
    return result


class _Dumper(yaml.SafeDumper):
    """Writes no anchors: schemas that are used several times are repeated."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _yaml(document: Mapping[str, object]) -> str:
    head = f"# Generated from the models by `{COMMAND}`; do not edit.\n"
    return head + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


_NOT_STRUCTURAL = frozenset({"title", "default", "propertyNames", "additionalProperties"})
"""Keywords that a structural schema must not have, and defaults.

An API server would write defaults into the object, so that fields set by the user could not be recognised.
"""


def structural(model: type[Model]) -> JsonSchema:
    """The structural schema of apiextensions.k8s.io/v1, without references."""
    whole = model.model_json_schema(by_alias=True)
    return _structural(whole, cast("Mapping[str, JsonSchema]", whole.get("$defs", {})))


def _structural(schema: JsonSchema, definitions: Mapping[str, JsonSchema]) -> JsonSchema:
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        siblings = {key: value for key, value in schema.items() if key != "$ref"}
        return _structural({**definitions[name], **siblings}, definitions)
    if "anyOf" in schema:
        # the models have no unions other than with null
        branches = [branch for branch in cast("list[JsonSchema]", schema["anyOf"]) if branch.get("type") != "null"]
        siblings = {key: value for key, value in schema.items() if key != "anyOf"}
        return {**_structural({**branches[0], **siblings}, definitions), "nullable": True}
    result = {key: value for key, value in schema.items() if key not in _NOT_STRUCTURAL and key != "$defs"}
    if isinstance(result.get("properties"), dict):
        properties = cast("dict[str, JsonSchema]", result["properties"])
        result["properties"] = {name: _structural(value, definitions) for name, value in properties.items()}
    if isinstance(result.get("items"), dict):
        result["items"] = _structural(cast("JsonSchema", result["items"]), definitions)
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        result["additionalProperties"] = _structural(values, definitions)
    return _ordered(result)


def _ordered(schema: JsonSchema) -> JsonSchema:
    first = [key for key in ("type", "description") if key in schema]
    last = [key for key in ("required", "properties", "items", "additionalProperties") if key in schema]
    between = [key for key in schema if key not in {*first, *last}]
    return {key: schema[key] for key in (*first, *between, *last)}


class _EditorSchema(GenerateJsonSchema):
    """Draft 7, which the YAML plug-ins of all editors support."""

    schema_dialect = "http://json-schema.org/draft-07/schema#"


def for_editors(models: Mapping[str, type[Model]]) -> JsonSchema:
    """One schema for files of all kinds, and for ``kind: List``."""
    definitions: JsonSchema = {}
    choices: list[JsonSchema] = []
    for kind, model in models.items():
        own = model.model_json_schema(
            by_alias=True, ref_template="#/definitions/{model}", schema_generator=_EditorSchema
        )
        definitions.update(cast("JsonSchema", own.pop("$defs", {})))
        own["properties"] = {
            "apiVersion": {"enum": [API_VERSION]},
            "kind": {"enum": [kind]},
            **cast("JsonSchema", own["properties"]),
            "status": {"type": "object", "description": "Written by dockerv6; ignored in a file."},
        }
        own["required"] = ["apiVersion", "kind", "metadata"]
        definitions[kind] = own
        choices.append(_when(kind, {"$ref": f"#/definitions/{kind}"}))
    definitions["List"] = {
        "type": "object",
        "required": ["items"],
        "properties": {"items": {"type": "array", "items": {"$ref": "#"}}},
    }
    choices.append(_when("List", {"$ref": "#/definitions/List"}))
    return {
        "$schema": _EditorSchema.schema_dialect,
        "title": "dockerv6 resources",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {"kind": {"enum": [*models, "List"]}},
        "allOf": choices,
        "definitions": {
            name: _untitled(cast("JsonSchema", definition)) for name, definition in sorted(definitions.items())
        },
    }


def _when(kind: str, then: JsonSchema) -> JsonSchema:
    return {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": then}


def _untitled(schema: JsonSchema) -> JsonSchema:
    """The schema without pydantic's titles, which editors would show above the descriptions."""
    result = {key: value for key, value in schema.items() if key != "title"}
    if isinstance(result.get("properties"), dict):
        properties = cast("dict[str, JsonSchema]", result["properties"])
        result["properties"] = {name: _untitled(value) for name, value in properties.items()}
    return result
