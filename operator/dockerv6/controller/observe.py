"""One moment of the world, gathered for one network resource."""

import logging
from dataclasses import replace

from dockerv6.api import conditions as cond
from dockerv6.api.conditions import ConditionType
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.controller.context import Context
from dockerv6.controller.endpoints import (
    Remembered,
    keep_endpoints,
    keep_members,
    members,
    merge,
    pending,
    remembered,
    to_restore,
)
from dockerv6.controller.status import conditions_before
from dockerv6.dockerd.port import EngineError
from dockerv6.lib.prefixes import GLOBAL_ID_BYTES
from dockerv6.planning.inputs import Desired, NetworkIndex, Observed
from dockerv6.planning.network import bridge_gone, observed_network, own_network
from dockerv6.store.model import StoredObject
from dockerv6.store.port import StoreError

logger = logging.getLogger(__name__)


def desired_network(resource: NetworkResource, context: Context) -> Desired:
    """The wish, with the pools that it may draw from."""
    return Desired(resource, context.inventory.pools(), context.settings.identity)


async def observe_network(wish: Desired, stored: StoredObject, context: Context) -> Observed:
    """The world as it is for the resource now.

    An engine that gives no answer, or a firewall that can't be had, are part of the picture, not errors.
    """
    invalidate_listeners(stored, context)
    picture = await observe_host(context, applied=bool(stored.status.get("networkID")))
    picture = replace(picture, members=await members(context.store, stored.name))
    if picture.engine is None:
        return picture
    try:
        return await _without_former_members(await _with_endpoints(picture, wish, context), wish, context)
    except EngineError as error:
        context.world.engine_changed()
        return replace(picture, engine=None, engine_problem=str(error))


def invalidate_listeners(stored: StoredObject, context: Context) -> None:
    """Nobody tells when a process gives a port back: who waits for one has the sockets read again."""
    told = cond.get(conditions_before(stored), ConditionType.PORTS_PUBLISHED)
    if told is not None and told.status == "False":
        context.world.listeners.invalidate()


async def observe_host(context: Context, *, applied: bool) -> Observed:
    """The world as everybody sees it. ``applied``: what is asked for has been there before."""
    engine, problem = await context.world.engine_state()
    rules = await context.firewall.view()
    return Observed(
        now=context.clock.now(),
        engine=engine,
        engine_problem=problem,
        networks=context.world.known_networks,
        containers=context.world.known_containers,
        applied=applied,
        host=await context.world.host_view.get(),
        rules=rules,
        proxied_subnets=context.firewall.proxied_subnets,
        entropy=context.entropy(GLOBAL_ID_BYTES),
    )


async def _with_endpoints(picture: Observed, wish: Desired, context: Context) -> Observed:
    """Who is attached to the resource's own network; or, when it is gone, who was.

    Those that still run, and stopped ones that name the network's old id: on every engine these fail to start until
    they are put on the new one (measured with 20.10 and 28.5).
    """
    theirs = observed_network(wish, picture)
    if theirs is not None:  # nothing but members is ever attached to it: nobody is remembered
        return replace(picture, attachments=await context.world.attachments(theirs.id))
    live = own_network(wish, picture)
    if live is not None and bridge_gone(picture.host, live):
        await context.world.refresh_network(live.id)  # an engine that removes a network takes its bridge first
        picture = replace(picture, networks=NetworkIndex(context.world.known_networks))
        live = own_network(wish, picture)
    before = await remembered(context.store, wish.name)
    recent = merge(before, (), picture.now, context.settings.reattach_window)
    if live is None:
        back = to_restore(recent, await context.world.engine.running_container_ids()) if recent else ()
        name = wish.resource.docker_name
        orphaned = await context.world.engine.orphaned_attachments(name) if picture.applied else ()
        known = {a.container_id for a in back}
        return replace(picture, remembered=(*back, *(a for a in orphaned if a.container_id not in known)))
    now = await context.world.attachments(live.id)
    after = merge(before, now, picture.now, context.settings.reattach_window)
    if after != before:
        await _keep(wish.name, after, context)
    if bridge_gone(picture.host, live) and recent:
        present = {a.container_id for a in now}
        left = [r for r in recent if r.attachment.container_id not in present]
        return replace(
            picture,
            attachments=now,
            remembered=to_restore(tuple(left), await context.world.engine.running_container_ids()),
        )
    return replace(picture, attachments=now, remembered=pending(after))


async def _without_former_members(picture: Observed, wish: Desired, context: Context) -> Observed:
    """Forget members that are no longer attached: removed, or detached by a person, who may attach them again."""
    known = {a.container_id for a in (*picture.attachments, *picture.remembered)}
    if picture.members <= known or (observed_network(wish, picture) or own_network(wish, picture)) is None:
        return picture
    left = picture.members & known
    try:
        await keep_members(context.store, wish.name, left)
    except StoreError as error:
        logger.warning("the members of %s could not be kept: %s", wish.name, error)
    return replace(picture, members=left)


async def _keep(name: str, entries: tuple[Remembered, ...], context: Context) -> None:
    """A full disk must not keep the network from being looked after: what is attached is seen again next time."""
    try:
        await keep_endpoints(context.store, name, entries)
    except StoreError as error:
        logger.warning("the endpoints of %s could not be kept: %s", name, error)
