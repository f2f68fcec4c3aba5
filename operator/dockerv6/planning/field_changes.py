"""What a plan changes, field by field with the values before and after, for ``dockerv6 plan -o json``.

A field that has the same value before and after, such as a container that is attached again, is no change.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import singledispatch

from dockerv6.dockerd.model import NetworkSpec
from dockerv6.planning import steps as s
from dockerv6.planning.steps import Step

Value = str | bool | list[str] | None
"""None: the field did not exist before, or does not exist afterwards."""

_REMOVING = ("remove ", "delete ", "flush ")
_ATTACHED = "attached"

Facts = Iterator[tuple[str, Value, Value]]
"""A field, and what a step knows of its value before and after; None: nothing."""


def field_changes(steps: Iterable[Step]) -> list[Mapping[str, Value]]:
    """The fields that differ, in the order of the steps."""
    before: dict[str, Value] = {}
    after: dict[str, Value] = {}
    for step in steps:
        for field, old, new in _facts(step):
            after.setdefault(field, None)
            before.setdefault(field, None)
            before[field] = old if before[field] is None else before[field]
            after[field] = new if new is not None else after[field]
    return [
        {"field": field, "before": before[field], "after": after[field]}
        for field in before
        if before[field] != after[field]
    ]


@singledispatch
def _facts(step: Step) -> Facts:
    raise TypeError(f"no fields of {step!r}")


@_facts.register
def _(step: s.RememberNetwork) -> Facts:
    yield "subnet", str(step.subnet), None
    for field, value in _spec(step.previous):
        yield field, value, None


@_facts.register
def _(step: s.CreateNetwork) -> Facts:
    for field, value in _spec(step.spec):
        yield field, None, value


@_facts.register
def _(step: s.RemoveNetwork) -> Facts:
    yield "network.name", step.name, None


@_facts.register
def _(step: s.KeepPoolPrefix) -> Facts:
    yield f"pool.{step.pool}.prefix", None, str(step.prefix)


@_facts.register
def _(step: s.BindSubnet) -> Facts:
    yield "subnet", None, str(step.prefix)


@_facts.register
def _(step: s.ReleaseSubnet) -> Facts:
    yield "subnet", str(step.allocation.prefix), None


@_facts.register
def _(step: s.ForgetSubnet) -> Facts:
    yield f"cooldown.{step.allocation.prefix}", step.allocation.owner, None


@_facts.register
def _(step: s.SetSysctl) -> Facts:
    yield f"sysctl.{step.name}", step.prior, step.value


@_facts.register
def _(step: s.RestoreSysctl) -> Facts:
    yield f"sysctl.{step.name}", None, step.value


@_facts.register
def _(step: s.RepairBridge) -> Facts:
    yield f"bridge.{step.bridge}.address", None, str(step.address)


@_facts.register
def _(step: s.UpdateFirewall) -> Facts:
    removed = [line for line in step.changes if line.startswith(_REMOVING)]
    yield "firewall", removed or None, [line for line in step.changes if line not in removed] or None


@_facts.register
def _(step: s.AddAcceptRule) -> Facts:
    yield f"hostFilter.{step.forward_drop.variant}.{step.forward_drop.chain}.acceptRule", None, True


@_facts.register
def _(step: s.RemoveAcceptRule) -> Facts:
    yield f"hostFilter.{step.forward_drop.variant}.{step.forward_drop.chain}.acceptRule", True, None


@_facts.register
def _(step: s.RememberEndpoints) -> Facts:  # it changes nothing that a user sees
    del step
    yield from ()


@_facts.register
def _(step: s.AddProxyNeighbour) -> Facts:
    yield f"ndpProxy.{step.interface}.{step.address}", None, True


@_facts.register
def _(step: s.RemoveProxyNeighbour) -> Facts:
    yield f"ndpProxy.{step.interface}.{step.address}", True, None


@_facts.register
def _(step: s.DetachEndpoint | s.DetachMember) -> Facts:
    yield f"containers.{step.endpoint.container_name}", _ATTACHED, None


@_facts.register
def _(step: s.AttachEndpoint | s.AttachMember) -> Facts:
    yield f"containers.{step.endpoint.container_name}", None, _ATTACHED


@_facts.register
def _(step: s.SetHairpin) -> Facts:
    yield f"bridge.{step.bridge}.{step.port}.hairpin", False, True


@_facts.register
def _(step: s.SetBridgeNetfilter) -> Facts:
    yield f"bridge.{step.bridge}.netfilter", False, True


def _spec(spec: NetworkSpec) -> Iterator[tuple[str, Value]]:
    yield "network.name", spec.name
    yield "network.driver", spec.driver
    yield "network.internal", spec.internal
    yield "network.attachable", spec.attachable
    yield "network.ipv4", spec.enable_ipv4
    yield "network.ipv6", spec.enable_ipv6
    yield "network.subnets", [str(config.subnet) for config in spec.ipam]
    yield "network.gateways", [str(config.gateway) for config in spec.ipam if config.gateway is not None]
    for name, value in sorted(spec.options.items()):
        yield f"network.options.{name}", value
    for name, value in sorted(spec.labels.items()):
        yield f"network.labels.{name}", value
