"""The Engine API's JSON about containers as our values. Pure, and tolerant of every version.

What a listing (``GET /containers/json``) shows of a port, as seen on 20.10, 26.1 and 28.5 (all the same):

=========================  ==========================================================================================
``-p``                     ``Ports``
=========================  ==========================================================================================
``8080:80``                two entries, "0.0.0.0" and "::"
``0.0.0.0:8080:80``        "0.0.0.0" alone
any other address          that address alone ("127.0.0.1", "::1", "::", "2001:db8::1")
``9000-9002:90-92``        one or two entries a port, as above
``80``, ``-P``             as above, with the port that the engine chose; it chooses anew at each start
``9100-9110:80``           as above, with the one port of the range that it took
exposed, not published     an entry without ``IP`` and ``PublicPort``
=========================  ==========================================================================================

With the userland proxy off, a network without IPv6 gets IPv4 bindings only: "0.0.0.0" alone for ``8080:80``, and an
unbound entry for an IPv6 address; what the user asked for is then only in the container's inspect. 20.10 with the
proxy off may choose different ports for "0.0.0.0" and "::". On an internal network, and without any, nothing is bound.

Further: engines before API 1.45 add the container's short id to the aliases that the user gave; 20.10 says
``NetworkMode`` "default" where newer ones say "bridge"; ``GwPriority`` is listed since 28; ``Names`` holds the names
that legacy links give as well ("/linker/alias").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockerv6.dockerd import fields
from dockerv6.dockerd.model import Attachment, Container, ContainerEndpoint, PortBinding

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHORT_ID = 12


def containers(listing: object) -> tuple[Container, ...]:
    """Decode ``GET /containers/json``, ordered by id."""
    found = (_container(entry) for entry in fields.items(listing) if fields.text(entry, "Id"))
    return tuple(sorted(found, key=lambda container: container.id))


def _container(entry: object) -> Container:
    return Container(
        id=fields.text(entry, "Id"),
        name=_own_name(fields.items(fields.member(entry, "Names"))),
        created=fields.number(entry, "Created"),
        labels=fields.texts(fields.member(entry, "Labels")),
        ports=_ports(fields.items(fields.member(entry, "Ports"))),
        endpoints=tuple(
            sorted(
                (
                    ContainerEndpoint(
                        network_id=fields.text(settings, "NetworkID"),
                        network_name=name,
                        ipv6=fields.ipv6(fields.text(settings, "GlobalIPv6Address")),
                        gw_priority=fields.number(settings, "GwPriority"),
                    )
                    for name, settings in _settings(entry)
                ),
                key=lambda endpoint: endpoint.network_name,
            )
        ),
        network_mode=fields.text(fields.member(entry, "HostConfig"), "NetworkMode") or "default",
    )


def _own_name(names: list[object]) -> str:
    """Give the name that has no other container's before it."""
    plain = (str(name).removeprefix("/") for name in names)
    return next((name for name in plain if "/" not in name), "")


def _ports(entries: list[object]) -> tuple[PortBinding, ...]:
    bindings = {binding for entry in entries if (binding := _port(entry))}
    return tuple(sorted(bindings, key=port_order))


def _port(entry: object) -> PortBinding | None:
    host_port = fields.number(entry, "PublicPort")
    if not host_port:
        return None
    return PortBinding(
        protocol=fields.text(entry, "Type") or "tcp",
        container_port=fields.number(entry, "PrivatePort"),
        host_port=host_port,
        host_address=fields.address(fields.text(entry, "IP")),
    )


def port_order(binding: PortBinding) -> tuple[str, int, int, int, int]:
    """Give the key that a container's ports are ordered by: by protocol and port of the host, IPv4 first."""
    address = binding.host_address
    family, value = (0, 0) if address is None else (address.version, int(address))
    return binding.protocol, binding.host_port, binding.container_port, family, value


def ids(listing: object) -> tuple[str, ...]:
    """Decode ``GET /containers/json`` as ids alone."""
    return tuple(fields.text(entry, "Id") for entry in fields.items(listing))


def networks_in_use(listing: object) -> frozenset[str]:
    """Decode ``GET /containers/json`` as the ids and names of all networks that its containers are configured on."""
    containers = fields.items(listing)
    entries = ((key, fields.text(entry, "NetworkID")) for one in containers for key, entry in _settings(one))
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
        entry_id = fields.text(entry, "NetworkID")
        if entry_id == network_id or (not entry_id and key in {network_id, network_name}):
            return _attachment(inspected, key, entry)
    return None


def orphaned_attachments(inspected: object, network_name: str, living: frozenset[str]) -> Attachment | None:
    """Decode as the container's attachment to a network of that name whose id is not among the living ones."""
    for key, entry in _settings(inspected):
        entry_id = fields.text(entry, "NetworkID")
        if key == network_name and entry_id and entry_id not in living:
            return _attachment(inspected, key, entry)
    return None


def _settings(inspected: object) -> Iterator[tuple[str, object]]:
    yield from fields.mapping(fields.member(fields.member(inspected, "NetworkSettings"), "Networks")).items()


def _attachment(inspected: object, key: str, entry: object) -> Attachment:
    container_id = fields.text(inspected, "Id")
    asked = fields.member(entry, "IPAMConfig")
    aliases = (str(alias) for alias in fields.items(fields.member(entry, "Aliases")))
    return Attachment(
        container_id=container_id,
        container_name=fields.text(inspected, "Name").removeprefix("/"),
        running=fields.truth(fields.member(inspected, "State"), "Running"),
        aliases=tuple(alias for alias in aliases if alias != container_id[:_SHORT_ID]),
        links=tuple(str(link) for link in fields.items(fields.member(entry, "Links"))),
        ipv4=fields.ipv4(fields.text(entry, "IPAddress")),
        ipv6=fields.ipv6(fields.text(entry, "GlobalIPv6Address")),
        static_ipv4=fields.ipv4(fields.text(asked, "IPv4Address")),
        static_ipv6=fields.ipv6(fields.text(asked, "IPv6Address")),
        driver_opts=fields.texts(fields.member(entry, "DriverOpts")),
        gw_priority=fields.number(entry, "GwPriority"),
        mac_address=_asked_mac(inspected, key, entry),
        link_local_ips=tuple(str(address) for address in fields.items(fields.member(asked, "LinkLocalIPs"))),
    )


def _asked_mac(inspected: object, key: str, entry: object) -> str | None:
    """Give the MAC address that the user asked for.

    An entry's own ``MacAddress`` is the one in use, asked for or not. ``Config.MacAddress`` is always a wish, for the
    container's first network.
    """
    mode = fields.text(fields.member(inspected, "HostConfig"), "NetworkMode")
    if mode not in {key, fields.text(entry, "NetworkID")} or not mode:
        return None
    return fields.text(fields.member(inspected, "Config"), "MacAddress") or None
