"""Containers of each network, kept in the store: those to attach again, and those that we attached as members."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dockerv6.controller.records import RecordCodec
from dockerv6.dockerd.model import Attachment
from dockerv6.store.port import Store

ENDPOINTS = "endpoints"
"""Store scope: the remembered endpoints of each resource's network."""

MEMBERS = "member"
"""Store scope: the ids of the containers that were attached because of a resource's ``members``."""

_ATTACHMENT = RecordCodec(Attachment)


@dataclass(frozen=True, slots=True)
class RememberedEndpoint:
    """An endpoint of a network.

    Attributes:
        attachment: how the container is, or was, attached.
        gone_since: when it was found detached while the network existed, in Unix seconds; None: it is attached.
        pending: we detached it, or the network was removed: it is attached again, however long that takes.
    """

    attachment: Attachment
    gone_since: float | None = None
    pending: bool = False


async def remembered_endpoints(store: Store, name: str) -> tuple[RememberedEndpoint, ...]:
    """The endpoints of the resource's network; damaged entries are left out."""
    record = await store.record(ENDPOINTS, name) or {}
    entries = record.get("endpoints")
    decoded = (_decode(e) for e in entries if isinstance(e, Mapping)) if isinstance(entries, list) else ()
    return tuple(each for each in decoded if each is not None)


async def keep_endpoints(store: Store, name: str, entries: tuple[RememberedEndpoint, ...]) -> None:
    """Replace the endpoints of the resource's network."""
    await store.put_record(ENDPOINTS, name, {"endpoints": [_encode(e) for e in entries]})


async def forget_endpoints(store: Store, name: str) -> None:
    """Forget all endpoints of the resource's network."""
    await store.drop_record(ENDPOINTS, name)


async def forget_endpoint(store: Store, name: str, container_id: str) -> None:
    """Forget the endpoint of a container that was removed."""
    entries = await remembered_endpoints(store, name)
    await keep_endpoints(store, name, tuple(r for r in entries if r.attachment.container_id != container_id))


def with_known_settings(now: tuple[Attachment, ...], before: tuple[RememberedEndpoint, ...]) -> tuple[Attachment, ...]:
    """The attachments. One that can't be inspected now has the settings of its last inspection."""
    known = {r.attachment.container_id: r.attachment for r in before if r.attachment.complete}

    def completed(each: Attachment) -> Attachment:
        last = known.get(each.container_id)
        if each.complete or last is None:
            return each
        return replace(
            last, running=each.running, ipv4=each.ipv4 or last.ipv4, ipv6=each.ipv6 or last.ipv6, problem=each.problem
        )

    return tuple(map(completed, now))


def merge_endpoints(
    before: tuple[RememberedEndpoint, ...], now: tuple[Attachment, ...], at: float, window: float
) -> tuple[RememberedEndpoint, ...]:
    """The endpoints to remember, given those that are attached now.

    To remove a network by hand, its containers must be detached first. An endpoint that was detached is therefore
    remembered for ``window`` seconds. If the network is removed in that time, the endpoint was detached for the
    removal.
    """
    present = {a.container_id for a in now}
    left = tuple(
        r if r.pending else RememberedEndpoint(r.attachment, min(at, r.gone_since) if r.gone_since is not None else at)
        for r in before
        if r.attachment.container_id not in present
        and (r.pending or r.gone_since is None or at - r.gone_since < window)
    )
    return (*(RememberedEndpoint(replace(a, problem="")) for a in now), *left)


def attachments_to_restore(entries: tuple[RememberedEndpoint, ...], running: frozenset[str]) -> tuple[Attachment, ...]:
    """The attachments of containers that still run, and of those that we detached."""
    return tuple(r.attachment for r in entries if r.pending or r.attachment.container_id in running)


def pending_attachments(entries: tuple[RememberedEndpoint, ...]) -> tuple[Attachment, ...]:
    """The attachments that are still to be made."""
    return tuple(r.attachment for r in entries if r.pending)


async def recorded_members(store: Store, owner: str) -> frozenset[str]:
    """Ids of the containers that were attached for the resource."""
    record = await store.record(MEMBERS, owner) or {}
    listed = record.get("containers")
    return frozenset(map(str, listed)) if isinstance(listed, list) else frozenset()


async def remember_member(store: Store, owner: str, container_id: str) -> None:
    """Record a container that is about to be attached."""
    await keep_members(store, owner, await recorded_members(store, owner) | {container_id})


async def forget_member(store: Store, owner: str, container_id: str) -> None:
    """Drop a container that is not attached, or that a person attached."""
    await keep_members(store, owner, await recorded_members(store, owner) - {container_id})


async def keep_members(store: Store, owner: str, container_ids: frozenset[str]) -> None:
    """Replace the containers that are recorded for the resource."""
    if container_ids:
        await store.put_record(MEMBERS, owner, {"containers": sorted(container_ids)})
    else:
        await store.drop_record(MEMBERS, owner)


async def forget_members(store: Store, owner: str) -> None:
    """Drop all: the resource is deleted."""
    await store.drop_record(MEMBERS, owner)


def _encode(entry: RememberedEndpoint) -> dict[str, object]:
    record = {**_ATTACHMENT.encode(entry.attachment), "goneSince": entry.gone_since, "pending": entry.pending}
    del record["problem"]  # of now
    if entry.attachment.complete:
        del record["complete"]
    return record


def _decode(record: Mapping[str, object]) -> RememberedEndpoint | None:
    attachment, gone = _ATTACHMENT.decode(record), record.get("goneSince")
    if attachment is None:
        return None
    since = float(gone) if isinstance(gone, int | float) else None
    return RememberedEndpoint(attachment, since, pending=record.get("pending") is True)
