"""Reconciles one IPv6Policy: rules for Docker networks that dockerv6 did not create."""

from collections.abc import Mapping
from functools import partial

from dockerv6.api.conditions import ConditionType
from dockerv6.api.kinds import POLICY
from dockerv6.api.policy import IPv6Policy
from dockerv6.api.traffic import Egress
from dockerv6.controller.context import Context
from dockerv6.controller.converge import converge, requeue_after
from dockerv6.controller.execute import execute
from dockerv6.controller.observe import invalidate_listeners, observe_host
from dockerv6.controller.status import (
    StatusFacts,
    fields_before,
    never_accepted,
    published_message,
    published_ports,
    reached_by,
    report,
)
from dockerv6.dockerd.model import Network
from dockerv6.firewall.port import FirewallError
from dockerv6.planning.firewall.contributions import POLICY_OWNER, ipv6_subnets
from dockerv6.planning.host.interfaces import host_message
from dockerv6.planning.host.ndp_proxy import proxying_interfaces, unclaimed_proxy_entries
from dockerv6.planning.inputs import Observed
from dockerv6.planning.plan import Plan
from dockerv6.planning.policy import plan_policy
from dockerv6.planning.status import POLICY_DOMAIN
from dockerv6.reconciler.handler import Key, Requeue, TemporaryError


async def reconcile(key: Key, context: Context) -> Requeue | None:
    """Give the Docker networks that the policy matches their rules, and report how they are.

    Returns and raises as `network.reconcile`.
    """
    stored = context.inventory.get(POLICY, key.name)
    resource = context.inventory.resource(POLICY, key.name)
    if stored is None:
        return None
    if not isinstance(resource, IPv6Policy):
        await never_accepted(stored, context)
        return None

    # Observe
    started = context.clock.monotonic()
    invalidate_listeners(stored, context)
    observe = partial(observe_host, context, applied=bool(fields_before(stored)))

    # Plan and execute, until a plan is empty
    result = await converge(
        await observe(),
        observe,
        lambda seen: plan_policy(resource, seen, _networks(key.name, context), context.inventory.holdings),
        context,
    )

    # Report
    facts = _facts(stored.name, resource.spec.egress, result.observed, context)
    await report(
        stored, result, facts, context, owner=f"{POLICY_OWNER}{key.name}", started=started, domain=POLICY_DOMAIN
    )
    if result.failed is not None:
        raise result.failed
    for finding in result.plan.findings:
        if not finding.unknown:
            await context.events.warning(POLICY, key.name, finding.reason, finding.message)
    retry = requeue_after(result.plan)
    return Requeue(retry) if retry is not None else None


async def finalize(key: Key, context: Context) -> Requeue | None:
    """Remove the policy's rules and NDP proxy entries; the networks are not its own.

    Raises:
        TemporaryError: the rules could not be removed.
        StepFailed: an NDP proxy entry could not be removed.
    """
    try:
        await context.firewall.repair()
        proxied_subnets = await context.firewall.all_proxied_subnets()
    except FirewallError as error:
        raise TemporaryError(str(error)) from error
    if proxied_subnets is not None:
        orphaned = unclaimed_proxy_entries(await context.world.host_view.get(), proxied_subnets)
        await execute(Plan(POLICY, key.name, orphaned), context)
    context.unreported_repairs.pop(f"{POLICY_OWNER}{key.name}", None)
    await context.events.normal(POLICY, key.name, "Deleted", f"IPv6Policy {key.name} is deleted")
    return None


def _networks(name: str, context: Context) -> tuple[Network, ...]:
    """The Docker networks that the policy applies to now."""
    return context.firewall.assignment.networks.get(name, ())


def _facts(name: str, egress: Egress, observed: Observed, context: Context) -> StatusFacts:
    """What is known of the policy's networks now."""
    owner = f"{POLICY_OWNER}{name}"
    networks = _networks(name, context)
    proxied_subnets = [a for a in observed.proxied_subnets if a.owner == owner]
    claimed = context.firewall.assignment.claimed_by.get(name, {})
    fields = {
        "networks": len(networks),
        "matched": [_shown(n) for n in sorted(networks, key=lambda n: n.name)],
        "claimed": [{"name": other, "by": by} for other, by in sorted(claimed.items())],
        "firewallBackend": observed.rules.backend,
        "publishedPorts": published_ports(observed, owner),
        **reached_by(egress, (s for n in networks for s, _ in ipv6_subnets(n)), proxied_subnets, observed, context),
    }
    return StatusFacts(fields, _messages(networks, claimed, observed, owner))


def _shown(network: Network) -> Mapping[str, object]:
    return {
        "name": network.name,
        "bridge": network.bridge,
        "subnets": [str(subnet) for subnet, _ in ipv6_subnets(network)],
    }


def _messages(
    networks: tuple[Network, ...], others: Mapping[str, str], observed: Observed, owner: str
) -> Mapping[ConditionType, str]:
    count = len(networks)
    message = f"{count} Docker network{'' if count == 1 else 's'}"
    if others:
        claimed = ", ".join(f"{name} ({by})" for name, by in sorted(others.items()))
        message += f"; others that match are claimed: {claimed}"
    proxied_subnets = [a for a in observed.proxied_subnets if a.owner == owner]
    return {
        ConditionType.READY: message,
        ConditionType.FIREWALL_READY: f"the {observed.rules.backend} rules are in place",
        ConditionType.PORTS_PUBLISHED: published_message(observed, owner),
        ConditionType.HOST_READY: host_message(observed.host, proxying_interfaces(proxied_subnets, observed.host)),
    }
