"""Decodes the Engine API's JSON into our values. Pure, and tolerant of every version.

What differs between engines is normalized here:

- The order of ``IPAM.Config`` is arbitrary. Up to 26.1 a gateway that came from a pool has a prefix length
  ("fd00::1/64"). 20.10 keeps the host bits of a subnet as they were typed.
- Maps may be absent, null or empty. An entry of an unexpected type reads as empty. Each item of a list is decoded
  separately: a network with a field that can't be read has a ``problem``, a container keeps the ports that can.
- JSON can hold text that nothing else can encode: NUL and halves of surrogate pairs become U+FFFD.
- Before API 1.45 the aliases of a container include its short id. 20.10 reports ``NetworkMode`` "default" where later
  engines report "bridge". ``GwPriority`` is listed since 28. ``Names`` includes the names of legacy links
  ("/linker/alias").

A listing (``GET /containers/json``) shows published ports as follows, the same on 20.10, 26.1 and 28.5:

=========================  ==========================================================================================
``-p``                     ``Ports``
=========================  ==========================================================================================
``8080:80``                two entries, "0.0.0.0" and "::"
``0.0.0.0:8080:80``        "0.0.0.0" only
any other address          that address only ("127.0.0.1", "::1", "::", "2001:db8::1")
``9000-9002:90-92``        one or two entries per port, as above
``80``, ``-P``             as above, with the port that the engine chose; it chooses again at each start
``9100-9110:80``           as above, with the port of the range that was assigned
exposed, not published     an entry without ``IP`` and ``PublicPort``
=========================  ==========================================================================================

With the userland proxy off, a network without IPv6 gets IPv4 bindings only: "0.0.0.0" for ``8080:80``, and an unbound
entry for an IPv6 address; the requested address is then only in the container's inspect. 20.10 with the proxy off may
choose different ports for "0.0.0.0" and "::". On an internal network, or without any network, no port is bound.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from dockerv6.dockerd.images import ImagesById, labels_at_creation
from dockerv6.dockerd.model import (
    Attachment,
    Container,
    ContainerEndpoint,
    Endpoint,
    EngineEvent,
    EngineInfo,
    EventKind,
    Network,
    PortBinding,
    SubnetConfig,
)
from dockerv6.dockerd.port import EngineApiError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_RELEASE = re.compile(r"(\d+)\.(\d+)")
_EPOCH = datetime.fromtimestamp(0, UTC)
_SHORT_ID = 12
_LAST_PORT = 65535
_PROTOCOLS = frozenset({"tcp", "udp", "sctp"})
_UNKNOWN_IMAGE = EngineApiError("the engine lists no image for it")


# Engine


def engine_info(version: object, info: object) -> EngineInfo:
    """Decode ``GET /version`` and ``GET /info``."""
    number = _text(version, "Version")
    release = _RELEASE.match(number)
    # "iptables", "iptables+firewalld", "nftables", "nftables+firewalld"
    backend = _text(_member(info, "FirewallBackend"), "Driver").partition("+")[0]
    return EngineInfo(
        name=_text(info, "Name"),
        version=number,
        release=(int(release[1]), int(release[2])) if release else (0, 0),
        api_version=_text(version, "ApiVersion"),
        firewall_backend=backend or None,
    )


def event(message: object) -> EngineEvent | None:
    """Decode one message of ``GET /events``; None when it concerns neither a network nor a container."""
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


def error_message(response: object) -> str:
    """Decode the body of an error response; "" when it is not the engine's."""
    return _text(response, "message")


# Networks


def networks(listing: object) -> tuple[Network, ...]:
    """Decode ``GET /networks``, which carries no endpoints."""
    return tuple(_network(entry, None) for entry in _items(listing))


def network(inspected: object) -> Network:
    """Decode ``GET /networks/{id}``."""
    # swarm adds entries of its own ("lb-<network>"), whose ids are not ids of containers
    containers = _mapping(_member(inspected, "Containers"))
    endpoints = (_endpoint(container_id, entry) for container_id, entry in containers.items())
    return _network(inspected, tuple(sorted(endpoints, key=lambda endpoint: endpoint.container_name)))


def created(entry: object) -> datetime:
    """Decode the creation time of a listed network; the epoch where the engine omits it."""
    with suppress(ValueError):
        when = datetime.fromisoformat(_text(entry, "Created"))
        return when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return _EPOCH


def created_id(response: object) -> str:
    """Decode the response to ``POST /networks/create``."""
    return _text(response, "Id")


def _network(entry: object, endpoints: tuple[Endpoint, ...] | None) -> Network:
    configs = _items(_member(_member(entry, "IPAM"), "Config"))
    return Network(
        id=_text(entry, "Id"),
        name=_text(entry, "Name"),
        driver=_text(entry, "Driver"),
        internal=_bool(entry, "Internal"),
        attachable=_bool(entry, "Attachable"),
        enable_ipv4=_bool(entry, "EnableIPv4", default=True),
        enable_ipv6=_bool(entry, "EnableIPv6"),
        ipam=_ipam(configs),
        options=_texts(_member(entry, "Options")),
        labels=_texts(_member(entry, "Labels")),
        endpoints=endpoints,
        problem=", ".join(_unreadable(entry, configs)),
    )


def _unreadable(entry: object, configs: list[object]) -> Iterator[str]:
    """The fields of a network that are not what any engine sends."""
    yield from (key for key in ("Id", "Name", "Driver") if not _text(entry, key))
    for key in ("Internal", "Attachable", "EnableIPv4", "EnableIPv6"):
        if not isinstance(_member(entry, key), bool | None):
            yield key
    for key in ("Options", "Labels", "IPAM"):
        if not isinstance(_member(entry, key), dict | None):
            yield key
    if not isinstance(_member(_member(entry, "IPAM"), "Config"), list | None):
        yield "IPAM.Config"
    for config in configs:
        text = _text(config, "Subnet")
        if _prefix(text) is None and (text or not isinstance(_member(config, "Subnet"), str | None)):
            yield f"IPAM.Config.Subnet {_member(config, 'Subnet')!r:.50}"


def _ipam(entries: list[object]) -> tuple[SubnetConfig, ...]:
    configs = [config for entry in entries if (config := _subnet(entry))]
    return tuple(sorted(configs, key=lambda config: config.subnet.version))


def _subnet(entry: object) -> SubnetConfig | None:
    subnet = _prefix(_text(entry, "Subnet"))
    if subnet is None:
        return None
    return SubnetConfig(
        subnet=subnet,
        gateway=_address(_text(entry, "Gateway")),
        ip_range=_prefix(_text(entry, "IPRange")),
        aux_addresses=_texts(_member(entry, "AuxiliaryAddresses")),
    )


def _endpoint(container_id: str, entry: object) -> Endpoint:
    return Endpoint(
        container_id=container_id,
        container_name=_text(entry, "Name"),
        ipv4=_ipv4(entry, "IPv4Address"),
        ipv6=_ipv6(entry, "IPv6Address"),
    )


# Containers


def containers(listing: object, images: ImagesById) -> tuple[Container, ...]:
    """Decode ``GET /containers/json``, ordered by id.

    Args:
        listing: the response.
        images: at least those of `image_ids`.
    """
    found = (_container(entry, images) for entry in _items(listing) if _text(entry, "Id"))
    return tuple(sorted(found, key=lambda container: container.id))


def image_ids(listing: object) -> tuple[str, ...]:
    """Decode ``GET /containers/json`` into the ids of the images of all containers with labels."""
    return tuple(
        image_id for entry in _items(listing) if _member(entry, "Labels") and (image_id := _text(entry, "ImageID"))
    )


def image_labels(inspected: object) -> Mapping[str, str]:
    """Decode ``GET /images/{id}/json`` into the image's labels."""
    return _texts(_member(_member(inspected, "Config"), "Labels"))


def container_ids(listing: object) -> tuple[str, ...]:
    """Decode ``GET /containers/json`` into ids only."""
    return tuple(_text(entry, "Id") for entry in _items(listing))


def networks_in_use(listing: object) -> frozenset[str]:
    """Decode ``GET /containers/json`` into the ids and names of all networks that its containers are configured on."""
    entries = (entry for container in _items(listing) for entry in _endpoint_settings(container))
    return frozenset(ref for name, settings in entries for ref in (name, _text(settings, "NetworkID")) if ref)


def attachment(inspected: object, network_id: str, network_name: str | None) -> Attachment | None:
    """Decode ``GET /containers/{id}/json`` into the container's attachment to one network; None without one.

    Entries are keyed by the network's name, or by its id where the user gave the id and the container never ran. The
    entry of a container that never ran, or was connected while stopped, has no network id yet.

    Args:
        inspected: the response.
        network_id: of the network.
        network_name: None when the network is gone and only its id is known.
    """
    for key, settings in _endpoint_settings(inspected):
        entry_id = _text(settings, "NetworkID")
        if entry_id == network_id or (not entry_id and key in {network_id, network_name}):
            return _attachment(inspected, key, settings)
    return None


def orphaned_attachment(inspected: object, network_name: str, existing_ids: frozenset[str]) -> Attachment | None:
    """Decode into the container's attachment to a network of that name whose id no longer exists."""
    for key, settings in _endpoint_settings(inspected):
        entry_id = _text(settings, "NetworkID")
        if key == network_name and entry_id and entry_id not in existing_ids:
            return _attachment(inspected, key, settings)
    return None


def port_order(binding: PortBinding) -> tuple[str, int, int, int, int]:
    """Sort key for a container's ports: by protocol, host port and container port, IPv4 first."""
    address = binding.host_address
    family, value = (0, 0) if address is None else (address.version, int(address))
    return binding.protocol, binding.host_port, binding.container_port, family, value


def _container(entry: object, images: ImagesById) -> Container:
    endpoints = (
        ContainerEndpoint(
            network_id=_text(settings, "NetworkID"),
            network_name=name,
            ipv6=_ipv6(settings, "GlobalIPv6Address"),
            gw_priority=_number(settings, "GwPriority"),
        )
        for name, settings in _endpoint_settings(entry)
    )
    ports = {binding for port in _items(_member(entry, "Ports")) if (binding := _port(port))}
    labels = _texts(_member(entry, "Labels"))
    image = images.get(_text(entry, "ImageID"), _UNKNOWN_IMAGE) if labels else {}
    own = {} if isinstance(image, EngineApiError) else labels_at_creation(labels, image)
    return Container(
        id=_text(entry, "Id"),
        name=_own_name(_items(_member(entry, "Names"))),
        created=_number(entry, "Created"),
        labels=own,
        image_labels={key: value for key, value in labels.items() if key not in own},
        image_problem=str(image) if isinstance(image, EngineApiError) else "",
        ports=tuple(sorted(ports, key=port_order)),
        endpoints=tuple(sorted(endpoints, key=lambda endpoint: endpoint.network_name)),
        network_mode=_text(_member(entry, "HostConfig"), "NetworkMode") or "default",
    )


def _own_name(names: list[object]) -> str:
    """Return the name that is not a link of another container."""
    plain = (str(name).removeprefix("/") for name in names)
    return next((name for name in plain if "/" not in name), "")


def _port(entry: object) -> PortBinding | None:
    host_port, container_port = _number(entry, "PublicPort"), _number(entry, "PrivatePort")
    protocol = _text(entry, "Type") or "tcp"
    if not (0 < host_port <= _LAST_PORT and 0 < container_port <= _LAST_PORT) or protocol not in _PROTOCOLS:
        return None
    return PortBinding(
        protocol=protocol,
        container_port=container_port,
        host_port=host_port,
        host_address=_address(_text(entry, "IP")),
    )


def _endpoint_settings(container: object) -> Iterator[tuple[str, object]]:
    yield from _mapping(_member(_member(container, "NetworkSettings"), "Networks")).items()


def _attachment(inspected: object, key: str, settings: object) -> Attachment:
    container_id = _text(inspected, "Id")
    requested = _member(settings, "IPAMConfig")
    aliases = (str(alias) for alias in _items(_member(settings, "Aliases")))
    return Attachment(
        container_id=container_id,
        container_name=_text(inspected, "Name").removeprefix("/"),
        running=_bool(_member(inspected, "State"), "Running"),
        aliases=tuple(alias for alias in aliases if alias != container_id[:_SHORT_ID]),
        links=tuple(str(link) for link in _items(_member(settings, "Links"))),
        ipv4=_ipv4(settings, "IPAddress"),
        ipv6=_ipv6(settings, "GlobalIPv6Address"),
        static_ipv4=_ipv4(requested, "IPv4Address"),
        static_ipv6=_ipv6(requested, "IPv6Address"),
        driver_opts=_texts(_member(settings, "DriverOpts")),
        gw_priority=_number(settings, "GwPriority"),
        mac_address=_requested_mac(inspected, key, settings),
        link_local_ips=tuple(str(address) for address in _items(_member(requested, "LinkLocalIPs"))),
    )


def _requested_mac(inspected: object, key: str, settings: object) -> str | None:
    """Return the MAC address that the user requested.

    An entry's own ``MacAddress`` is the one in use, requested or not. ``Config.MacAddress`` is always a request, for
    the container's first network.
    """
    mode = _text(_member(inspected, "HostConfig"), "NetworkMode")
    if not mode or mode not in {key, _text(settings, "NetworkID")}:
        return None
    return _text(_member(inspected, "Config"), "MacAddress") or None


# Fields of JSON of unknown shape: a field that is missing or has another type reads as empty


def _member(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object, key: str) -> str:
    found = _member(value, key)
    return found if isinstance(found, str) else ""


def _texts(value: object) -> dict[str, str]:
    return {key: str(found) for key, found in _mapping(value).items()}


def _bool(value: object, key: str, *, default: bool = False) -> bool:
    found = _member(value, key)
    return found if isinstance(found, bool) else default


def _number(value: object, key: str) -> int:
    found = _member(value, key)
    return found if isinstance(found, int) else 0


def _ipv4(value: object, key: str) -> IPv4Address | None:
    found = _address(_text(value, key))
    return found if isinstance(found, IPv4Address) else None


def _ipv6(value: object, key: str) -> IPv6Address | None:
    found = _address(_text(value, key))
    return found if isinstance(found, IPv6Address) else None


# A resync of hundreds of networks parses the same few strings again and again: it was most of its cost.
@lru_cache(maxsize=4096)
def _prefix(text: str) -> IPv4Network | IPv6Network | None:
    """Parse a subnet, with or without host bits; None when it is not one."""
    with suppress(ValueError):
        return ip_network(text, strict=False)
    return None


@lru_cache(maxsize=4096)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address, with or without a prefix length; None when it is not one."""
    with suppress(ValueError):
        return ip_address(text.partition("/")[0])
    return None
