"""What a history leads to: the state of everything that nothing bad concerns, and invariants at rest."""

import re
from collections.abc import Iterable

from dockerv6.api.conditions import ConditionType
from dockerv6.api.kinds import NETWORK, POLICY, POOL
from dockerv6.controller.status import conditions_before
from dockerv6.planning.firewall.contributions import POLICY_OWNER
from tests.condition_rules import check_conditions
from tests.simulation.history import CONTAINERS, DELETED, FOREIGN, NETWORKS
from tests.simulation.machine import Machine
from tests.simulation.preview import preview

Outcome = dict[str, object]
"""By a description: a value that is the same in two runs that differ only in what must have no effect."""

RESOURCES = (*((NETWORK, name) for name in (*NETWORKS, DELETED, "late")), (POLICY, "shops"), (POOL, "main"))

_ADDRESS = re.compile(r"[0-9a-f:]*:[0-9a-f:]*(?:/\d+)?")


async def outcome(machine: Machine) -> Outcome:
    """The state of the resources, networks and containers of `history.beginning` and of the users' actions."""
    found: Outcome = {}
    for name in (*NETWORKS, DELETED, "late", *FOREIGN):
        live = machine.engine.inspect_network(name)
        if live is None:
            found[f"Docker network {name}"] = None
            continue
        subnets = sorted(str(c.subnet) for c in live.ipv6)
        options, labels = sorted(live.options.items()), sorted(live.labels.items())
        found[f"Docker network {name}"] = (subnets, live.internal, options, labels)
        attached = machine.engine.list_attachments(live.id)
        found[f"containers on {name}"] = sorted((a.container_name, a.running) for a in attached)
        found[f"bridge of {name}"] = live.bridge is None or _bridge(machine, live.bridge)
    for kind, name in RESOURCES:
        stored = await machine.store.object(kind, name)
        if stored is None:
            found[f"{kind} {name}"] = None
            continue
        conditions = conditions_before(stored)
        found[f"{kind} {name}"] = sorted(
            (str(c.type), c.status, str(c.reason)) for c in conditions if c.type != ConditionType.DRIFTED
        )  # that something was restored stays visible
        found[f"rules of {kind} {name}"] = _rules(machine, kind, name)
        allocation = await machine.bound(name) if kind == NETWORK else None
        found[f"allocation of {kind} {name}"] = allocation and (str(allocation.prefix), allocation.pool)
    created = [call.arguments[0] for call in machine.engine.calls if call.method == "create_network"]
    found["creations"] = {name: sum(getattr(spec, "name", "") == name for spec in created) for name in NETWORKS}
    found["forwarding"] = await machine.net.sysctl("net.ipv6.conf.all.forwarding")
    found["ports"] = {at: to for at, to in machine.ports().items() if to.partition(":")[0] in (*CONTAINERS, "l")}
    return found


def _bridge(machine: Machine, name: str) -> object:
    interface = machine.net._interfaces.get(name)
    return interface and (interface.up, interface.addresses)


def _rules(machine: Machine, kind: str, name: str) -> list[str]:
    """The rules and elements of an owner, with names of containers in the place of their addresses."""
    owner = name if kind == NETWORK else f"{POLICY_OWNER}{name}"
    containers = {str(end.ipv6): c.name for c in machine.engine.list_containers() for end in c.endpoints}

    def named(match: re.Match[str]) -> str:
        return containers.get(match[0].removesuffix("/128"), match[0])

    ruleset = machine.firewall.ruleset
    lines = [f"{s.name} {e.key} {e.value}" for s in ruleset.sets for e in s.elements if e.owner == owner]
    lines += [str(rule) for rule in ruleset.owned if rule.owner == owner]
    return sorted(_ADDRESS.sub(named, line) for line in lines)


async def check_rest(machine: Machine) -> None:
    """Add violations of the invariants that hold at rest."""
    networks = machine.engine.list_networks()
    violations = machine.violations
    subnets = [(c.subnet, n.name) for n in networks for c in n.ipv6]
    violations += [
        f"{a} and {b} overlap: {one}, {other}"
        for i, (one, a) in enumerate(subnets)
        for other, b in subnets[i + 1 :]
        if one.overlaps(other)
    ]
    for gone in sorted(machine.foreign_ids - {n.id for n in networks}):
        violations.append(f"a foreign network was removed: {gone}")
    for call in machine.engine.calls:
        if call.method in {"remove_network", "disconnect"} and call.arguments[0] in machine.foreign_ids:
            violations.append(f"a foreign network was changed: {call.method}")
    owned = [n.labels.get("dockerv6.io/name", "") for n in networks if n.id not in machine.foreign_ids]
    violations += [f"two networks of {name}" for name in set(owned) - {""} if owned.count(name) > 1]
    for stored in await machine.store.objects():
        try:
            check_conditions(conditions_before(stored))
        except AssertionError as error:
            violations.append(f"conditions of {stored.kind}/{stored.name}: {error}")
    try:
        plans = await preview(machine, machine.directory.read())
    except Exception as error:  # noqa: BLE001 - whatever it is
        violations.append(f"`dockerv6 plan` fails: {error!r}")
        return
    for name, plan in plans.items():
        if not plan.empty and name in (*NETWORKS, "late", "shops"):
            violations.append(f"the plan of {name} is not empty: {[step.describe() for step in plan.steps]}")


def differences(expected: Outcome, found: Outcome, ignored: Iterable[str] = ()) -> list[str]:
    """One line for each difference. ``ignored``: last words of descriptions."""
    names = tuple(ignored)
    return [
        f"{what}: {found.get(what)} instead of {expected.get(what)}"
        for what in sorted({*expected, *found})
        if expected.get(what) != found.get(what) and what.rpartition(" ")[2] not in names
    ]
