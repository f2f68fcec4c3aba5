"""How engine versions differ. Messages and statuses are those of real engines of these versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dockerv6.dockerd.encode import EngineApi, format_api_version

if TYPE_CHECKING:
    from dockerv6.dockerd.encode import ApiVersion


@dataclass(frozen=True, slots=True)
class EngineVersion:
    """One engine version's behaviour.

    Attributes:
        number: as in ``GET /version``.
        api: the highest API version that it offers.
        subnet_overlap: the message when a subnet overlaps another network's.
        pools_exhausted: the message and the HTTP status when no default IPv4 pool is free.
        ipv6_pool: whether an IPv6 network without a subnet gets a ULA subnet.
        names_endpoints: whether the error of a removal lists the active endpoints.
        address_outside_subnet: the message and the HTTP status for a static address outside the subnet.
        firewall_backend: as reported; None where it is not reported.
        connect_to_host_network: the message for a connect to the host network.
        die_precedes_disconnect: whether a stop sends die, disconnect, stop; otherwise disconnect, stop, die.
        repeats_disconnect: whether a disconnect event is sent for the configuration, too.
        parents_can_be_shared: whether macvlan networks can have the same parent (since 27.0).
        has_ipvlan_flags: whether it supports ipvlan_flag and mode l3s (since 23.0).
        missing_vlan_base: the message when the interface below a VLAN does not exist.
    """

    number: str
    api: ApiVersion
    subnet_overlap: str
    pools_exhausted: tuple[str, int]
    ipv6_pool: bool
    names_endpoints: bool
    address_outside_subnet: tuple[str, int]
    firewall_backend: str | None
    connect_to_host_network: str
    die_precedes_disconnect: bool
    repeats_disconnect: bool
    parents_can_be_shared: bool
    has_ipvlan_flags: bool
    missing_vlan_base: str

    @property
    def engine_api(self) -> EngineApi:
        """The API that it offers."""
        return EngineApi(self.number, self.api)

    @property
    def release(self) -> tuple[int, int]:
        """Such as (20, 10)."""
        major, minor, *_ = self.number.split(".")
        return int(major), int(minor)

    @property
    def api_version(self) -> str:
        """Such as "1.41"."""
        return format_api_version(self.api)


_OVERLAP = "Pool overlaps with other one on this address space"
_NO_POOL = "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
_FOREIGN = "invalid endpoint settings:\nno configured subnet or ip-range contain the IP address {address}"
_NO_BASE = "-o parent interface was not found on the host: {base}"
_HOST = "container cannot be disconnected from host network or connected to host network"

ENGINE_20_10 = EngineVersion(
    number="20.10.24",
    api=(1, 41),
    subnet_overlap=_OVERLAP,
    pools_exhausted=(_NO_POOL, 404),
    ipv6_pool=False,
    names_endpoints=False,
    address_outside_subnet=("Invalid address {address}: It does not belong to any of this network's subnets", 500),
    firewall_backend=None,
    connect_to_host_network=_HOST,
    die_precedes_disconnect=True,
    repeats_disconnect=True,
    parents_can_be_shared=False,
    has_ipvlan_flags=False,
    missing_vlan_base="-o parent interface does was not found on the host: {base}",
)
ENGINE_26_1 = EngineVersion(
    number="26.1.5",
    api=(1, 45),
    subnet_overlap=_OVERLAP,
    pools_exhausted=(_NO_POOL, 404),
    ipv6_pool=False,
    names_endpoints=False,
    address_outside_subnet=(_FOREIGN, 400),
    firewall_backend=None,
    connect_to_host_network=_HOST,
    die_precedes_disconnect=False,
    repeats_disconnect=True,
    parents_can_be_shared=False,
    has_ipvlan_flags=True,
    missing_vlan_base=_NO_BASE,
)
ENGINE_28_5 = EngineVersion(
    number="28.5.2",
    api=(1, 51),
    subnet_overlap=f"invalid pool request: {_OVERLAP}",
    pools_exhausted=("all predefined address pools have been fully subnetted", 400),
    ipv6_pool=True,
    names_endpoints=True,
    address_outside_subnet=(_FOREIGN, 400),
    firewall_backend="iptables",
    connect_to_host_network="cannot connect container to host network - container must be created in host network mode",
    die_precedes_disconnect=False,
    repeats_disconnect=False,
    parents_can_be_shared=True,
    has_ipvlan_flags=True,
    missing_vlan_base=_NO_BASE,
)
