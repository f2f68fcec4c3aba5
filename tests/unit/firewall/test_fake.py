from collections.abc import Callable
from ipaddress import IPv6Address

import pytest

from dockerv6.firewall.diff import diff
from dockerv6.firewall.elements import EGRESS_ANY
from dockerv6.firewall.expr import Element
from dockerv6.firewall.model import DEFAULT_MARK, FilterVariant, ForwardDrop
from dockerv6.firewall.port import FirewallUnavailable
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY
from dockerv6.firewall.walk.packet import Flow, Paths
from dockerv6.firewall.walk.verdicts import PASSES, FlowVerdict
from tests.fakes.firewall.backend import FakeFirewall, FakeHostFilter
from tests.unit.firewall.intents import BLOG, intent

ONE = render(intent(BLOG))
FORWARD = ForwardDrop(FilterVariant.XTABLES_NFT, "filter", "FORWARD", has_accept_rule=False)


@pytest.fixture
async def firewall() -> FakeFirewall:
    made = FakeFirewall()
    await made.apply(diff(ONE, EMPTY))
    return made


DAMAGES: dict[str, Callable[[FakeFirewall], None]] = {
    "everything flushed": FakeFirewall.flush_all,
    "chain flushed": lambda firewall: firewall.flush_chain("forward"),
    "rule deleted": lambda firewall: firewall.delete_rule("postrouting", 1),
    "foreign rule": lambda firewall: firewall.add_foreign_rule("outbound"),
    "element deleted": lambda firewall: firewall.delete_element(EGRESS_ANY, Element((str(BLOG.subnet),), "blog")),
    "foreign element": lambda firewall: firewall.add_element(EGRESS_ANY, Element(("fd00:bad::/64",))),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_every_damage_is_noticed_and_can_be_repaired(firewall: FakeFirewall, damage: str) -> None:
    DAMAGES[damage](firewall)
    change = diff(ONE, await firewall.observe())
    assert not change.empty
    assert await firewall.apply(change) == ONE


async def test_failures_are_raised_in_their_order(firewall: FakeFirewall) -> None:
    firewall.fail_next(FirewallUnavailable("gone"))
    with pytest.raises(FirewallUnavailable):
        await firewall.observe()
    assert await firewall.observe() == ONE


async def test_damage_to_a_missing_object_is_an_error_of_the_test(firewall: FakeFirewall) -> None:
    with pytest.raises(KeyError):
        firewall.flush_chain("ghost")
    with pytest.raises(KeyError):
        firewall.add_element("ghost", Element(("a",)))


async def test_an_accept_rule_stays_until_it_is_flushed() -> None:
    host = FakeHostFilter(FORWARD)
    await host.add_accept_rule(FORWARD, DEFAULT_MARK)
    assert (await host.observe(DEFAULT_MARK)).forward_drops[0].has_accept_rule
    host.flush()
    assert not (await host.observe(DEFAULT_MARK)).forward_drops[0].has_accept_rule


async def test_an_accept_rule_without_a_forward_drop_is_orphaned() -> None:
    host = FakeHostFilter()
    host.add_forward_drop(FORWARD)
    await host.add_accept_rule(FORWARD, DEFAULT_MARK)
    host.clear_forward_drops()
    (stray,) = (await host.observe(DEFAULT_MARK)).orphaned
    await host.remove_accept_rule(stray, DEFAULT_MARK)
    assert (await host.observe(DEFAULT_MARK)).orphaned == ()


async def test_failures_of_the_filter_are_raised_in_their_order() -> None:
    host = FakeHostFilter(FORWARD)
    host.fail_next(FirewallUnavailable("gone"))
    with pytest.raises(FirewallUnavailable):
        await host.observe(DEFAULT_MARK)


async def test_every_flow_gets_the_verdict_that_was_set() -> None:
    host = FakeHostFilter()
    flow = Flow("a", "a flow", IPv6Address("fd00::2"), IPv6Address("2001:db8::1"))
    assert await host.follow((flow, flow), Paths()) == (PASSES, PASSES)
    host.verdict = FlowVerdict(passes=None, doubt="a limit")
    assert await host.follow((flow,), Paths()) == (host.verdict,)
    assert host.followed == (flow,)
