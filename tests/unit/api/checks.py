"""Shared by the tests of resources: building documents and getting their errors."""

from dockerv6.api.errors import FieldError, InvalidObject, format_path
from dockerv6.api.kinds import API_VERSION, NETWORK, POLICY, POOL
from dockerv6.api.network import IPv6Network
from dockerv6.api.policy import IPv6Policy
from dockerv6.api.pool import IPv6Pool
from dockerv6.api.scheme import Resource, decode

Spec = dict[str, object]


def document(kind: str, spec: object = None, **metadata: object) -> dict[str, object]:
    """A document of that kind, with the name `blog` by default."""
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "blog", **metadata}, "spec": spec}


def network(spec: Spec | None = None, **metadata: object) -> IPv6Network:
    """A valid IPv6Network."""
    resource = decode(document(NETWORK, spec, **metadata)).resource
    assert isinstance(resource, IPv6Network)
    return resource


def pool(spec: Spec | None = None) -> IPv6Pool:
    """A valid IPv6Pool."""
    resource = decode(document(POOL, spec)).resource
    assert isinstance(resource, IPv6Pool)
    return resource


def policy(spec: Spec | None = None) -> IPv6Policy:
    """A valid IPv6Policy."""
    resource = decode(document(POLICY, spec)).resource
    assert isinstance(resource, IPv6Policy)
    return resource


def errors(whole: object) -> tuple[FieldError, ...]:
    """The errors of a document; empty when it is valid."""
    try:
        decode(whole)  # type: ignore[arg-type]  # a parser can return anything
    except InvalidObject as invalid:
        return invalid.errors
    return ()


def network_errors(spec: object, **metadata: object) -> tuple[FieldError, ...]:
    """The errors of the spec of an IPv6Network."""
    return errors(document(NETWORK, spec, **metadata))


def pool_errors(spec: object) -> tuple[FieldError, ...]:
    """The errors of the spec of an IPv6Pool."""
    return errors(document(POOL, spec))


def fields(found: tuple[FieldError, ...]) -> list[str]:
    """The paths of the errors."""
    return [format_path(error.path) for error in found]


def only(found: tuple[FieldError, ...]) -> FieldError:
    """The single error, which has a message and a remedy."""
    assert len(found) == 1, found
    assert found[0].message
    assert found[0].remedy
    return found[0]


__all__ = [
    "Resource",
    "Spec",
    "document",
    "errors",
    "fields",
    "network",
    "network_errors",
    "only",
    "policy",
    "pool",
    "pool_errors",
]
