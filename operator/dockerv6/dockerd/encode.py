"""Our values as the Engine API's JSON, for the API version that the engine speaks. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockerv6.dockerd import dialect as api
from dockerv6.dockerd.port import EngineTooOld

if TYPE_CHECKING:
    from dockerv6.dockerd.dialect import Dialect
    from dockerv6.dockerd.model import Attachment, NetworkSpec, SubnetConfig

Json = dict[str, object]


def network(spec: NetworkSpec, dialect: Dialect) -> Json:
    """Encode the body of ``POST /networks/create``.

    Raises:
        EngineTooOld: the engine would ignore that IPv4 is not wanted, and say nothing.
    """
    if not spec.enable_ipv4 and not dialect.understands(api.ENABLE_IPV4):
        raise EngineTooOld(
            f"network {spec.name}: Docker Engine {dialect.version} (API {api.format_api(dialect.api)}) can't make a "
            f"network without IPv4: leave IPv4 enabled, or upgrade to Docker Engine 28.0 or newer"
        )
    body: Json = {
        "Name": spec.name,
        # 20.10 makes a second network of the same name otherwise; engines >= 25 never do, and ignore the field
        "CheckDuplicate": True,
        "Driver": spec.driver,
        "Internal": spec.internal,
        "Attachable": spec.attachable,
        # always said: where it is absent, engines >= 28 take the daemon's default-network-opts
        "EnableIPv6": spec.enable_ipv6,
        "Options": dict(spec.options),
        "Labels": dict(spec.labels),
    }
    if dialect.understands(api.ENABLE_IPV4):
        body["EnableIPv4"] = spec.enable_ipv4
    if spec.ipam:
        body["IPAM"] = {"Driver": "default", "Config": [_subnet(config) for config in spec.ipam]}
    return body


def _subnet(config: SubnetConfig) -> Json:
    entry: Json = {"Subnet": str(config.subnet)}
    if config.ip_range is not None:
        entry["IPRange"] = str(config.ip_range)
    if config.gateway is not None:
        entry["Gateway"] = str(config.gateway)
    if config.aux_addresses:
        entry["AuxiliaryAddresses"] = dict(config.aux_addresses)
    return entry


def connection(attachment: Attachment, dialect: Dialect) -> Json:
    """Encode the body of ``POST /networks/{id}/connect``; what the engine can't be told is left out.

    Addresses in use that nobody asked for are not asked for either: the engine chooses anew.
    """
    endpoint: Json = {}
    if attachment.aliases:
        endpoint["Aliases"] = list(attachment.aliases)
    if attachment.links:
        endpoint["Links"] = list(attachment.links)
    if addresses := _addresses(attachment):
        endpoint["IPAMConfig"] = addresses
    if attachment.driver_opts and dialect.understands(api.ENDPOINT_DRIVER_OPTS):
        endpoint["DriverOpts"] = dict(attachment.driver_opts)
    if attachment.gw_priority and dialect.understands(api.GATEWAY_PRIORITY):
        endpoint["GwPriority"] = attachment.gw_priority
    if attachment.mac_address and dialect.understands(api.CONNECT_MAC_ADDRESS):
        endpoint["MacAddress"] = attachment.mac_address
    return {"Container": attachment.container_id, "EndpointConfig": endpoint}


def _addresses(attachment: Attachment) -> Json:
    addresses: Json = {}
    if attachment.static_ipv4 is not None:
        addresses["IPv4Address"] = str(attachment.static_ipv4)
    if attachment.static_ipv6 is not None:
        addresses["IPv6Address"] = str(attachment.static_ipv6)
    if attachment.link_local_ips:
        addresses["LinkLocalIPs"] = list(attachment.link_local_ips)
    return addresses


def disconnection(container_id: str, *, force: bool) -> Json:
    """Encode the body of ``POST /networks/{id}/disconnect``."""
    return {"Container": container_id, "Force": force}
