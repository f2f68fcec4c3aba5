"""How engine versions differ, for the fake. Words and statuses are those of the real engines of these versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dockerv6.dockerd.dialect import Dialect, format_api

if TYPE_CHECKING:
    from dockerv6.dockerd.dialect import Api


@dataclass(frozen=True, slots=True)
class EngineVersion:
    """One engine version's behaviour.

    Attributes:
        version: as ``GET /version`` has it.
        api: highest API version.
        overlap: what is said when a subnet overlaps another network's.
        exhausted: what is said when the default IPv4 pools are used up, and the HTTP status.
        ipv6_pool: whether an IPv6 network without a subnet gets a ULA one.
        names_endpoints: whether a refused removal says which endpoints are in the way.
        foreign_address: what is said to a static address outside the subnet, and the HTTP status.
        firewall_backend: as reported; None where it isn't.
        host_network: what is said to a connect to the host network.
        dies_first: whether a stop is told as die, disconnect, stop; else as disconnect, stop, die.
        tells_lost_configuration: whether a disconnect is told (once more, while running) for the configuration.
        shares_parents: whether macvlan networks can have the same parent (since 27.0).
        ipvlan_flags: whether it reads ipvlan_flag, and knows mode l3s (since 23.0).
        missing_base: what is said when a VLAN is to be made of an interface that isn't there.
    """

    version: str
    api: Api
    overlap: str
    exhausted: tuple[str, int]
    ipv6_pool: bool
    names_endpoints: bool
    foreign_address: tuple[str, int]
    firewall_backend: str | None
    host_network: str
    dies_first: bool
    tells_lost_configuration: bool
    shares_parents: bool
    ipvlan_flags: bool
    missing_base: str

    @property
    def dialect(self) -> Dialect:
        """What this engine understands."""
        return Dialect(self.version, self.api)

    @property
    def release(self) -> tuple[int, int]:
        """Such as (20, 10)."""
        major, minor, *_ = self.version.split(".")
        return int(major), int(minor)

    @property
    def api_version(self) -> str:
        """Such as "1.41"."""
        return format_api(self.api)


_OVERLAP = "Pool overlaps with other one on this address space"
_NO_POOL = "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
_FOREIGN = "invalid endpoint settings:\nno configured subnet or ip-range contain the IP address {address}"
_NO_BASE = "-o parent interface was not found on the host: {base}"
_HOST = "container cannot be disconnected from host network or connected to host network"

ENGINE_20_10 = EngineVersion(
    version="20.10.24",
    api=(1, 41),
    overlap=_OVERLAP,
    exhausted=(_NO_POOL, 404),
    ipv6_pool=False,
    names_endpoints=False,
    foreign_address=("Invalid address {address}: It does not belong to any of this network's subnets", 500),
    firewall_backend=None,
    host_network=_HOST,
    dies_first=True,
    tells_lost_configuration=True,
    shares_parents=False,
    ipvlan_flags=False,
    missing_base="-o parent interface does was not found on the host: {base}",
)
ENGINE_26_1 = EngineVersion(
    version="26.1.5",
    api=(1, 45),
    overlap=_OVERLAP,
    exhausted=(_NO_POOL, 404),
    ipv6_pool=False,
    names_endpoints=False,
    foreign_address=(_FOREIGN, 400),
    firewall_backend=None,
    host_network=_HOST,
    dies_first=False,
    tells_lost_configuration=True,
    shares_parents=False,
    ipvlan_flags=True,
    missing_base=_NO_BASE,
)
ENGINE_28_5 = EngineVersion(
    version="28.5.2",
    api=(1, 51),
    overlap=f"invalid pool request: {_OVERLAP}",
    exhausted=("all predefined address pools have been fully subnetted", 400),
    ipv6_pool=True,
    names_endpoints=True,
    foreign_address=(_FOREIGN, 400),
    firewall_backend="iptables",
    host_network="cannot connect container to host network - container must be created in host network mode",
    dies_first=False,
    tells_lost_configuration=False,
    shares_parents=True,
    ipvlan_flags=True,
    missing_base=_NO_BASE,
)
