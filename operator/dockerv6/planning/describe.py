"""Steps in words for people and as mappings for programs: the same for ``dockerv6 plan`` and for the log."""

from collections.abc import Mapping, Sequence
from functools import singledispatch

from dockerv6.planning import steps as s
from dockerv6.planning.steps import Plan, Step


@singledispatch
def describe(step: Step) -> str:
    """One line: what is done to what."""
    raise TypeError(f"{step!r} is no step")


@describe.register
def _(step: s.KeepPoolPrefix) -> str:
    return f"generate {step.prefix} for IPv6Pool {step.pool}"


@describe.register
def _(step: s.BindSubnet) -> str:
    return f"allocate {step.prefix}" + (f" from IPv6Pool {step.pool}" if step.pool else "")


@describe.register
def _(step: s.ReleaseSubnet) -> str:
    return f"release {step.allocation.prefix}"


@describe.register
def _(step: s.ForgetSubnet) -> str:
    return f"forget {step.allocation.prefix}, which {step.allocation.owner} held"


@describe.register
def _(step: s.SetSysctl) -> str:
    return f"set sysctl {step.name}={step.value} (was {step.prior})"


@describe.register
def _(step: s.RestoreSysctl) -> str:
    return f"restore sysctl {step.name}={step.value}"


@describe.register
def _(step: s.RepairBridge) -> str:
    return f"mend bridge {step.bridge}: up, with {step.address}"


@describe.register
def _(step: s.EnsureRules) -> str:
    what = "; ".join(step.changes) or "the rules of the subnet"
    return f"firewall: {what}"


@describe.register
def _(step: s.AddAcceptRule) -> str:
    return f"accept marked flows in {step.barrier.variant} {step.barrier.table} {step.barrier.chain}"


@describe.register
def _(step: s.RemoveAcceptRule) -> str:
    return f"remove the accept rule from {step.barrier.variant} {step.barrier.table} {step.barrier.chain}"


@describe.register
def _(step: s.RememberEndpoints) -> str:
    return f"remember {len(step.endpoints)} endpoints of {step.network}"


@describe.register
def _(step: s.RememberNetwork) -> str:
    return f"remember Docker network {step.previous.name} with {step.subnet}"


@describe.register
def _(step: s.AddProxyNeighbour) -> str:
    return f"answer neighbour solicitations for {step.address} on {step.interface}"


@describe.register
def _(step: s.RemoveProxyNeighbour) -> str:
    return f"answer no more neighbour solicitations for {step.address} on {step.interface}"


@describe.register
def _(step: s.DetachEndpoint) -> str:
    return f"detach container {step.endpoint.container_name}"


@describe.register
def _(step: s.AttachMember) -> str:
    return f"attach container {step.endpoint.container_name} to {step.network}"


@describe.register
def _(step: s.DetachMember) -> str:
    return f"detach container {step.endpoint.container_name}"


@describe.register
def _(step: s.SetHairpin) -> str:
    return f"set hairpin mode on port {step.port} of bridge {step.bridge}"


@describe.register
def _(step: s.SetBridgeNetfilter) -> str:
    return f"let ip6tables see what is bridged within {step.bridge}"


@describe.register
def _(step: s.RemoveNetwork) -> str:
    return f"remove Docker network {step.name} ({step.network_id[:12]})"


@describe.register
def _(step: s.CreateNetwork) -> str:
    subnets = ", ".join(str(c.subnet) for c in step.spec.ipam)
    return f"create Docker network {step.spec.name} ({step.spec.driver}, {subnets})"


@describe.register
def _(step: s.AttachEndpoint) -> str:
    return f"attach container {step.endpoint.container_name} to {step.network}"


def rules_changed(changes: Sequence[str]) -> str:
    """Drift of the firewall in one line: a flushed table is dozens of changes."""
    steps = f"{len(changes)} steps, first: " if len(changes) > 1 else ""
    return f"firewall: our table was changed; put right by {steps}{changes[0]}"


SYMBOLS: Mapping[type[object], str] = {
    s.CreateNetwork: "+",
    s.BindSubnet: "+",
    s.KeepPoolPrefix: "+",
    s.AttachEndpoint: "+",
    s.AttachMember: "+",
    s.AddProxyNeighbour: "+",
    s.RemoveNetwork: "-",
    s.ReleaseSubnet: "-",
    s.ForgetSubnet: "-",
    s.DetachEndpoint: "-",
    s.DetachMember: "-",
    s.RemoveProxyNeighbour: "-",
    s.RemoveAcceptRule: "-",
}
"""As in a Terraform plan: + comes, - goes; anything else changes (~)."""


def symbol(step: Step) -> str:
    """What the step does to the world, in one character."""
    return SYMBOLS.get(type(step), "~")


def as_mapping(plan: Plan) -> dict[str, object]:
    """The plan for ``-o json``; stable, see docs/cli.md."""
    return {
        "kind": plan.kind,
        "name": plan.name,
        "disruption": str(plan.disruption),
        "disconnects": plan.disconnected,
        "drift": list(plan.drift),
        "steps": [
            {"action": type(step).__name__, "description": describe(step), "reason": step.reason} for step in plan.steps
        ],
        "findings": [
            {"condition": str(f.condition), "reason": str(f.reason), "message": f.message, "blocks": f.blocks}
            for f in plan.findings
        ],
    }
