"""Decodes the Engine API's JSON into our values. Pure, and tolerant of every version.

What differs between engines is normalized here:

- The order of ``IPAM.Config`` is arbitrary. Up to 26.1 a gateway that came from a pool has a prefix length
  ("fd00::1/64"). 20.10 keeps the host bits of a subnet as they were typed.
- Maps may be absent, null or empty. A field of an unexpected type reads as empty. Each item of a list is decoded
  separately: a network with a field that can't be read has a ``problem``, a container keeps the ports that can.
- A response of another type than the one that was asked for is refused (`responses`).
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
from typing import TYPE_CHECKING

from dockerv6.dockerd import fields, port_bindings
from dockerv6.dockerd.model import (
    Container,
    ContainerEndpoint,
    Endpoint,
    EngineEvent,
    EngineInfo,
    EventKind,
    Network,
    SubnetConfig,
)
from dockerv6.dockerd.port import EngineApiError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

from collections.abc import Mapping

from dockerv6.dockerd.model import COMPOSE_PROJECT, COMPOSE_SERVICE

_RELEASE = re.compile(r"(\d+)\.(\d+)")
_EPOCH = datetime.fromtimestamp(0, UTC)
CONTAINERS = "containers"
_UNKNOWN_IMAGE = EngineApiError("the engine lists no image for it")


# Engine


def engine_info(version: object, info: object) -> EngineInfo:
    """Decode ``GET /version`` and ``GET /info``.

    Raises:
        EngineUnavailable: one of them is not that.
    """
    fields.require(version, "Version", "its version")
    fields.require(info, "ServerVersion", "information about itself")
    number = fields.text(version, "Version")
    release = _RELEASE.match(number)
    # "iptables", "iptables+firewalld", "nftables", "nftables+firewalld"
    backend = fields.text(fields.member(info, "FirewallBackend"), "Driver").partition("+")[0]
    components = (fields.text(each, "Name") for each in fields.items(fields.member(version, "Components")))
    return EngineInfo(
        name=fields.text(info, "Name"),
        version=number,
        release=(int(release[1]), int(release[2])) if release else (0, 0),
        api_version=fields.text(version, "ApiVersion"),
        firewall_backend=backend or None,
        podman=any(name.startswith("Podman") for name in components),
        rootless="name=rootless" in fields.items(fields.member(info, "SecurityOptions")),
        swarm=fields.text(fields.member(info, "Swarm"), "LocalNodeState") == "active",
        live_restore=fields.member(info, "LiveRestoreEnabled") is True,
    )


def event(message: object) -> EngineEvent | None:
    """Decode one message of ``GET /events``; None when it concerns neither a network nor a container."""
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
            return EngineEvent(
                EventKind.CONTAINER,
                action,
                container_id=fields.text(actor, "ID") or None,
                container_name=fields.text(attributes, "name") or None,
            )
        case _:
            return None


def error_message(response: object) -> str:
    """Decode the body of an error response; "" when it is not the engine's."""
    return fields.text(response, "message")


# Networks


def networks(response: object) -> tuple[Network, ...]:
    """Decode ``GET /networks``, which carries no endpoints.

    Raises:
        EngineUnavailable: it is not a list.
    """
    return tuple(_network(entry, None) for entry in fields.listing(response, "networks"))


def network(inspected: object) -> Network:
    """Decode ``GET /networks/{id}``.

    Raises:
        EngineUnavailable: it is not a network.
    """
    fields.require(inspected, "Id", "a network")
    # swarm adds entries of its own ("lb-<network>"), whose ids are not ids of containers
    containers = fields.mapping(fields.member(inspected, "Containers"))
    endpoints = (_endpoint(container_id, entry) for container_id, entry in containers.items())
    return _network(inspected, tuple(sorted(endpoints, key=lambda endpoint: endpoint.container_name)))


def created(entry: object) -> datetime:
    """Decode the creation time of a listed network; the epoch where the engine omits it."""
    with suppress(ValueError):
        when = datetime.fromisoformat(fields.text(entry, "Created"))
        return when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return _EPOCH


def created_id(response: object) -> str:
    """Decode the response to ``POST /networks/create``.

    Raises:
        EngineUnavailable: it has no id; the network may exist all the same.
    """
    fields.require(response, "Id", "the id of the created network")
    return fields.text(response, "Id")


def _network(entry: object, endpoints: tuple[Endpoint, ...] | None) -> Network:
    configs = fields.items(fields.member(fields.member(entry, "IPAM"), "Config"))
    return Network(
        id=fields.text(entry, "Id"),
        name=fields.text(entry, "Name"),
        driver=fields.text(entry, "Driver"),
        internal=fields.boolean(entry, "Internal"),
        attachable=fields.boolean(entry, "Attachable"),
        enable_ipv4=fields.boolean(entry, "EnableIPv4", default=True),
        enable_ipv6=fields.boolean(entry, "EnableIPv6"),
        ipam=_ipam(configs),
        options=fields.texts(fields.member(entry, "Options")),
        labels=fields.texts(fields.member(entry, "Labels")),
        endpoints=endpoints,
        ipam_driver=fields.text(fields.member(entry, "IPAM"), "Driver") or "default",
        problem=", ".join(_unreadable(entry, configs)),
    )


def _unreadable(entry: object, configs: list[object]) -> Iterator[str]:
    """The fields of a network that are not what any engine sends."""
    yield from (key for key in ("Id", "Name", "Driver") if not fields.text(entry, key))
    for key in ("Internal", "Attachable", "EnableIPv4", "EnableIPv6"):
        if not isinstance(fields.member(entry, key), bool | None):
            yield key
    for key in ("Options", "Labels", "IPAM"):
        if not isinstance(fields.member(entry, key), dict | None):
            yield key
    if not isinstance(fields.member(fields.member(entry, "IPAM"), "Config"), list | None):
        yield "IPAM.Config"
    for config in configs:
        text = fields.text(config, "Subnet")
        if fields.prefix(text) is None and (text or not isinstance(fields.member(config, "Subnet"), str | None)):
            yield f"IPAM.Config.Subnet {fields.member(config, 'Subnet')!r:.50}"


def _ipam(entries: list[object]) -> tuple[SubnetConfig, ...]:
    configs = [config for entry in entries if (config := _subnet(entry))]
    return tuple(sorted(configs, key=lambda config: config.subnet.version))


def _subnet(entry: object) -> SubnetConfig | None:
    subnet = fields.prefix(fields.text(entry, "Subnet"))
    if subnet is None:
        return None
    return SubnetConfig(
        subnet=subnet,
        gateway=fields.address(fields.text(entry, "Gateway")),
        ip_range=fields.prefix(fields.text(entry, "IPRange")),
        aux_addresses=fields.texts(fields.member(entry, "AuxiliaryAddresses")),
    )


def _endpoint(container_id: str, entry: object) -> Endpoint:
    return Endpoint(
        container_id=container_id,
        container_name=fields.text(entry, "Name"),
        ipv4=fields.ipv4(entry, "IPv4Address"),
        ipv6=fields.ipv6(entry, "IPv6Address"),
    )


# Containers


def containers(response: object, images: ImagesById) -> tuple[Container, ...]:
    """Decode ``GET /containers/json``, ordered by id.

    Args:
        response: decoded JSON.
        images: at least those of `image_ids`.

    Raises:
        EngineUnavailable: it is not a list.
    """
    found = (_container(entry, images) for entry in fields.listing(response, CONTAINERS) if fields.text(entry, "Id"))
    return tuple(sorted(found, key=lambda container: container.id))


def image_ids(response: object) -> tuple[str, ...]:
    """Decode ``GET /containers/json`` into the ids of the images of all containers with labels. Raises as above."""
    return tuple(
        image_id
        for entry in fields.listing(response, CONTAINERS)
        if fields.member(entry, "Labels") and (image_id := fields.text(entry, "ImageID"))
    )


def image_labels(inspected: object) -> Mapping[str, str]:
    """Decode ``GET /images/{id}/json`` into the image's labels.

    Raises:
        EngineApiError: it is not an image. This concerns its containers only.
    """
    if not fields.text(inspected, "Id"):
        raise EngineApiError("the engine did not send an image")
    return fields.texts(fields.member(fields.member(inspected, "Config"), "Labels"))


def container_ids(response: object) -> tuple[str, ...]:
    """Decode ``GET /containers/json`` into ids only. Raises as above."""
    return tuple(found for entry in fields.listing(response, CONTAINERS) if (found := fields.text(entry, "Id")))


def networks_in_use(response: object) -> frozenset[str]:
    """Decode ``GET /containers/json`` into the ids and names of all networks that its containers are configured on.

    Raises:
        EngineUnavailable: it is not a list.
    """
    entries = (entry for container in fields.listing(response, CONTAINERS) for entry in endpoint_settings(container))
    return frozenset(ref for name, settings in entries for ref in (name, fields.text(settings, "NetworkID")) if ref)


def _container(entry: object, images: ImagesById) -> Container:
    endpoints = (
        ContainerEndpoint(
            network_id=fields.text(settings, "NetworkID"),
            network_name=name,
            ipv6=fields.ipv6(settings, "GlobalIPv6Address"),
            gw_priority=fields.number(settings, "GwPriority"),
        )
        for name, settings in endpoint_settings(entry)
    )
    ports = {binding for port in fields.items(fields.member(entry, "Ports")) if (binding := port_bindings.listed(port))}
    labels = fields.texts(fields.member(entry, "Labels"))
    image = images.get(fields.text(entry, "ImageID"), _UNKNOWN_IMAGE) if labels else {}
    own = {} if isinstance(image, EngineApiError) else labels_at_creation(labels, image)
    return Container(
        id=fields.text(entry, "Id"),
        name=own_name(fields.items(fields.member(entry, "Names"))),
        created=fields.number(entry, "Created"),
        labels=own,
        image_labels={key: value for key, value in labels.items() if key not in own},
        image_problem=image.message if isinstance(image, EngineApiError) else "",
        ports=tuple(sorted(ports, key=port_bindings.port_order)),
        endpoints=tuple(sorted(endpoints, key=lambda endpoint: endpoint.network_name)),
        network_mode=fields.text(fields.member(entry, "HostConfig"), "NetworkMode") or "default",
    )


def own_name(names: list[object]) -> str:
    """Return the name that is not a link of another container."""
    plain = (str(name).removeprefix("/") for name in names)
    return next((name for name in plain if "/" not in name), "")


def endpoint_settings(container: object) -> Iterator[tuple[str, object]]:
    """The container's networks, by name, listed or inspected, each with its settings."""
    yield from fields.mapping(fields.member(fields.member(container, "NetworkSettings"), "Networks")).items()


COMPOSE_CONFIG_HASH = "com.docker.compose.config-hash"

Labels = Mapping[str, str]

ImagesById = Mapping[str, Labels | EngineApiError]
"""The labels of images; an error where the engine doesn't show the image: it was removed by force, or is damaged."""


def labels_at_creation(labels: Labels, of_image: Labels) -> Labels:
    """The labels of a container that were set when it was created.

    The engine merges the labels of an image into those of a container. The publisher of an image chooses its labels,
    so they say nothing about what the person who runs it wants: a label of an image selects nothing. A label that was
    set at creation to the value that the image has too can't be distinguished from the image's, and counts as the
    image's.

    Compose is the exception. It labels the images that it builds with project and service, as well as the containers
    that it creates. It also sets the hash of the service's configuration on each container, but not on images (v1 and
    v2), so where that label was set at creation, Compose has set the others too. An image can't pretend this: its own
    labels never count as set at creation.

    Args:
        labels: of the container, as the engine reports them.
        of_image: of its image.
    """
    own = {key: value for key, value in labels.items() if of_image.get(key) != value}
    if COMPOSE_CONFIG_HASH in own:
        own |= {key: labels[key] for key in (COMPOSE_PROJECT, COMPOSE_SERVICE) if key in labels}
    return own
