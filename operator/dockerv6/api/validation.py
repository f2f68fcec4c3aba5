"""Converts pydantic's validation errors to `FieldError`s with a message and a remedy."""

from collections.abc import Callable, Iterator, Mapping
from enum import EnumMeta, StrEnum
from itertools import islice
from typing import cast, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from dockerv6.api.errors import FieldError, FieldPath, comparable, did_you_mean
from dockerv6.api.kinds import NETWORK, POLICY, POOL
from dockerv6.api.meta import ERROR_TYPE, Model
from dockerv6.api.values import quote

_DEFAULT_BRIDGE = (
    "daemon.json sets it for the default bridge: write networkName: bridge and managementPolicy: Observe to give that"
    " network its rules"
)

# Words of Compose files, `docker network create` and daemon.json, and what a resource has for them. People carry them
# over from there, and the most similar field (`external` → `internal`) would mean something else.
_WORDS: Mapping[str, Mapping[str, str]] = {
    NETWORK: {
        "external": "write managementPolicy: Observe for a network that others create, and its name as networkName",
        "driver_opts": "write options, which has the same keys and values",
        "opt": "write options, which has the same keys and values",
        "ipam": "write addressing: {subnet: fd12:3456:789a:1::/64} with your subnet, or addressing: {poolRef: {name:"
        " default}} to have one allocated; an IPv4 subnet is ipv4: {subnet: 172.30.0.0/16}",
        "subnet": "write addressing: {subnet: fd12:3456:789a:1::/64} with your subnet; an IPv4 subnet is ipv4: {subnet:"
        " 172.30.0.0/16}",
        "gateway": "write addressing: {gateway: fd12:3456:789a:1::1}; that of IPv4 is ipv4: {gateway: 172.30.0.1}",
        "ip_range": "write addressing: {reserved: [fd12:3456:789a:1::/80]} with what containers must not get",
        "aux_addresses": "write addressing: {reserved: [fd12:3456:789a:1::5]} with the addresses",
        "prefix": "write addressing: {subnet: fd12:3456:789a:1::/64}, or a pool with this prefix",
        "pool": "write addressing: {poolRef: {name: default}}",
        "size": "write addressing: {prefixLength: 64}",
        "parent": "write driver: macvlan (or ipvlan) and options: {parent: eth0}",
        "macvlan_mode": "write options: {macvlan_mode: bridge} below driver: macvlan",
        "ipvlan_mode": "write options: {ipvlan_mode: l2} below driver: ipvlan",
        "enable_ipv6": "remove it: an IPv6Network always has IPv6",
        "ipv6": "remove it: an IPv6Network always has IPv6",
        "enable_ipv4": "write ipv4: {enabled: false} for a network without IPv4",
        "mtu": "write bridge: {mtu: 1400}",
        "icc": "write bridge: {icc: false}",
        "ports": "write publish: {ports: [{port: 8080, targetPort: 80, containers: {name: web}}]}; ports of `docker run"
        " -p` and of Compose are published without it",
        "masquerade": "write egress: {mode: Masquerade}",
        "ip6tables": "remove it: dockerv6 has rules of its own, whatever the engine's setting is",
        "fixed-cidr-v6": _DEFAULT_BRIDGE,
        "default-address-pools": "write a resource of kind IPv6Pool with the base as prefix and the size as"
        " allocationLength",
    },
    POOL: {
        "base": "write prefix: fd12:3456:789a::/48 with the base",
        "size": "write allocationLength: 64 with the size",
        "subnet": "write prefix: fd12:3456:789a::/48",
        "subnets": "write prefixes: [fd12:3456:789a::/48]",
        "cidr": "write prefix: fd12:3456:789a::/48",
        "parent": "write fromInterface: {name: eth0} to follow the prefix of an interface",
        "default-address-pools": "write a resource for each of its entries: the base as prefix, the size as"
        " allocationLength",
    },
    POLICY: {
        "external": "remove it: an IPv6Policy applies to networks that others created",
        "subnet": "write selector: {prefixes: [fc00::/7]}",
        "prefix": "write selector: {prefixes: [fc00::/7]}",
        "prefixes": "write selector: {prefixes: [fc00::/7]}",
        "name": "write selector: {names: [blog]}",
        "names": "write selector: {names: [blog]}",
        "networks": "write selector: {names: [blog]}",
        "driver": "write selector: {drivers: [bridge]}",
        "matchLabels": "write selector: {matchLabels: {com.docker.compose.project: blog}}",
        "ports": "write publish: {ports: [{port: 8080, targetPort: 80, containers: {name: web}}]}; ports of `docker run"
        " -p` and of Compose are published without it",
        **dict.fromkeys(
            ("driver_opts", "options", "ipam", "addressing", "parent", "enable_ipv6", "members"),
            "remove it: an IPv6Policy doesn't create networks; an IPv6Network has that",
        ),
    },
}

_BY_KIND = {kind: {comparable(word): remedy for word, remedy in words.items()} for kind, words in _WORDS.items()}


def remedy_of(word: str, kind: str) -> str | None:
    """What to write instead in a resource of that kind, in any spelling of the word; None: the word is not known."""
    return _BY_KIND.get(kind, {}).get(comparable(word))


_HINTS: Mapping[str, str] = {
    "namespace": "remove it: resources of dockerv6 have no namespace",
    "generateName": "write name: the name must be in the file",
}


MAX_ERRORS = 100
"""Errors of a resource that are reported. Some take long to explain, and a resource may have tens of thousands."""


def field_errors(model: type[Model], error: ValidationError) -> tuple[FieldError, ...]:
    """The first `MAX_ERRORS` errors in pydantic's order."""
    found = (each for detail in error.errors(include_url=False) for each in _convert(model, detail))
    return tuple(islice(found, MAX_ERRORS))


def _convert(model: type[Model], detail: ErrorDetails) -> Iterator[FieldError]:
    path = tuple(part for part in detail["loc"] if part != "[key]")
    type_ = detail["type"]
    if type_ == ERROR_TYPE:
        errors: tuple[FieldError, ...] = detail["ctx"]["errors"]
        yield from (error.under(*path) for error in errors)
    elif type_ == "extra_forbidden":
        yield _unknown_field(model, path)
    elif type_ == "missing":
        yield FieldError(path, "is required", _how_to_set(model, path))
    elif type_ == "enum":
        yield _not_one_of(model, path, detail["input"])
    else:
        explain = _EXPLANATIONS.get(type_)
        message, remedy = explain(detail) if explain else (detail["msg"], "see docs/reference.md for this field")
        yield FieldError(path, message, remedy)


def _unknown_field(model: type[Model], path: FieldPath) -> FieldError:
    name = str(path[-1])
    parent = _model_at(model, path[:-1])
    siblings = [_alias(parent, field) for field in parent.model_fields]
    misspelled = comparable(name) in map(comparable, siblings)
    remedy = _HINTS.get(name) or (None if misspelled else remedy_of(name, model.__name__))
    return FieldError(path, f"unknown field {name!r}", remedy or did_you_mean(name, siblings), at_key=True)


def _how_to_set(model: type[Model], path: FieldPath) -> str:
    field = _field_at(model, path)
    description = (field.description or "") if field else ""
    first = description.partition(". ")[0].rstrip(".")
    return f"write {path[-1]}: {first[:1].lower()}{first[1:]}" if first else f"write {path[-1]}"


def _not_one_of(model: type[Model], path: FieldPath, value: object) -> FieldError:
    field = _field_at(model, path)
    allowed = [str(member) for member in _enum_of(field.annotation)] if field else []
    remedy = did_you_mean(value, allowed) if isinstance(value, str) else f"use {', '.join(allowed)}"
    if isinstance(value, bool):
        remedy += "; put it in quotes if it is not"
    return FieldError(path, f"{quote(value)} is not one of {', '.join(allowed)}", remedy)


def _enum_of(annotation: object) -> tuple[StrEnum, ...]:
    if isinstance(annotation, EnumMeta):
        return tuple(cast("type[StrEnum]", annotation))
    return next((found for argument in get_args(annotation) if (found := _enum_of(argument))), ())


def _alias(model: type[Model], field: str) -> str:
    return model.model_fields[field].alias or field


def _field_at(model: type[Model], path: FieldPath) -> FieldInfo | None:
    """The field that the last name of a path means."""
    names = [part for part in path if isinstance(part, str)]
    if not names:
        return None
    parent = _model_at(model, tuple(names[:-1]))
    return next((info for field, info in parent.model_fields.items() if _alias(parent, field) == names[-1]), None)


def _model_at(model: type[Model], path: FieldPath) -> type[Model]:
    """The model of the block at a path."""
    for part in path:
        if isinstance(part, int):
            continue
        field = next((info for name, info in model.model_fields.items() if _alias(model, name) == part), None)
        nested = next(_models(field.annotation), None) if field else None
        if nested is None:
            break
        model = nested
    return model


def _models(annotation: object) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _string(detail: ErrorDetails) -> tuple[str, str]:
    value = detail["input"]
    scalar = isinstance(value, bool | int | float)
    return f"must be a string, not {quote(value)}", f'write "{quote(value)}" in quotes' if scalar else "write text"


def _boolean(detail: ErrorDetails) -> tuple[str, str]:
    value = detail["input"]
    booleans = {
        "true": "true",
        "yes": "true",
        "on": "true",
        "1": "true",
        "false": "false",
        "no": "false",
        "off": "false",
        "0": "false",
    }
    intended = booleans.get(str(value).casefold()) if isinstance(value, str | int) else None
    in_quotes = isinstance(value, str) and value.casefold() in {"true", "false"}
    return (
        f"must be true or false, not {quote(value)}",
        f"write {intended}{' without quotes' if in_quotes else ''}" if intended else "write true or false",
    )


def _integer(detail: ErrorDetails) -> tuple[str, str]:
    return f"must be a whole number, not {quote(detail['input'])}", "write digits only"


def _minimum(detail: ErrorDetails) -> tuple[str, str]:
    return f"{detail['input']} is too small", f"write {detail['ctx']['ge']} or more"


def _maximum(detail: ErrorDetails) -> tuple[str, str]:
    return f"{detail['input']} is too large", f"write {detail['ctx']['le']} or less"


def _mapping(detail: ErrorDetails) -> tuple[str, str]:
    return f"must be a mapping, not {quote(detail['input'])}", "write indented key: value lines below it"


def _list(detail: ErrorDetails) -> tuple[str, str]:
    return f"must be a list, not {quote(detail['input'])}", 'write its items below it, each after "- "'


def _too_short(detail: ErrorDetails) -> tuple[str, str]:
    return "can't be empty", f"write at least {detail['ctx']['min_length']} character"


def _too_long(detail: ErrorDetails) -> tuple[str, str]:
    return f"has {len(detail['input'])} characters", f"write at most {detail['ctx']['max_length']}"


def _too_many(detail: ErrorDetails) -> tuple[str, str]:
    most = detail["ctx"]["max_length"]
    return f"has {len(detail['input'])} items", f"write at most {most}"


def _key(detail: ErrorDetails) -> tuple[str, str]:
    return f"the key {quote(detail['input'])} is not a string", "put it in quotes"


_EXPLANATIONS: Mapping[str, Callable[[ErrorDetails], tuple[str, str]]] = {
    "string_type": _string,
    "bool_type": _boolean,
    "int_type": _integer,
    "int_from_float": _integer,
    "greater_than_equal": _minimum,
    "less_than_equal": _maximum,
    "model_type": _mapping,
    "model_attributes_type": _mapping,
    "dict_type": _mapping,
    "mapping_type": _mapping,
    "tuple_type": _list,
    "too_long": _too_many,
    "string_too_short": _too_short,
    "string_too_long": _too_long,
    "invalid_key": _key,
}
"""Message and remedy by the error types of pydantic_core."""
