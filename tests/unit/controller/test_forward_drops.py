"""Flows that the host's filters drop: which resource reports them, and when."""

from dockerv6.firewall.model import FilterVariant, ForwardDrop
from dockerv6.firewall.port import FirewallError
from dockerv6.firewall.walk.verdicts import PASSES, FilterPlace, FlowVerdict
from tests.simulation.resources import network, policy
from tests.world import Host

PLACE = FilterPlace(FilterVariant.NFTABLES, "inet", "site", "forward", "handle 4", "forward", "forward")
DROPPED = FlowVerdict(passes=False, place=PLACE)
UNCLEAR = FlowVerdict(passes=None, place=PLACE, doubt="limit")
FORWARD = ForwardDrop(FilterVariant.XTABLES_NFT, "filter", "FORWARD", has_accept_rule=False)


async def running_host() -> Host:
    host = Host()
    await host.create_foreign("shop", "fd99::/64")
    host.files.write(network("a"), policy("p"))
    return host


async def conditions(host: Host) -> list[tuple[str, str, str]]:
    """FirewallReady of the network and of the policy, and the network's Ready: status and reason."""
    found: list[tuple[str, str, str]] = []
    for name, kind, wanted in (
        ("a", "IPv6Network", "FirewallReady"),
        ("p", "IPv6Policy", "FirewallReady"),
        ("a", "IPv6Network", "Ready"),
    ):
        found += [(wanted, c.status, c.reason) for c in await host.conditions(name, kind) if c.type == wanted]
    return found


async def test_statuses_show_the_fate_of_the_flows() -> None:
    host = await running_host()
    async with host.running() as at_work:
        for verdict, reported, ready in (
            (PASSES, ("True", "InSync"), ("True", "ReconcileSucceeded")),
            (DROPPED, ("False", "FirewallBlocked"), ("False", "FirewallBlocked")),
            (UNCLEAR, ("Unknown", "FirewallUnknown"), ("True", "ReconcileSucceeded")),
            (PASSES, ("True", "InSync"), ("True", "ReconcileSucceeded")),
        ):
            host.filter.verdict = verdict
            host.net.commit_firewall("inet site")
            await at_work.let(3)
            assert host.filter.followed
            firewall = ("FirewallReady", *reported)
            assert await conditions(host) == [firewall, firewall, ("Ready", *ready)]


async def test_an_unchanged_verdict_concerns_nobody() -> None:
    bench = await Host().bench(network("a"), policy("p"))
    heard: list[str] = []
    bench.context.firewall.on_owner_changed(heard.append)
    for _ in range(2):
        await bench.context.firewall.follow_flows()
    assert heard == []


async def test_a_chain_that_can_be_repaired_concerns_no_resource() -> None:
    bench = await Host().bench(network("a"), policy("p"))
    heard: list[str] = []
    bench.context.firewall.on_owner_changed(heard.append)
    bench.host.filter.add_forward_drop(FORWARD)
    bench.context.firewall.invalidate_filter()
    await bench.context.firewall.view()
    assert heard == []


async def test_a_filter_that_can_not_be_read_keeps_nothing_from_being_created() -> None:
    host = Host()
    host.filter.add_forward_drop(FORWARD)
    host.filter.unreadable = FirewallError("Cannot allocate memory")
    host.files.write(network("a"))

    async def check(status: str, reason: str, ready: str) -> None:
        condition = await host.condition("a", "FirewallReady")
        assert condition is not None
        assert (condition.status, condition.reason) == (status, reason)
        assert "can't be read (Cannot allocate memory)" in condition.message
        assert (await host.ready("a"))[0] == ready

    async with host.running() as it:
        await it.let(30)
        assert host.rules_of("a")
        assert await host.docker("a") is not None
        await check("False", "FirewallUnavailable", "False")  # never read: it is unknown whether packets pass
        assert not host.filter.accept_rules
        host.filter.unreadable = None
        await it.let(60)
        assert host.filter.accept_rules
        assert await host.ready("a") == ("True", "ReconcileSucceeded")
        host.filter.unreadable = FirewallError("Cannot allocate memory")
        host.net.commit_firewall("ip6 filter")
        host.files.write(network("a", labels={"changed": "1"}))
        await it.let(60)
        await check("Unknown", "FirewallUnknown", "True")
