import asyncio
from ipaddress import IPv6Address

import pytest

from dockerv6.firewall.model import FilterVariant, ForwardDrop
from dockerv6.firewall.port import FirewallRejected, FirewallUnavailable
from dockerv6.firewall.ruleset import EMPTY, Ruleset
from tests.simulation.resources import invalid, network
from tests.world import Bench, Host

FORWARD = ForwardDrop(FilterVariant.XTABLES_NFT, "filter", "FORWARD", has_accept_rule=False)


async def bound(*names: str) -> Bench:
    """Networks that are allocated, and nothing else."""
    bench = await Host().bench(*(network(n) for n in names))
    for name in names:
        await bench.reconcile(name)
    return bench


async def test_a_burst_of_syncs_is_one_transaction() -> None:
    bench = await bound("a", "b")
    bench.host.firewall.flush_all()
    bench.context.firewall.invalidate()
    commits = bench.host.firewall.commits
    repairs = await asyncio.gather(*(bench.repair() for _ in range(10)))
    assert bench.host.firewall.commits == commits + 1
    assert all(r.drift for r in repairs[:1])


async def test_what_was_in_place_and_is_not_is_drift() -> None:
    bench = await bound("a")
    assert not (await bench.repair()).drift
    bench.host.firewall.flush_all()
    bench.context.firewall.invalidate()
    repair = await bench.repair()
    assert repair.drift
    assert "a" in repair.change.by_owner


async def test_what_is_newly_wanted_is_no_drift() -> None:
    bench = await bound("a")
    await bench.accept(network("a", egress={"interfaces": ["eth0"]}))
    repair = await bench.repair()
    assert not repair.change.empty
    assert not repair.drift


async def test_an_equal_table_is_not_written() -> None:
    bench = await bound("a")
    commits = bench.host.firewall.commits
    bench.context.firewall.invalidate()
    assert (await bench.repair()).change.empty
    assert bench.host.firewall.commits == commits


@pytest.mark.parametrize("start", [1, 2**32 - 2])
async def test_the_announcement_of_its_own_commit_is_no_reason_to_read_again(
    start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = await bound("a")
    reconciler, firewall = bench.context.firewall, bench.host.firewall
    reads = 0

    async def observe() -> Ruleset:
        nonlocal reads
        reads += 1
        return firewall.ruleset

    monkeypatch.setattr(firewall, "observe", observe)
    monkeypatch.setattr(type(firewall), "generation", property(lambda self: (start + self.commits) % 2**32))
    reconciler.invalidate()
    firewall.flush_all()
    await reconciler.repair()
    assert reads == 1
    reconciler.invalidate(firewall.generation)
    assert (await reconciler.repair()).change.empty
    assert reads == 1
    firewall.flush_all()
    firewall.commits += 1  # somebody else's
    reconciler.invalidate(firewall.generation)
    assert (await reconciler.repair()).drift
    assert reads == 2


async def test_the_view_shows_which_owner_lacks_what() -> None:
    bench = await bound("a", "b")
    bench.host.firewall.flush_all()
    bench.context.firewall.invalidate()
    view = await bench.context.firewall.view()
    assert view.change.owners == {"", "a", "b"}
    assert view.backend == "fake"


async def test_a_firewall_that_can_not_be_had_is_part_of_the_view() -> None:
    bench = await bound("a")
    bench.context.firewall.invalidate()
    bench.host.firewall.fail_next(FirewallUnavailable("install nftables"))
    assert (await bench.context.firewall.view()).problem == "install nftables"
    assert (await bench.context.firewall.view()).problem == ""


async def test_a_filter_that_can_not_be_read_is_part_of_the_view_too() -> None:
    bench = await bound("a")
    bench.context.firewall.invalidate_filter()
    bench.host.filter.fail_next(FirewallUnavailable("no ip6tables"))
    view = await bench.context.firewall.view()
    assert (view.problem, view.filter_problem, view.filter_read) == ("", "no ip6tables", True)
    assert (await bench.context.firewall.view()).filter_problem == ""


async def test_a_refused_transaction_comes_out_and_is_tried_again() -> None:
    bench = await bound("a")
    bench.host.firewall.flush_all()
    bench.context.firewall.invalidate()
    await bench.context.firewall.view()
    bench.host.firewall.fail_next(FirewallRejected("no"))
    with pytest.raises(FirewallRejected):
        await bench.repair()
    await bench.repair()
    assert bench.host.rules_of("a")


async def test_nobodys_elements_are_removed_before_the_sources_were_listed() -> None:
    bench = await bound("a")
    rules = bench.host.rules_of("a")
    fresh = Host()
    bench.host.store, bench.host.ledger = fresh.store, fresh.ledger
    bench.host.files.contents.clear()
    again = await bench.host.bench()
    again.context.inventory.sources_listed = False
    await again.repair()
    assert bench.host.rules_of("a") == rules
    again.context.inventory.sources_listed = True
    await again.repair()
    assert bench.host.firewall.ruleset == EMPTY


async def test_rules_of_a_resource_whose_file_is_invalid_stay_although_the_state_is_lost() -> None:
    bench = await bound("a")
    rules = bench.host.rules_of("a")
    fresh = Host()
    bench.host.store, bench.host.ledger = fresh.store, fresh.ledger
    bench.host.files.write(invalid("a"))
    again = await bench.host.bench()
    await again.accept()
    await again.repair()
    assert bench.host.rules_of("a") == rules


async def test_a_resource_without_a_subnet_makes_no_table() -> None:
    bench = await Host().bench(network("a", suspend=True), network("b", addressing={"poolRef": {"name": "x"}}))
    await bench.repair()
    assert bench.host.firewall.ruleset == EMPTY
    assert not bench.context.firewall.wanted
    assert not bench.context.firewall.idle


async def test_it_is_idle_when_no_resource_is_left() -> None:
    bench = await bound("a")
    assert bench.context.firewall.wanted
    assert not bench.context.firewall.idle
    await bench.delete("a")
    await bench.finalize("a")
    assert bench.context.firewall.idle


async def test_a_sweep_leaves_nothing_behind() -> None:
    bench = await bound("a")
    bench.host.filter.add_forward_drop(FORWARD)
    await bench.context.firewall.add_accept_rule(FORWARD)
    await bench.context.firewall.sweep()
    assert bench.host.firewall.ruleset == EMPTY
    assert not bench.host.filter.accept_rules


async def test_a_change_while_the_filter_is_read_is_seen() -> None:
    bench = await bound("a")
    reconciler, original = bench.context.firewall, bench.host.filter.observe

    async def changed_meanwhile(mark: int) -> object:
        state = await original(mark)
        bench.host.filter.add_forward_drop(FORWARD)
        reconciler.invalidate_filter()
        return state

    reconciler.invalidate_filter()
    bench.host.filter.observe = changed_meanwhile  # type: ignore[method-assign,assignment]
    assert (await reconciler.view()).filter.forward_drops == ()
    bench.host.filter.observe = original  # type: ignore[method-assign]
    assert (await reconciler.view()).filter.forward_drops == (FORWARD,)


class TestUdpFlows:
    """One that goes on keeps the translation that it began with, until it is forgotten."""

    HERE = IPv6Address("2001:db8:1::5")
    ELSEWHERE = IPv6Address("2001:db8:2::5")

    async def with_flows(self, *ports: str) -> Bench:
        bench = await bound("a")
        bench.host.engine.run_container("web", "a", ports=ports)
        self.begin(bench, 53, 54, 8080)
        bench.invalidate_all()
        await bench.repair()
        return bench

    def begin(self, bench: Bench, *ports: int) -> None:
        bench.host.net.udp_flows = [(to, port) for to in (self.HERE, self.ELSEWHERE) for port in ports]

    def left(self, bench: Bench) -> list[int]:
        """The ports of the host's own address that flows go on to."""
        return [port for to, port in bench.host.net.udp_flows if to == self.HERE]

    async def test_those_of_ports_that_come_or_go_are_forgotten(self) -> None:
        bench = await self.with_flows("53:53/udp")
        assert self.left(bench) == [54, 8080]
        self.begin(bench, 53, 54)
        bench.host.engine.stop_container(next(iter(await bench.host.engine.running_container_ids())))
        bench.invalidate_all()
        await bench.repair()
        assert self.left(bench) == [54]

    async def test_those_through_the_host_to_elsewhere_are_not(self) -> None:
        bench = await self.with_flows("53:53/udp")
        assert (self.ELSEWHERE, 53) in bench.host.net.udp_flows

    async def test_those_to_the_loopback_are(self) -> None:
        bench = await bound("a")
        bench.host.engine.run_container("web", "a", ports=("53:53/udp",))
        bench.host.net.udp_flows = [(IPv6Address("::1"), 53)]
        bench.invalidate_all()
        await bench.repair()
        assert bench.host.net.udp_flows == []

    async def test_those_of_one_address_too(self) -> None:
        assert self.left(await self.with_flows("[2001:db8:1::5]:54:53/udp")) == [53, 8080]

    async def test_other_protocols_end_by_themselves(self) -> None:
        assert self.left(await self.with_flows("8080:80", "54:54/sctp")) == [53, 54, 8080]

    async def test_a_table_that_is_right_already_costs_none(self) -> None:
        bench = await self.with_flows("53:53/udp")
        self.begin(bench, 53)
        bench.invalidate_all()
        await bench.repair()
        assert self.left(bench) == [53]

    async def test_a_host_that_denies_it_has_the_rules_all_the_same(self) -> None:
        bench = await bound("a")
        bench.host.engine.run_container("web", "a", ports=("53:53/udp",))
        bench.host.net.deny()
        bench.invalidate_all()
        await bench.repair()
        assert bench.host.ports() == {"udp 53 ::": "web:53"}


async def test_a_fingerprint_is_that_of_our_table_and_of_the_hosts_filter() -> None:
    bench = await bound("a")
    reconciler = bench.context.firewall
    assert await reconciler.poll_revision() is None
    bench.host.firewall.revision = 1
    one = await reconciler.poll_revision()
    bench.host.filter.revision = 1
    assert None is not one != await reconciler.poll_revision()


async def test_the_view_says_where_ports_lead_and_which_do_not() -> None:
    bench = await bound("a", "b")
    for name in ("a", "b"):
        bench.host.engine.run_container(f"web-{name}", name, ports=("[2001:db8:1::5]:8080:80",) if name == "a" else ())
    clash = network("b", publish={"ports": [{"port": 8080, "containers": {"name": "web-b"}}]})
    await bench.accept(clash)
    bench.invalidate_all()
    await bench.context.world.refresh()
    view = await bench.context.firewall.view()
    assert [p.port for p in view.ports["a"]] == [8080]
    assert list(view.port_names.values()) == ["web-a"]
    assert [p.reason for p in view.port_problems["b"]] == ["PortConflict"]
