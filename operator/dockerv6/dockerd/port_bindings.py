"""Ports that the engine has bound on the host, and whether their address was written by a person or left open.

A listing can't tell ``-p 0.0.0.0:8080:80`` from ``-p 8080:80`` where the engine binds IPv4 only: with the userland
proxy off, on a network without IPv6. The container's inspect can: it has the address as it was written.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from dockerv6.dockerd import fields
from dockerv6.dockerd.model import PortBinding
from dockerv6.dockerd.port import EngineApiError

if TYPE_CHECKING:
    from collections.abc import Iterable

_PROTOCOLS = frozenset({"tcp", "udp", "sctp"})
_LAST_PORT = 65535
_DIGITS = 5
_ANY = (IPv4Address("0.0.0.0"), IPv6Address("::"))


@dataclass(frozen=True, slots=True)
class RequestedPort:
    """An entry of ``HostConfig.PortBindings``."""

    protocol: str
    container_port: int
    address: str  # as it was written; "": none
    host_ports: str = ""  # "8080", "9100-9110"; "": the engine chooses

    def asks_for(self, binding: PortBinding) -> bool:
        """Whether the engine may have made this binding to all IPv4 addresses for it."""
        first, _, last = self.host_ports.partition("-")
        low, high = _number(first) or 1, _number(last or first) or _LAST_PORT
        same = (self.protocol, self.container_port) == (binding.protocol, binding.container_port)
        return same and low <= binding.host_port <= high and self.address in ("", str(_ANY[0]))


def listed(entry: object) -> PortBinding | None:
    """Decode one of the ``Ports`` of a listed container; None: it is not bound on the host."""
    host_port, container_port = fields.number(entry, "PublicPort"), fields.number(entry, "PrivatePort")
    protocol = fields.text(entry, "Type") or "tcp"
    if not (0 < host_port <= _LAST_PORT and 0 < container_port <= _LAST_PORT) or protocol not in _PROTOCOLS:
        return None
    at = fields.text(entry, "IP")
    host_address = fields.address(at)
    if at and host_address is None:  # an address that can't be read does not mean all addresses
        return None
    return PortBinding(protocol, container_port, host_port, host_address)


def requested(inspected: object) -> tuple[RequestedPort, ...]:
    """Decode ``GET /containers/{id}/json`` into the ports that the container was created with.

    Raises:
        EngineApiError: it is not a container. This concerns the container only.
    """
    if not fields.text(inspected, "Id"):
        raise EngineApiError("the engine did not send a container")
    bindings = fields.mapping(fields.member(fields.member(inspected, "HostConfig"), "PortBindings"))
    return tuple(
        RequestedPort(protocol or "tcp", number, fields.text(target, "HostIp"), fields.text(target, "HostPort"))
        for key, targets in bindings.items()
        for port, _, protocol in (key.partition("/"),)
        if (number := _number(port)) is not None
        for target in fields.items(targets)
    )


def _number(text: str) -> int | None:
    """A port's number; None: it is none."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


def is_ambiguous(bindings: Iterable[PortBinding]) -> bool:
    """Whether a port is bound to all IPv4 addresses, and not to all IPv6 addresses as well."""
    more: Counter[tuple[str, int]] = Counter()
    for binding in bindings:
        if binding.host_address in _ANY:
            more[binding.protocol, binding.container_port] += 1 if binding.host_address == _ANY[0] else -1
    return any(count > 0 for count in more.values())


def marked(bindings: tuple[PortBinding, ...], requests: Iterable[RequestedPort] | None) -> tuple[PortBinding, ...]:
    """The bindings, with `PortBinding.ipv4_only` where a person wrote 0.0.0.0.

    Args:
        bindings: of one container.
        requests: of the same container; None: they can't be read. Then no port is opened on a guess.
    """
    known = None if requests is None else tuple(requests)

    def written(binding: PortBinding) -> bool:
        if binding.host_address != _ANY[0]:
            return False
        found = None if known is None else [each.address for each in known if each.asks_for(binding)]
        return found is None or (bool(found) and "" not in found)

    return tuple(replace(b, ipv4_only=True) if written(b) else b for b in bindings)


def port_order(binding: PortBinding) -> tuple[str, int, int, int, int]:
    """Sort key for a container's ports: by protocol, host port and container port, IPv4 first."""
    address = binding.host_address
    family, value = (0, 0) if address is None else (address.version, int(address))
    return binding.protocol, binding.host_port, binding.container_port, family, value
