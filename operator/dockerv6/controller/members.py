"""Which containers we attached to a network because of their labels: written down before it is done."""

from dockerv6.store.port import Store

SCOPE = "member"


async def members(store: Store, owner: str) -> frozenset[str]:
    """Ids of the containers that were attached for the resource."""
    record = await store.record(SCOPE, owner) or {}
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
    await store.drop_record(SCOPE, owner)


async def _keep(store: Store, owner: str, ids: frozenset[str]) -> None:
    if ids:
        await store.put_record(SCOPE, owner, {"containers": sorted(ids)})
    else:
        await store.drop_record(SCOPE, owner)
