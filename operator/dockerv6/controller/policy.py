"""The handlers of IPv6Policy: rules for networks that somebody else made."""

from collections.abc import Mapping

from dockerv6.api.conditions import ConditionType
from dockerv6.api.kinds import POLICY
from dockerv6.api.policy import IPv6Policy
from dockerv6.api.traffic import Egress
from dockerv6.controller.context import Context
from dockerv6.controller.converge import ConvergeResult, converge, requeue_after
from dockerv6.controller.execute import StepFailed, execute, failure_of
from dockerv6.controller.observe import invalidate_listeners, observe_host
from dockerv6.controller.status import (
    conditions_before,
    fields_before,
    never_accepted,
    published_message,
    published_ports,
    reached_by,
    write_status,
)
from dockerv6.dockerd.model import Network
from dockerv6.firewall.port import FirewallError
from dockerv6.planning.firewall.contributions import POLICY_OWNER, ipv6_subnets
from dockerv6.planning.host.ndp_proxy import answering, stray_neighbours
from dockerv6.planning.host.sysctls import host_message
from dockerv6.planning.inputs import Observed
from dockerv6.planning.policy import plan_policy
from dockerv6.planning.status import POLICY_DOMAIN, StatusInputs, conditions_of
from dockerv6.planning.steps import Plan
from dockerv6.reconciler.handler import Key, Requeue, TemporaryError
from dockerv6.store.model import StoredObject


async def reconcile(key: Key, context: Context) -> Requeue | None:
    """Give the networks that the policy is for what it says, and say how they are."""
    stored = context.inventory.get(POLICY, key.name)
    resource = context.inventory.resource(POLICY, key.name)
    if stored is None:
        return None
    if not isinstance(resource, IPv6Policy):
        await never_accepted(stored, context)
        return None
    invalidate_listeners(stored, context)
    applied = bool(fields_before(stored))
    outcome = await converge(
        await observe_host(context, applied=applied),
        lambda: observe_host(context, applied=applied),
        lambda seen: plan_policy(resource, seen, _networks(key.name, context), context.inventory.holdings),
        context,
    )
    await _say(stored, resource.spec.egress, outcome, context)
    if outcome.failed is not None:
        raise failure_of(outcome.failed).error from outcome.failed
    for finding in outcome.plan.findings:
        if not finding.doubtful:
            await context.reporter.warning(POLICY, key.name, finding.reason, finding.message)
    retry = requeue_after(outcome.plan)
    return Requeue(retry) if retry is not None else None


def _networks(name: str, context: Context) -> tuple[Network, ...]:
    """The Docker networks that the policy is for now."""
    return context.firewall.assignment().networks.get(name, ())


async def finalize(key: Key, context: Context) -> Requeue | None:
    """Take away the policy's rules, and its entries; the networks were never its own. Raises `TemporaryError`."""
    try:
        await context.firewall.sync()
        answers = await context.firewall.all_answers()
        if answers is not None:
            strays = stray_neighbours(await context.world.host_view.get(), answers)
            await execute(Plan(POLICY, key.name, strays), context)
    except FirewallError as error:
        raise TemporaryError(str(error)) from error
    except StepFailed as failed:
        raise failure_of(failed).error from failed
    context.unreported_repairs.pop(f"{POLICY_OWNER}{key.name}", None)
    await context.reporter.normal(POLICY, key.name, "Deleted", f"IPv6Policy {key.name} is gone")
    return None


async def _say(stored: StoredObject, egress: Egress, outcome: ConvergeResult, context: Context) -> None:
    plan, observed, failed = outcome.plan, outcome.observed, outcome.failed
    failure = failure_of(failed) if failed is not None else None
    owner = f"{POLICY_OWNER}{stored.name}"
    elsewhere = tuple(context.unreported_repairs.pop(owner, ()))
    for what in elsewhere:
        await context.reporter.warning(POLICY, stored.name, "Drifted", what)
    networks = _networks(stored.name, context)
    answers = [a for a in observed.answers if a.owner == owner]
    others = context.firewall.assignment().elsewhere.get(stored.name, {})
    restored = outcome.first.drift if failed is None else ()
    verdict = StatusInputs(
        now=observed.now,
        generation=stored.generation,
        plan=plan,
        domain=POLICY_DOMAIN,
        problem=stored.problem,
        failure=failure.said if failure is not None else None,
        retry=failure.retry if failure is not None else requeue_after(plan),
        restored=(*restored, *elsewhere),
        held=f"{POLICY}/{stored.name}" in context.prune_held,
        messages=_messages(networks, others, observed, owner),
    )
    fields = {
        "networks": len(networks),
        "matched": [_shown(n) for n in sorted(networks, key=lambda n: n.name)],
        "claimed": [{"name": name, "by": by} for name, by in sorted(others.items())],
        "firewallBackend": observed.rules.backend,
        "publishedPorts": published_ports(observed, owner),
        **reached_by(egress, (s for n in networks for s, _ in ipv6_subnets(n)), answers, observed, context),
    }
    await write_status(stored, conditions_of(conditions_before(stored), verdict), fields, context)


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
    answers = [a for a in observed.answers if a.owner == owner]
    return {
        ConditionType.READY: message,
        ConditionType.FIREWALL_READY: f"the {observed.rules.backend} rules are in place",
        ConditionType.PORTS_PUBLISHED: published_message(observed, owner),
        ConditionType.HOST_READY: host_message(observed.host, answering(answers, observed.host)),
    }
