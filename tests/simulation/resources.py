"""Resources as they are decoded from files."""

from dockerv6.api.kinds import API_VERSION, NETWORK, POLICY, POOL
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.policy import IPv6Policy
from dockerv6.api.pool import IPv6Pool
from dockerv6.api.scheme import Resource, decode
from dockerv6.source.model import Diagnostic, InvalidResource, Position, Severity

ROOT = "/etc/dockerv6.d"


def document(kind: str, name: str, spec: dict[str, object]) -> Resource:
    """A valid resource."""
    return decode({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}).resource


def network(name: str = "blog", **spec: object) -> NetworkResource:
    """An IPv6Network with that spec."""
    resource = document(NETWORK, name, spec)
    assert isinstance(resource, NetworkResource)
    return resource


def policy(name: str = "all", **spec: object) -> IPv6Policy:
    """An IPv6Policy with that spec."""
    resource = document(POLICY, name, spec)
    assert isinstance(resource, IPv6Policy)
    return resource


def pool(name: str = "default", **spec: object) -> IPv6Pool:
    """An IPv6Pool with that spec."""
    resource = document(POOL, name, spec)
    assert isinstance(resource, IPv6Pool)
    return resource


def invalid(name: str, message: str = "wrong") -> InvalidResource:
    """An IPv6Network whose document is invalid."""
    position = Position(f"{ROOT}/{name}.yaml")
    diagnostic = Diagnostic(position, Severity.ERROR, ("spec",), message, "correct it")
    return InvalidResource(NETWORK, name, position, (diagnostic,))
