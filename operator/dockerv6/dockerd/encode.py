"""Encodes our values as the Engine API's JSON, in the API version negotiated with the engine. Pure.

Which version has which field is from https://docs.docker.com/reference/api/engine/version-history/, checked against
engines 20.10, 26.1 and 28.5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dockerv6.dockerd.port import EngineTooOld

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dockerv6.dockerd.model import Attachment, NetworkSpec, SubnetConfig

RequestBody = dict[str, object]

ApiVersion = tuple[int, int]
"""An API version: (1, 41)."""

HIGHEST_API: ApiVersion = (1, 54)
"""The highest version that we request, whatever the engine offers: later ones may change the responses."""

ENDPOINT_DRIVER_OPTS: ApiVersion = (1, 32)
ENABLE_IPV4: ApiVersion = (1, 48)
GATEWAY_PRIORITY: ApiVersion = (1, 48)
CONNECT_MAC_ADDRESS: ApiVersion = (1, 54)
"""Versions 1.44 to 1.53 accept `MacAddress` in a connect request and ignore it."""

_SERVER = re.compile(r"Docker/(\S+)")


@dataclass(frozen=True, slots=True)
class EngineApi:
    """An engine's version and the API version that it offers."""

    engine_version: str
    offered: ApiVersion

    @property
    def version(self) -> ApiVersion:
        """The API version that both sides support."""
        return min(self.offered, HIGHEST_API)

    def supports(self, feature: ApiVersion) -> bool:
        """Whether the negotiated version is at least the one that introduced a feature."""
        return self.version >= feature


def parse_api_version(text: str) -> ApiVersion | None:
    """Parse "1.41"; None when it is not an API version."""
    major, dot, minor = text.partition(".")
    return (int(major), int(minor)) if dot and major.isdecimal() and minor.isdecimal() else None


def format_api_version(version: ApiVersion) -> str:
    """Format as in a path: "1.41"."""
    return f"{version[0]}.{version[1]}"


def api_from_headers(headers: Mapping[str, str]) -> EngineApi | None:
    """Read the headers `Api-Version` and `Server`, which an engine puts on every response; None without them."""
    offered = parse_api_version(headers.get("Api-Version", ""))
    if offered is None:
        return None
    server = _SERVER.match(headers.get("Server", ""))
    return EngineApi(server[1] if server else "of unknown version", offered)


def network(spec: NetworkSpec, api: EngineApi) -> RequestBody:
    """Encode the body of ``POST /networks/create``.

    Raises:
        EngineTooOld: the engine would silently ignore that IPv4 is disabled.
    """
    if not spec.enable_ipv4 and not api.supports(ENABLE_IPV4):
        raise EngineTooOld(
            f"network {spec.name}: Docker Engine {api.engine_version} (API {format_api_version(api.offered)}) can't "
            f"create a network without IPv4: leave IPv4 enabled, or upgrade to Docker Engine 28.0 or newer"
        )
    body: RequestBody = {
        "Name": spec.name,
        # without it, engines before 25 create a second network of the same name; later ones ignore the field
        "CheckDuplicate": True,
        "Driver": spec.driver,
        "Internal": spec.internal,
        "Attachable": spec.attachable,
        # always sent: where it is absent, engines >= 28 take the daemon's default-network-opts
        "EnableIPv6": spec.enable_ipv6,
        "Options": dict(spec.options),
        "Labels": dict(spec.labels),
    }
    if api.supports(ENABLE_IPV4):
        body["EnableIPv4"] = spec.enable_ipv4
    if spec.ipam:
        body["IPAM"] = {"Driver": "default", "Config": [_subnet(config) for config in spec.ipam]}
    return body


def _subnet(config: SubnetConfig) -> RequestBody:
    entry: RequestBody = {"Subnet": str(config.subnet)}
    if config.ip_range is not None:
        entry["IPRange"] = str(config.ip_range)
    if config.gateway is not None:
        entry["Gateway"] = str(config.gateway)
    if config.aux_addresses:
        entry["AuxiliaryAddresses"] = dict(config.aux_addresses)
    return entry


def connection(attachment: Attachment, api: EngineApi) -> RequestBody:
    """Encode the body of ``POST /networks/{id}/connect``, without fields that the engine does not support.

    Of the addresses, only the static ones are requested; the engine assigns the others.
    """
    endpoint: RequestBody = {}
    if attachment.aliases:
        endpoint["Aliases"] = list(attachment.aliases)
    if attachment.links:
        endpoint["Links"] = list(attachment.links)
    if addresses := _static_addresses(attachment):
        endpoint["IPAMConfig"] = addresses
    if attachment.driver_opts and api.supports(ENDPOINT_DRIVER_OPTS):
        endpoint["DriverOpts"] = dict(attachment.driver_opts)
    if attachment.gw_priority and api.supports(GATEWAY_PRIORITY):
        endpoint["GwPriority"] = attachment.gw_priority
    if attachment.mac_address and api.supports(CONNECT_MAC_ADDRESS):
        endpoint["MacAddress"] = attachment.mac_address
    return {"Container": attachment.container_id, "EndpointConfig": endpoint}


def _static_addresses(attachment: Attachment) -> RequestBody:
    addresses: RequestBody = {}
    if attachment.static_ipv4 is not None:
        addresses["IPv4Address"] = str(attachment.static_ipv4)
    if attachment.static_ipv6 is not None:
        addresses["IPv6Address"] = str(attachment.static_ipv6)
    if attachment.link_local_ips:
        addresses["LinkLocalIPs"] = list(attachment.link_local_ips)
    return addresses


def disconnection(container_id: str, *, force: bool) -> RequestBody:
    """Encode the body of ``POST /networks/{id}/disconnect``."""
    return {"Container": container_id, "Force": force}
