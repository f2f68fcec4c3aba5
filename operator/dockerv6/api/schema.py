"""JSON Schemas of the models: structural ones for CustomResourceDefinitions, and one for editors."""

from collections.abc import Mapping
from typing import cast

from pydantic.json_schema import GenerateJsonSchema

from dockerv6.api.kinds import API_VERSION
from dockerv6.api.meta import Model

Schema = dict[str, object]

_NOT_STRUCTURAL = frozenset({"title", "default", "propertyNames", "additionalProperties"})
"""What a structural schema may not have, or what is better not there.

Defaults: an API server would write them into the object, and what a person set could no longer be told from what not.
"""


def structural(model: type[Model]) -> Schema:
    """The schema without references, as apiextensions.k8s.io/v1 wants it."""
    whole = model.model_json_schema(by_alias=True)
    return _structural(whole, cast("Mapping[str, Schema]", whole.get("$defs", {})))


def _structural(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return _structural({**definitions[name], **beside}, definitions)
    if "anyOf" in schema:
        # The models have no other unions than "this or null".
        branches = [branch for branch in cast("list[Schema]", schema["anyOf"]) if branch.get("type") != "null"]
        beside = {key: value for key, value in schema.items() if key != "anyOf"}
        return {**_structural({**branches[0], **beside}, definitions), "nullable": True}
    result = {key: value for key, value in schema.items() if key not in _NOT_STRUCTURAL and key != "$defs"}
    if isinstance(result.get("properties"), dict):
        properties = cast("dict[str, Schema]", result["properties"])
        result["properties"] = {name: _structural(value, definitions) for name, value in properties.items()}
    if isinstance(result.get("items"), dict):
        result["items"] = _structural(cast("Schema", result["items"]), definitions)
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        result["additionalProperties"] = _structural(values, definitions)
    return _ordered(result)


def _ordered(schema: Schema) -> Schema:
    first = [key for key in ("type", "description") if key in schema]
    last = [key for key in ("required", "properties", "items", "additionalProperties") if key in schema]
    between = [key for key in schema if key not in {*first, *last}]
    return {key: schema[key] for key in (*first, *between, *last)}


class _Editor(GenerateJsonSchema):
    """Draft 7, which every editor's YAML plug-in understands."""

    schema_dialect = "http://json-schema.org/draft-07/schema#"


def for_editors(models: Mapping[str, type[Model]]) -> Schema:
    """One schema for a file of any kind, or a ``kind: List`` of them."""
    definitions: Schema = {}
    choices: list[Schema] = []
    for kind, model in models.items():
        own = model.model_json_schema(by_alias=True, ref_template="#/definitions/{model}", schema_generator=_Editor)
        definitions.update(cast("Schema", own.pop("$defs", {})))
        own["properties"] = {
            "apiVersion": {"enum": [API_VERSION]},
            "kind": {"enum": [kind]},
            **cast("Schema", own["properties"]),
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
        "$schema": _Editor.schema_dialect,
        "title": "dockerv6 resources",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {"kind": {"enum": [*models, "List"]}},
        "allOf": choices,
        "definitions": {
            name: _untitled(cast("Schema", definition)) for name, definition in sorted(definitions.items())
        },
    }


def _when(kind: str, then: Schema) -> Schema:
    return {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": then}


def _untitled(schema: Schema) -> Schema:
    """Without the titles that pydantic derives from field names: editors would show them above the descriptions."""
    result = {key: value for key, value in schema.items() if key != "title"}
    if isinstance(result.get("properties"), dict):
        properties = cast("dict[str, Schema]", result["properties"])
        result["properties"] = {name: _untitled(value) for name, value in properties.items()}
    return result
