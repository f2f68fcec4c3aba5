"""The Engine API's JSON as our values. Pure, and tolerant of every version.

What differs between engines is levelled here: the order of ``IPAM.Config`` is arbitrary; a gateway that came out of a
pool carries its prefix length up to 26.1 ("fd00::1/64"); maps are absent, null or empty as it happens; engines before
API 1.45 add the container's short id to the aliases that the user gave; 20.10 keeps a subnet's host bits as they were
typed. An entry that makes no sense is left out rather than making the whole network unreadable.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TYPE_CHECKING

from dockerv6.dockerd.model import (
    Attachment,
    Endpoint,
    EngineEvent,
    EngineInfo,
    EventKind,
    Network,
    SubnetConfig,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SHORT_ID = 12
_RELEASE = re.compile(r"(\d+)\.(\d+)")
_EPOCH = datetime.fromtimestamp(0, UTC)


def engine_info(version: object, info: object) -> EngineInfo:
    """Decode ``GET /version`` and ``GET /info``."""
    number = _text(version, "Version")
    release = _RELEASE.match(number)
    # "iptables", "iptables+firewalld", "nftables", "nftables+firewalld"
    backend = _text(_member(info, "FirewallBackend"), "Driver").partition("+")[0]
    return EngineInfo(
        id=_text(info, "ID"),
        name=_text(info, "Name"),
        version=number,
        release=(int(release[1]), int(release[2])) if release else (0, 0),
        api_version=_text(version, "ApiVersion"),
        firewall_backend=backend or None,
    )


def networks(listing: object) -> tuple[Network, ...]:
    """Decode ``GET /networks``, which carries no endpoints."""
    return tuple(_network(entry, None) for entry in _items(listing))


def network(inspected: object) -> Network:
    """Decode ``GET /networks/{id}``."""
    containers = _mapping(_member(inspected, "Containers"))
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
        id=_text(entry, "Id"),
        name=_text(entry, "Name"),
        driver=_text(entry, "Driver"),
        scope=_text(entry, "Scope") or "local",
        internal=_truth(entry, "Internal"),
        attachable=_truth(entry, "Attachable"),
        ingress=_truth(entry, "Ingress"),
        enable_ipv4=_truth(entry, "EnableIPv4", default=True),
        enable_ipv6=_truth(entry, "EnableIPv6"),
        ipam=_ipam(_member(entry, "IPAM")),
        options=_texts(_member(entry, "Options")),
        labels=_texts(_member(entry, "Labels")),
        endpoints=endpoints,
    )


def _ipam(ipam: object) -> tuple[SubnetConfig, ...]:
    configs = [config for entry in _items(_member(ipam, "Config")) if (config := _subnet(entry))]
    return tuple(sorted(configs, key=lambda config: config.subnet.version))


def _subnet(entry: object) -> SubnetConfig | None:
    subnet = _parse_network(_text(entry, "Subnet"))
    if subnet is None:
        return None
    return SubnetConfig(
        subnet=subnet,
        gateway=_parse_address(_text(entry, "Gateway")),
        ip_range=_parse_network(_text(entry, "IPRange")),
        aux_addresses=_texts(_member(entry, "AuxiliaryAddresses")),
    )


def _endpoint(container_id: str, entry: object) -> Endpoint:
    return Endpoint(
        container_id=container_id,
        container_name=_text(entry, "Name"),
        endpoint_id=_text(entry, "EndpointID"),
        ipv4=_ipv4(_text(entry, "IPv4Address")),
        ipv6=_ipv6(_text(entry, "IPv6Address")),
    )


def created(entry: object) -> datetime:
    """Decode when a network was made; the epoch where the engine doesn't say."""
    with suppress(ValueError):
        return datetime.fromisoformat(_text(entry, "Created"))
    return _EPOCH


def created_id(answer: object) -> str:
    """Decode the answer of ``POST /networks/create``."""
    return _text(answer, "Id")


def container_ids(listing: object) -> tuple[str, ...]:
    """Decode ``GET /containers/json``."""
    return tuple(_text(entry, "Id") for entry in _items(listing))


def occupied(listing: object) -> frozenset[str]:
    """Decode ``GET /containers/json`` as the ids and names of all networks that its containers are configured on."""
    entries = ((key, _text(entry, "NetworkID")) for container in _items(listing) for key, entry in _settings(container))
    return frozenset(ref for entry in entries for ref in entry if ref)


def attachment(inspected: object, network_id: str, network_name: str | None) -> Attachment | None:
    """Decode ``GET /containers/{id}/json`` as the container's attachment to one network; None when it has none.

    Entries are keyed by the network's name, or by its id where the user gave that and the container never ran. A
    container that never ran, or was connected while stopped, has no network id in its entry yet.

    Args:
        inspected: the answer.
        network_id: of the network.
        network_name: None when the network is gone and only the id is known.
    """
    for key, entry in _settings(inspected):
        entry_id = _text(entry, "NetworkID")
        if entry_id == network_id or (not entry_id and key in {network_id, network_name}):
            return _attachment(inspected, key, entry)
    return None


def stranded(inspected: object, network_name: str, living: frozenset[str]) -> Attachment | None:
    """Decode as the container's attachment to a network of that name whose id is not among the living ones."""
    for key, entry in _settings(inspected):
        entry_id = _text(entry, "NetworkID")
        if key == network_name and entry_id and entry_id not in living:
            return _attachment(inspected, key, entry)
    return None


def _settings(inspected: object) -> Iterator[tuple[str, object]]:
    yield from _mapping(_member(_member(inspected, "NetworkSettings"), "Networks")).items()


def _attachment(inspected: object, key: str, entry: object) -> Attachment:
    container_id = _text(inspected, "Id")
    asked = _member(entry, "IPAMConfig")
    aliases = (str(alias) for alias in _items(_member(entry, "Aliases")))
    return Attachment(
        container_id=container_id,
        container_name=_text(inspected, "Name").removeprefix("/"),
        running=_truth(_member(inspected, "State"), "Running"),
        aliases=tuple(alias for alias in aliases if alias != container_id[:_SHORT_ID]),
        links=tuple(str(link) for link in _items(_member(entry, "Links"))),
        ipv4=_ipv4(_text(entry, "IPAddress")),
        ipv6=_ipv6(_text(entry, "GlobalIPv6Address")),
        static_ipv4=_ipv4(_text(asked, "IPv4Address")),
        static_ipv6=_ipv6(_text(asked, "IPv6Address")),
        driver_opts=_texts(_member(entry, "DriverOpts")),
        gw_priority=_number(entry, "GwPriority"),
        mac_address=_asked_mac(inspected, key, entry),
        link_local_ips=tuple(str(address) for address in _items(_member(asked, "LinkLocalIPs"))),
    )


def _asked_mac(inspected: object, key: str, entry: object) -> str | None:
    """Give the MAC address that the user asked for.

    An entry's own ``MacAddress`` is the one in use, asked for or not. ``Config.MacAddress`` is always a wish, for the
    container's first network.
    """
    mode = _text(_member(inspected, "HostConfig"), "NetworkMode")
    if mode not in {key, _text(entry, "NetworkID")} or not mode:
        return None
    return _text(_member(inspected, "Config"), "MacAddress") or None


def event(message: object) -> EngineEvent | None:
    """Decode one message of ``GET /events``; None when it is about neither a network nor a container."""
    actor = _member(message, "Actor")
    attributes = _member(actor, "Attributes")
    action = _text(message, "Action")
    match _text(message, "Type"):
        case "network":
            return EngineEvent(
                EventKind.NETWORK,
                action,
                network_id=_text(actor, "ID") or None,
                network_name=_text(attributes, "name") or None,
                container_id=_text(attributes, "container") or None,
            )
        case "container":
            return EngineEvent(EventKind.CONTAINER, action, container_id=_text(actor, "ID") or None)
        case _:
            return None


def error_message(answer: object) -> str:
    """Decode the body of an error answer; empty when it is none."""
    return _text(answer, "message")


def _member(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object, key: str) -> str:
    member = _member(value, key)
    return member if isinstance(member, str) else ""


def _texts(value: object) -> dict[str, str]:
    return {key: str(member) for key, member in _mapping(value).items()}


def _truth(value: object, key: str, *, default: bool = False) -> bool:
    member = _member(value, key)
    return member if isinstance(member, bool) else default


def _number(value: object, key: str) -> int:
    member = _member(value, key)
    return member if isinstance(member, int) else 0


# A resync of hundreds of networks reads the same few strings over and over, and parsing was most of its cost.
@lru_cache(maxsize=4096)
def _parse_network(text: str) -> IPv4Network | IPv6Network | None:
    with suppress(ValueError):
        return ip_network(text, strict=False)
    return None


@lru_cache(maxsize=4096)
def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    with suppress(ValueError):
        return ip_address(text.partition("/")[0])
    return None


def _ipv4(text: str) -> IPv4Address | None:
    address = _parse_address(text)
    return address if isinstance(address, IPv4Address) else None


def _ipv6(text: str) -> IPv6Address | None:
    address = _parse_address(text)
    return address if isinstance(address, IPv6Address) else None
