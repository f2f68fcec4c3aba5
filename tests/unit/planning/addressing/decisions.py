"""Asks for the subnet of a network, and checks what kind of decision it is."""

from dockerv6.dockerd.model import Network
from dockerv6.planning.addressing.subnets import SubnetDecision, choose_subnet
from dockerv6.planning.inputs import Desired, Holdings, Observed
from dockerv6.planning.plan import Finding
from dockerv6.planning.steps import BindSubnet
from tests.unit.planning.scene import (
    SUBNET,
    holdings,
    observed,
)

FIXED = {"subnet": str(SUBNET)}


def given(want: Desired, state: Observed | None = None, held: Holdings | None = None) -> SubnetDecision:
    found = choose_subnet(want, state or observed(), held or holdings(), own(want, state))
    assert isinstance(found, SubnetDecision), found
    return found


def refused(want: Desired, state: Observed | None = None, held: Holdings | None = None) -> Finding:
    found = choose_subnet(want, state or observed(), held or holdings(), own(want, state))
    assert isinstance(found, Finding), found
    return found


def stays(want: Desired, held: Holdings) -> Finding:
    """Why the resource keeps what it has, although the pool no longer gives that."""
    found = given(want, held=held)
    (bound,) = (a.prefix for a in held.allocations if a.owner == want.name)
    assert (found.prefix, found.steps, found.replaces) == (bound, (), None)
    assert found.finding is not None
    assert not found.finding.blocks
    assert found.finding.message.endswith(f"; until then {bound} stays in use")
    return found.finding


def own(want: Desired, state: Observed | None) -> Network | None:
    return next(iter(state.owned(want)), None) if state else None


def binding(found: SubnetDecision) -> BindSubnet:
    (bind,) = [s for s in found.steps if isinstance(s, BindSubnet)]
    return bind
