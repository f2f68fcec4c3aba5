"""The Engine API's JSON as our values: engines, networks, events. Pure, and tolerant of every version.

What differs between engines is levelled here: the order of ``IPAM.Config`` is arbitrary; a gateway that came out of a
pool carries its prefix length up to 26.1 ("fd00::1/64"); maps are absent, null or empty as it happens; 20.10 keeps a
subnet's host bits as they were typed. An entry that makes no sense is left out rather than making the whole network
unreadable.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime

from dockerv6.dockerd import fields
from dockerv6.dockerd.model import Endpoint, EngineEvent, EngineInfo, EventKind, Network, SubnetConfig

_RELEASE = re.compile(r"(\d+)\.(\d+)")
_EPOCH = datetime.fromtimestamp(0, UTC)


def engine_info(version: object, info: object) -> EngineInfo:
    """Decode ``GET /version`` and ``GET /info``."""
    number = fields.text(version, "Version")
    release = _RELEASE.match(number)
    # "iptables", "iptables+firewalld", "nftables", "nftables+firewalld"
    backend = fields.text(fields.member(info, "FirewallBackend"), "Driver").partition("+")[0]
    return EngineInfo(
        id=fields.text(info, "ID"),
        name=fields.text(info, "Name"),
        version=number,
        release=(int(release[1]), int(release[2])) if release else (0, 0),
        api_version=fields.text(version, "ApiVersion"),
        firewall_backend=backend or None,
    )


def networks(listing: object) -> tuple[Network, ...]:
    """Decode ``GET /networks``, which carries no endpoints."""
    return tuple(_network(entry, None) for entry in fields.items(listing))


def network(inspected: object) -> Network:
    """Decode ``GET /networks/{id}``."""
    containers = fields.mapping(fields.member(inspected, "Containers"))
    return _network(
        inspected,
        tuple(
            sorted(
                # swarm puts entries of its own there ("lb-<network>"), with ids that are no container's
                (_endpoint(key, entry) for key, entry in containers.items()),
                key=lambda endpoint: endpoint.container_name,
            )
        ),
    )


def _network(entry: object, endpoints: tuple[Endpoint, ...] | None) -> Network:
    return Network(
        id=fields.text(entry, "Id"),
        name=fields.text(entry, "Name"),
        driver=fields.text(entry, "Driver"),
        scope=fields.text(entry, "Scope") or "local",
        internal=fields.truth(entry, "Internal"),
        attachable=fields.truth(entry, "Attachable"),
        ingress=fields.truth(entry, "Ingress"),
        enable_ipv4=fields.truth(entry, "EnableIPv4", default=True),
        enable_ipv6=fields.truth(entry, "EnableIPv6"),
        ipam=_ipam(fields.member(entry, "IPAM")),
        options=fields.texts(fields.member(entry, "Options")),
        labels=fields.texts(fields.member(entry, "Labels")),
        endpoints=endpoints,
    )


def _ipam(ipam: object) -> tuple[SubnetConfig, ...]:
    configs = [config for entry in fields.items(fields.member(ipam, "Config")) if (config := _subnet(entry))]
    return tuple(sorted(configs, key=lambda config: config.subnet.version))


def _subnet(entry: object) -> SubnetConfig | None:
    subnet = fields.network(fields.text(entry, "Subnet"))
    if subnet is None:
        return None
    return SubnetConfig(
        subnet=subnet,
        gateway=fields.address(fields.text(entry, "Gateway")),
        ip_range=fields.network(fields.text(entry, "IPRange")),
        aux_addresses=fields.texts(fields.member(entry, "AuxiliaryAddresses")),
    )


def _endpoint(container_id: str, entry: object) -> Endpoint:
    return Endpoint(
        container_id=container_id,
        container_name=fields.text(entry, "Name"),
        endpoint_id=fields.text(entry, "EndpointID"),
        ipv4=fields.ipv4(fields.text(entry, "IPv4Address")),
        ipv6=fields.ipv6(fields.text(entry, "IPv6Address")),
    )


def created(entry: object) -> datetime:
    """Decode when a network was made; the epoch where the engine doesn't say."""
    with suppress(ValueError):
        return datetime.fromisoformat(fields.text(entry, "Created"))
    return _EPOCH


def created_id(answer: object) -> str:
    """Decode the answer of ``POST /networks/create``."""
    return fields.text(answer, "Id")


def event(message: object) -> EngineEvent | None:
    """Decode one message of ``GET /events``; None when it is about neither a network nor a container."""
    actor = fields.member(message, "Actor")
    attributes = fields.member(actor, "Attributes")
    action = fields.text(message, "Action")
    match fields.text(message, "Type"):
        case "network":
            return EngineEvent(
                EventKind.NETWORK,
                action,
                network_id=fields.text(actor, "ID") or None,
                network_name=fields.text(attributes, "name") or None,
                container_id=fields.text(attributes, "container") or None,
            )
        case "container":
            return EngineEvent(EventKind.CONTAINER, action, container_id=fields.text(actor, "ID") or None)
        case _:
            return None


def error_message(answer: object) -> str:
    """Decode the body of an error answer; empty when it is none."""
    return fields.text(answer, "message")
