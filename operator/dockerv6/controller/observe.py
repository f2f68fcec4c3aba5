"""Observes the world for one resource: engine, host, rules, endpoints."""

import logging
from dataclasses import replace

from dockerv6.api.conditions import ConditionType
from dockerv6.api.kinds import NETWORK
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.controller.context import Context
from dockerv6.controller.endpoints import (
    RememberedEndpoint,
    attachments_to_restore,
    forget_endpoint,
    keep_endpoints,
    keep_members,
    merge_endpoints,
    pending_attachments,
    recorded_members,
    remembered_endpoints,
    with_known_settings,
)
from dockerv6.controller.status import condition_status
from dockerv6.dockerd.model import Attachment
from dockerv6.dockerd.port import EngineApiError, EngineError
from dockerv6.lib.prefixes import GLOBAL_ID_BYTES
from dockerv6.planning.docker.network_spec import observed_network, own_network
from dockerv6.planning.host.bridges import missing_bridge
from dockerv6.planning.inputs import Desired, NetworkIndex, Observed
from dockerv6.store.model import StoredObject
from dockerv6.store.port import StoreError

logger = logging.getLogger(__name__)


def desired_network(resource: NetworkResource, context: Context) -> Desired:
    """The resource, with the pools that it may draw from."""
    suspended = context.inventory.suspended(NETWORK, resource.metadata.name)
    return Desired(resource, context.inventory.pools(), context.settings.identity, suspended)


async def observe_network(desired: Desired, stored: StoredObject, context: Context) -> Observed:
    """Observe the world for an IPv6Network.

    An engine that does not answer and an unavailable firewall are values of the observation, not errors.

    Raises:
        HostNetError: the host's network stack can't be read.
        StoreError: the remembered endpoints can't be read.
    """
    invalidate_listeners(stored, context)
    observed = await observe_host(context, applied=bool(stored.status.get("networkID")))
    ready = condition_status(stored, ConditionType.READY) == "True"
    observed = replace(observed, ready=ready, members=await recorded_members(context.store, stored.name))
    if observed.engine is None:
        return observed
    try:
        return await _without_detached_members(await _with_endpoints(observed, desired, context), desired, context)
    except EngineApiError as error:  # it concerns this network or its containers
        return replace(observed, engine=None, engine_problem=error.message, engine_answers=True)
    except EngineError as error:
        context.world.engine_changed()
        return replace(observed, engine=None, engine_problem=str(error))


def invalidate_listeners(stored: StoredObject, context: Context) -> None:
    """Read the listening sockets again for a resource that waits for a port: the kernel announces no closed socket."""
    if condition_status(stored, ConditionType.PORTS_PUBLISHED) == "False":
        context.world.sockets.invalidate()


async def observe_host(context: Context, *, applied: bool) -> Observed:
    """Observe what all resources share. ``applied``: the resource has been applied before."""
    engine, problem = await context.world.engine_state()
    await context.engine_chains.check()
    rules = await context.firewall.view()
    return Observed(
        now=context.inventory.now(),
        engine=engine,
        engine_problem=problem,
        engine_answers=context.world.engine_answers,
        networks=context.world.known_networks,
        containers=context.world.known_containers,
        applied=applied,
        host=await context.world.present_host(),
        rules=rules,
        created=context.inventory.created_networks,
        proxied_subnets=context.firewall.proxied_subnets,
        external_prefixes=context.firewall.external_prefixes,
        ipv4_only=context.listening.ipv4_only,
        chains_missing=context.engine_chains.missing,
        chains_problem=context.engine_chains.problem,
        entropy=context.entropy(GLOBAL_ID_BYTES),
    )


async def _with_endpoints(observed: Observed, desired: Desired, context: Context) -> Observed:
    """Add the containers that are attached to the resource's network; or, when it is gone, those that were.

    Those are the ones that still run, and stopped ones that refer to the old network's id: with every engine these
    fail to start until they are attached to the new network (measured with 20.10 and 28.5).
    """
    theirs = observed_network(desired, observed)
    if theirs is not None:  # we attach only members to it: there is nothing to remember
        return replace(observed, attachments=await context.world.attachments(theirs.id))
    live = own_network(desired, observed)
    if live is not None and missing_bridge(observed.host, live):
        await context.world.refresh_network(live.id)  # an engine removes a network's bridge before the network
        observed = replace(observed, networks=NetworkIndex(context.world.known_networks))
        live = own_network(desired, observed)
    before = await remembered_endpoints(context.store, desired.name)
    recent = merge_endpoints(before, (), observed.now, context.settings.reattach_window)
    if live is None:
        back = attachments_to_restore(recent, await context.world.engine.running_container_ids()) if recent else ()
        name = desired.resource.docker_name
        orphaned = await context.world.engine.orphaned_attachments(name) if observed.applied else ()
        known = {a.container_id for a in back}
        return replace(observed, remembered=(*back, *(a for a in orphaned if a.container_id not in known)))
    now = with_known_settings(await context.world.attachments(live.id), before)
    after = merge_endpoints(before, now, observed.now, context.settings.reattach_window)
    if after != before:
        await _keep(desired.name, after, context)
    if missing_bridge(observed.host, live) and recent:
        present = {a.container_id for a in now}
        left = [r for r in recent if r.attachment.container_id not in present]
        return replace(
            observed,
            attachments=now,
            remembered=attachments_to_restore(tuple(left), await context.world.engine.running_container_ids()),
        )
    return replace(observed, attachments=now, remembered=await _pending(pending_attachments(after), desired, context))


async def _pending(entries: tuple[Attachment, ...], desired: Desired, context: Context) -> tuple[Attachment, ...]:
    """The attachments that are still to be made. Those that could not be inspected before are read again."""
    if all(each.complete for each in entries):
        return entries
    read = await context.world.engine.orphaned_attachments(desired.resource.docker_name)
    orphaned = {each.container_id: each for each in read}
    for each in entries:
        if not each.complete and each.container_id not in orphaned:  # it was removed
            await forget_endpoint(context.store, desired.name, each.container_id)
    return tuple(
        orphaned.get(each.container_id, each) for each in entries if each.complete or each.container_id in orphaned
    )


async def _without_detached_members(observed: Observed, desired: Desired, context: Context) -> Observed:
    """Forget members that are no longer attached: the container was removed, or a person detached it."""
    known = {a.container_id for a in (*observed.attachments, *observed.remembered)}
    if observed.members <= known or (observed_network(desired, observed) or own_network(desired, observed)) is None:
        return observed
    left = observed.members & known
    try:
        await keep_members(context.store, desired.name, left)
    except StoreError as error:
        logger.warning("could not store the members of %s: %s", desired.name, error)
    return replace(observed, members=left)


async def _keep(name: str, entries: tuple[RememberedEndpoint, ...], context: Context) -> None:
    """Store the endpoints. A full disk does not stop the reconcile: the next one sees the same endpoints."""
    try:
        await keep_endpoints(context.store, name, entries)
    except StoreError as error:
        logger.warning("could not store the endpoints of %s: %s", name, error)
