"""No subnet is allocated in the external prefix of another resource, and a free one is always found."""

from dataclasses import replace
from ipaddress import IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from dockerv6.api.conditions import Reason
from dockerv6.lib.prefixes import overlaps_any
from dockerv6.planning.addressing.subnets import SubnetDecision, choose_subnet
from dockerv6.planning.steps import BindSubnet
from tests.simulation.resources import pool
from tests.unit.planning.scene import allocation, desired, holdings, observed, tracked

PREFIX = IPv6Network("2001:db8:0:10::/60")
FORMER = IPv6Network("2001:db8:0:80::/60")


@st.composite
def inside(draw: st.DrawFn, shortest: int = 60) -> IPv6Network:
    """A prefix in the pool."""
    length = draw(st.integers(shortest, 68))
    number = draw(st.integers(0, (1 << (length - 60)) - 1))
    return IPv6Network((int(PREFIX.network_address) + (number << (128 - length)), length))


external = st.lists(st.tuples(st.sampled_from(["blog", "shop", "policy/all"]), inside()), max_size=20)


@given(external, st.booleans())
def test_a_pool_gives_no_subnet_of_an_external_prefix(claims: list[tuple[str, IPv6Network]], renumbered: bool) -> None:  # noqa: FBT001
    others = [prefix for owner, prefix in claims if owner != "blog"]
    source = {"fromInterface": {"name": "eth0"}} if renumbered else {"prefix": str(PREFIX)}
    want = desired(None, pool("public", **source), addressing={"poolRef": {"name": "public"}})
    former = allocation(next(FORMER.subnets(new_prefix=64)), pool="public")
    held = replace(holdings(former), tracked={"eth0": tracked(str(PREFIX))}) if renumbered else holdings()
    found = choose_subnet(want, observed(external_prefixes=tuple(claims)), held, None)
    free = [each for each in PREFIX.subnets(new_prefix=64) if not overlaps_any(each, others)]
    if isinstance(found, SubnetDecision) and any(isinstance(step, BindSubnet) for step in found.steps):
        assert found.prefix in free
    else:
        finding = found.finding if isinstance(found, SubnetDecision) else found
        assert finding is not None
        assert (finding.reason, free) == (Reason.POOL_EXHAUSTED, [])
        assert "external prefixes of resources take 16" in finding.message


@given(inside(), external)
def test_a_fixed_subnet_is_not_in_an_external_prefix(
    subnet: IPv6Network, claims: list[tuple[str, IPv6Network]]
) -> None:
    want = desired(addressing={"subnet": str(subnet)})
    found = choose_subnet(want, observed(external_prefixes=tuple(claims)), holdings(), None)
    taken = overlaps_any(subnet, (prefix for owner, prefix in claims if owner != "blog"))
    assert isinstance(found, SubnetDecision) is not taken
