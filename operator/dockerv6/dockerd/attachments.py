"""Decodes how containers are attached to a network, from ``GET /containers/{id}/json``. Pure.

See `decode` for what differs between engines.
"""

from __future__ import annotations

from dockerv6.dockerd import fields
from dockerv6.dockerd.decode import CONTAINERS, endpoint_settings, own_name
from dockerv6.dockerd.model import Attachment

_SHORT_ID = 12
_RUNNING = frozenset({"running", "paused", "restarting"})  # of a listing; State.Running is true (StateString in moby)


def attachment(inspected: object, network_id: str, network_name: str | None) -> Attachment | None:
    """Decode ``GET /containers/{id}/json`` into the container's attachment to one network; None without one.

    Entries are keyed by the network's name, or by its id where the user gave the id and the container never ran. The
    entry of a container that never ran, or was connected while stopped, has no network id yet.

    Args:
        inspected: the response.
        network_id: of the network.
        network_name: None when the network is gone and only its id is known.
    """
    for key, settings in endpoint_settings(inspected):
        entry_id = fields.text(settings, "NetworkID")
        if entry_id == network_id or (not entry_id and key in {network_id, network_name}):
            return _attachment(inspected, key, settings)
    return None


def orphaned_attachment(inspected: object, network_name: str, existing_ids: frozenset[str]) -> Attachment | None:
    """Decode into the container's attachment to a network of that name whose id no longer exists."""
    for key, settings in endpoint_settings(inspected):
        entry_id = fields.text(settings, "NetworkID")
        if key == network_name and entry_id and entry_id not in existing_ids:
            return _attachment(inspected, key, settings)
    return None


def listed_containers(response: object) -> dict[str, object]:
    """Decode ``GET /containers/json`` into one object for each id, of the shape of ``GET /containers/{id}/json``.

    It lacks what a listing does not have: aliases, links, a requested MAC address. Raises as `containers`.
    """
    return {
        found: {
            "Id": found,
            "Name": own_name(fields.items(fields.member(entry, "Names"))),
            "State": {"Running": fields.text(entry, "State") in _RUNNING},
            "NetworkSettings": fields.member(entry, "NetworkSettings"),
        }
        for entry in fields.listing(response, CONTAINERS)
        if (found := fields.text(entry, "Id"))
    }


def _attachment(inspected: object, key: str, settings: object) -> Attachment:
    container_id = fields.text(inspected, "Id")
    requested = fields.member(settings, "IPAMConfig")
    aliases = (str(alias) for alias in fields.items(fields.member(settings, "Aliases")))
    return Attachment(
        container_id=container_id,
        container_name=fields.text(inspected, "Name").removeprefix("/"),
        running=fields.boolean(fields.member(inspected, "State"), "Running"),
        aliases=tuple(alias for alias in aliases if alias != container_id[:_SHORT_ID]),
        links=tuple(str(link) for link in fields.items(fields.member(settings, "Links"))),
        ipv4=fields.ipv4(settings, "IPAddress"),
        ipv6=fields.ipv6(settings, "GlobalIPv6Address"),
        static_ipv4=fields.ipv4(requested, "IPv4Address"),
        static_ipv6=fields.ipv6(requested, "IPv6Address"),
        driver_opts=fields.texts(fields.member(settings, "DriverOpts")),
        gw_priority=fields.number(settings, "GwPriority"),
        mac_address=_requested_mac(inspected, key, settings),
        link_local_ips=tuple(str(address) for address in fields.items(fields.member(requested, "LinkLocalIPs"))),
    )


def _requested_mac(inspected: object, key: str, settings: object) -> str | None:
    """Return the MAC address that the user requested.

    An entry's own ``MacAddress`` is the one in use, requested or not. ``Config.MacAddress`` is always a request, for
    the container's first network.
    """
    mode = fields.text(fields.member(inspected, "HostConfig"), "NetworkMode")
    if not mode or mode not in {key, fields.text(settings, "NetworkID")}:
        return None
    return fields.text(fields.member(inspected, "Config"), "MacAddress") or None
