"""Which containers a network had, remembered durably, so that they come back with a network that was removed."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from dockerv6.dockerd.model import Attachment
from dockerv6.store.port import Store

ENDPOINTS = "endpoints"


@dataclass(frozen=True, slots=True)
class Remembered:
    """An attachment, and when it was found to be gone (Unix seconds) while the network was still there.

    ``pending``: we took it off, or the network was gone, and it is to be attached again, however long that takes.
    """

    attachment: Attachment
    gone_since: float | None = None
    pending: bool = False


async def remembered(store: Store, name: str) -> tuple[Remembered, ...]:
    """What is remembered of the resource's network."""
    record = await store.record(ENDPOINTS, name) or {}
    entries = record.get("endpoints")
    return tuple(_from_json(e) for e in entries if isinstance(e, Mapping)) if isinstance(entries, list) else ()


async def keep_endpoints(store: Store, name: str, entries: tuple[Remembered, ...]) -> None:
    """Replace what is remembered."""
    await store.put_record(ENDPOINTS, name, {"endpoints": [_to_json(e) for e in entries]})


async def forget_endpoints(store: Store, name: str) -> None:
    """Remember nothing of that network any more."""
    await store.drop_record(ENDPOINTS, name)


def merge(
    before: tuple[Remembered, ...], now: tuple[Attachment, ...], at: float, window: float
) -> tuple[Remembered, ...]:
    """What to remember, seeing which containers are attached now.

    Whoever removes a network by hand must detach its containers first. So one that left is remembered for ``window``
    seconds: if the network goes within them, it was detached for that.
    """
    present = {a.container_id for a in now}
    left = tuple(
        r if r.pending else Remembered(r.attachment, r.gone_since if r.gone_since is not None else at)
        for r in before
        if r.attachment.container_id not in present
        and (r.pending or r.gone_since is None or at - r.gone_since < window)
    )
    return (*(Remembered(a) for a in now), *left)


def to_restore(entries: tuple[Remembered, ...], running: frozenset[str]) -> tuple[Attachment, ...]:
    """The attachments of containers that still run, and of those that we took off ourselves."""
    return tuple(r.attachment for r in entries if r.pending or r.attachment.container_id in running)


def pending(entries: tuple[Remembered, ...]) -> tuple[Attachment, ...]:
    """The attachments that are still to be made."""
    return tuple(r.attachment for r in entries if r.pending)


async def forget_endpoint(store: Store, name: str, container_id: str) -> None:
    """A container is gone for good."""
    entries = await remembered(store, name)
    await keep_endpoints(store, name, tuple(r for r in entries if r.attachment.container_id != container_id))


def _to_json(entry: Remembered) -> dict[str, object]:
    a = entry.attachment
    return {
        "containerId": a.container_id,
        "containerName": a.container_name,
        "running": a.running,
        "aliases": list(a.aliases),
        "links": list(a.links),
        "ipv4": str(a.ipv4) if a.ipv4 else None,
        "ipv6": str(a.ipv6) if a.ipv6 else None,
        "staticIpv4": str(a.static_ipv4) if a.static_ipv4 else None,
        "staticIpv6": str(a.static_ipv6) if a.static_ipv6 else None,
        "driverOpts": dict(a.driver_opts),
        "gwPriority": a.gw_priority,
        "macAddress": a.mac_address,
        "linkLocalIps": list(a.link_local_ips),
        "goneSince": entry.gone_since,
        "pending": entry.pending,
    }


def _from_json(entry: Mapping[str, object]) -> Remembered:
    def text(key: str) -> str | None:
        value = entry.get(key)
        return value if isinstance(value, str) else None

    def texts(key: str) -> tuple[str, ...]:
        value = entry.get(key)
        return tuple(str(v) for v in value) if isinstance(value, list) else ()

    used_v4, used_v6, v4, v6 = (text(key) for key in ("ipv4", "ipv6", "staticIpv4", "staticIpv6"))
    gone, options = entry.get("goneSince"), entry.get("driverOpts")
    priority = entry.get("gwPriority")
    return Remembered(
        Attachment(
            container_id=text("containerId") or "",
            container_name=text("containerName") or "",
            running=bool(entry.get("running")),
            aliases=texts("aliases"),
            links=texts("links"),
            ipv4=IPv4Address(used_v4) if used_v4 else None,
            ipv6=IPv6Address(used_v6) if used_v6 else None,
            static_ipv4=IPv4Address(v4) if v4 else None,
            static_ipv6=IPv6Address(v6) if v6 else None,
            driver_opts={str(k): str(v) for k, v in options.items()} if isinstance(options, Mapping) else {},
            gw_priority=priority if isinstance(priority, int) else 0,
            mac_address=text("macAddress"),
            link_local_ips=texts("linkLocalIps"),
        ),
        gone if isinstance(gone, int | float) else None,
        pending=entry.get("pending") is True,
    )


MEMBERS = "member"


async def members(store: Store, owner: str) -> frozenset[str]:
    """Ids of the containers that were attached for the resource."""
    record = await store.record(MEMBERS, owner) or {}
    listed = record.get("containers")
    return frozenset(map(str, listed)) if isinstance(listed, list) else frozenset()


async def remember_member(store: Store, owner: str, container_id: str) -> None:
    """It is about to be attached."""
    await _keep(store, owner, await members(store, owner) | {container_id})


async def forget_member(store: Store, owner: str, container_id: str) -> None:
    """It is not attached, or no longer by us."""
    await _keep(store, owner, await members(store, owner) - {container_id})


async def keep_members(store: Store, owner: str, container_ids: frozenset[str]) -> None:
    """Forget all others: they are attached no longer, or gone, and nobody else would tell."""
    await _keep(store, owner, container_ids)


async def forget_members(store: Store, owner: str) -> None:
    """The resource is gone."""
    await store.drop_record(MEMBERS, owner)


async def _keep(store: Store, owner: str, ids: frozenset[str]) -> None:
    if ids:
        await store.put_record(MEMBERS, owner, {"containers": sorted(ids)})
    else:
        await store.drop_record(MEMBERS, owner)
