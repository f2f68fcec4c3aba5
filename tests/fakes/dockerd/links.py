"""The fake engine's macvlan and ipvlan drivers: which parent interfaces they accept.

Messages are those of libnetwork's drivers/macvlan and drivers/ipvlan in real engines of these versions. Nothing here
carries packets, so an interface is only a name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dockerv6.dockerd import api_errors

if TYPE_CHECKING:
    from collections.abc import Collection

    from dockerv6.dockerd.model import Network
    from dockerv6.dockerd.port import EngineError
    from tests.fakes.dockerd.versions import EngineVersion

_DUMMY = {"macvlan": "dm-", "ipvlan": "di-"}
DRIVERS = frozenset(_DUMMY)
_HIGHEST_VLAN = 4094
_INTERNAL_ERROR = 500
_PASSTHRU = "passthru"


class Links:
    """The interfaces of the engine's host."""

    def __init__(self) -> None:
        """Start with lo and eth0."""
        self._names = {"lo", "eth0"}
        self._made: set[str] = set()

    @property
    def names(self) -> frozenset[str]:
        """All interfaces, including those that the engine created."""
        return frozenset(self._names)

    def add(self, name: str) -> None:
        """Add an interface."""
        self._names.add(name)

    def remove(self, name: str) -> None:
        """Remove an interface, even one in use; the engine does not notice."""
        self._names.discard(name)

    def claim(self, network: Network, others: Collection[Network], version: EngineVersion) -> None:
        """Check the parent of a new network; create it where the engine does.

        Raises:
            EngineApiError: as the engine does.
        """
        _check_options(network, version)
        parent = parent_of(network)
        for other in others:
            if other.driver == network.driver and parent_of(other) == parent:
                _check_sharing(network, other, version)
        if parent in self._names:
            return
        if parent != _dummy(network):
            self._check_vlan(parent, version)
        self._names.add(parent)
        self._made.add(parent)

    def release(self, network: Network, others: Collection[Network]) -> None:
        """Remove the parent that was created for a removed network, unless another network uses it."""
        parent = parent_of(network)
        if parent in self._made and all(parent_of(other) != parent for other in others):
            self._made.discard(parent)
            self._names.discard(parent)

    def require(self, network: Network, in_use: Collection[Network]) -> None:
        """Check that an endpoint on the network can be created next to the existing ones.

        Args:
            network: of the new endpoint.
            in_use: the network of each other endpoint.

        Raises:
            EngineApiError: as the engine does.
        """
        parent = parent_of(network)
        if parent not in self._names:
            raise _refused(f"the requested parent interface {parent} was not found on the Docker host")
        beside = [other for other in in_use if other.driver in DRIVERS and parent_of(other) == parent]
        if any(other.driver != network.driver for other in beside):
            # the kernel has one receive handler per interface
            raise _refused(f"failed to create the {network.driver} port: device or resource busy")
        if beside and network.options.get("macvlan_mode") == _PASSTHRU:
            raise _refused("failed to create the macvlan port: invalid argument")

    def _check_vlan(self, parent: str, version: EngineVersion) -> None:
        """Reject a parent that does not exist and can't be created."""
        if "." not in parent:
            raise _refused(f"invalid subinterface vlan name {parent}, example formatting is eth0.10")
        parts = parent.split(".")
        if len(parts) != 2:
            raise _refused(
                "required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received " + parent
            )
        base, number = parts
        if not re.fullmatch(r"[-+]?\d+", number, re.ASCII):
            raise _refused(f"unable to parse a valid vlan id from: {number} (ex. eth0.10 for vlan 10)")
        if base not in self._names:
            raise _refused(version.missing_vlan_base.format(base=base))
        if not 1 <= int(number) <= _HIGHEST_VLAN:
            raise _refused(f"vlan id must be between 1-4094, received: {int(number)}")


def parent_of(network: Network) -> str:
    """Return the requested parent, or the dummy interface that the engine creates."""
    return network.options.get("parent") or _dummy(network)


def _dummy(network: Network) -> str:
    return f"{_DUMMY.get(network.driver, '')}{network.id[:12]}"


def _check_options(network: Network, version: EngineVersion) -> None:
    modes = {"bridge", "private", "vepa", _PASSTHRU}
    default = "bridge"
    if network.driver == "ipvlan":
        modes = {"l2", "l3", "l3s"} if version.has_ipvlan_flags else {"l2", "l3"}
        default = "l2"
    mode = network.options.get(f"{network.driver}_mode") or default
    if mode not in modes:
        raise _refused(
            f"requested {network.driver} mode '{mode}' is not valid, '{default}' mode is the {network.driver} driver"
            " default"
        )
    flag = network.options.get("ipvlan_flag") or "bridge"
    if network.driver == "ipvlan" and version.has_ipvlan_flags and flag not in {"bridge", "private", "vepa"}:
        raise _refused(f"requested ipvlan flag '{flag}' is not valid, 'bridge' is the ipvlan driver default")
    if network.options.get("parent") == "lo":
        raise _refused(f"loopback interface is not a valid {network.driver} parent link")


def _check_sharing(network: Network, other: Network, version: EngineVersion) -> None:
    parent = parent_of(network)
    if network.driver == "ipvlan" or not version.parents_can_be_shared:
        raise _refused(f"network {_dummy(other)} is already using parent interface {parent}")
    if network.options.get("macvlan_mode") == _PASSTHRU:
        raise _refused(
            f"cannot use mode passthru, macvlan network {other.id} is already using parent interface {parent}"
        )
    if other.options.get("macvlan_mode") == _PASSTHRU:
        raise _refused(f"macvlan network {other.id} is already using parent interface {parent} in mode passthru")


def _refused(message: str) -> EngineError:
    return api_errors.from_response(_INTERNAL_ERROR, message)
