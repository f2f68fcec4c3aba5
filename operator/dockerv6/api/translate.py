"""Pydantic's findings in plain words: which field, what is wrong, what to write."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dockerv6.api.errors import FieldError, FieldPath, did_you_mean
from dockerv6.api.meta import SHAPE, Model
from dockerv6.api.values import quote

_QUOTED = re.compile(r"'([^']*)'")

_HINTS: Mapping[str, str] = {
    "namespace": "remove it: dockerv6's resources have no namespaces",
    "generateName": "write name: a file names its resource",
}


def translate(model: type[Model], error: ValidationError) -> tuple[FieldError, ...]:
    """All findings, in the order in which pydantic met them."""
    return tuple(finding for detail in error.errors(include_url=False) for finding in _findings(model, detail))


def _findings(model: type[Model], detail: ErrorDetails) -> Iterator[FieldError]:
    path = tuple(part for part in detail["loc"] if part != "[key]")
    kind = detail["type"]
    if kind == SHAPE:
        found: tuple[FieldError, ...] = detail["ctx"]["findings"]
        yield from (finding.under(*path) for finding in found)
    elif kind == "extra_forbidden":
        yield _unknown(model, path)
    elif kind == "missing":
        yield FieldError(path, "is required", _how_to_give(model, path))
    else:
        say = _SAY.get(kind)
        message, remedy = say(detail) if say else (detail["msg"], "see the reference for what this field takes")
        yield FieldError(path, message, remedy)


def _unknown(model: type[Model], path: FieldPath) -> FieldError:
    name = str(path[-1])
    parent = _model_at(model, path[:-1])
    siblings = [_alias(parent, field) for field in parent.model_fields]
    return FieldError(path, f"unknown field {name!r}", _HINTS.get(name) or did_you_mean(name, siblings))


def _how_to_give(model: type[Model], path: FieldPath) -> str:
    name = str(path[-1])
    parent = _model_at(model, path[:-1])
    field = next((info for field, info in parent.model_fields.items() if _alias(parent, field) == name), None)
    description = (field.description or "") if field else ""
    first = description.partition(". ")[0].rstrip(".")
    return f"write {name}: {first[:1].lower()}{first[1:]}" if first else f"write {name}"


def _alias(model: type[Model], field: str) -> str:
    return model.model_fields[field].alias or field


def _model_at(model: type[Model], path: FieldPath) -> type[Model]:
    """The model that stands at a path of a document."""
    for part in path:
        if isinstance(part, int):
            continue
        field = next((info for name, info in model.model_fields.items() if _alias(model, name) == part), None)
        inner = next(_models(field.annotation), None) if field else None
        if inner is None:
            break
        model = inner
    return model


def _models(annotation: object) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _enum(detail: ErrorDetails) -> tuple[str, str]:
    words = _QUOTED.findall(detail["ctx"]["expected"])
    given = detail["input"]
    remedy = did_you_mean(given, words) if isinstance(given, str) else f"use {', '.join(words)}"
    if given is None or isinstance(given, bool):
        remedy += "; put it in quotes if it stands without" if isinstance(given, bool) else ""
    return f"{quote(given)} is not one of {', '.join(words)}", remedy


def _string(detail: ErrorDetails) -> tuple[str, str]:
    given = detail["input"]
    plain = isinstance(given, bool | int | float)
    return f"must be a string, not {quote(given)}", f'write "{quote(given)}" in quotes' if plain else "write text"


def _flag(detail: ErrorDetails) -> tuple[str, str]:
    given = detail["input"]
    meant = {
        "true": "true",
        "yes": "true",
        "on": "true",
        "1": "true",
        "false": "false",
        "no": "false",
        "off": "false",
        "0": "false",
    }
    guess = meant.get(str(given).casefold()) if isinstance(given, str | int) else None
    quoted = isinstance(given, str) and given.casefold() in {"true", "false"}
    return (
        f"must be true or false, not {quote(given)}",
        f"write {guess}{' without quotes' if quoted else ''}" if guess else "write true or false",
    )


def _whole(detail: ErrorDetails) -> tuple[str, str]:
    return f"must be a whole number, not {quote(detail['input'])}", "write digits only"


def _at_least(detail: ErrorDetails) -> tuple[str, str]:
    return f"{detail['input']} is too small", f"write {detail['ctx']['ge']} or more"


def _at_most(detail: ErrorDetails) -> tuple[str, str]:
    return f"{detail['input']} is too large", f"write {detail['ctx']['le']} or less"


def _mapping(detail: ErrorDetails) -> tuple[str, str]:
    return f"must be a mapping, not {quote(detail['input'])}", "write key: value lines, indented below it"


def _list(detail: ErrorDetails) -> tuple[str, str]:
    return f"must be a list, not {quote(detail['input'])}", 'write its items below it, each after "- "'


def _too_short(detail: ErrorDetails) -> tuple[str, str]:
    return "can't be empty", f"write at least {detail['ctx']['min_length']} character"


def _too_long(detail: ErrorDetails) -> tuple[str, str]:
    given = detail["input"]
    limit = detail["ctx"]["max_length"]
    return f"has {len(given)} characters", f"write at most {limit}"


def _key(detail: ErrorDetails) -> tuple[str, str]:
    return f"the key {quote(detail['input'])} is no string", "put it in quotes"


_SAY: Mapping[str, Callable[[ErrorDetails], tuple[str, str]]] = {
    "enum": _enum,
    "string_type": _string,
    "bool_type": _flag,
    "int_type": _whole,
    "int_from_float": _whole,
    "greater_than_equal": _at_least,
    "less_than_equal": _at_most,
    "model_type": _mapping,
    "model_attributes_type": _mapping,
    "dict_type": _mapping,
    "mapping_type": _mapping,
    "tuple_type": _list,
    "string_too_short": _too_short,
    "string_too_long": _too_long,
    "invalid_key": _key,
}
