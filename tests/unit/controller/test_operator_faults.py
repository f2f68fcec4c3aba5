"""The whole operator while engine, firewall or kernel fail, and across its own restarts."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.firewall.model import FilterVariant, ForwardDrop
from dockerv6.firewall.port import FirewallUnavailable
from dockerv6.firewall.ruleset import Ruleset
from dockerv6.hostnet.model import Interface
from dockerv6.hostnet.port import HostNetError, HostNetPermissionError
from tests.simulation.resources import network
from tests.world import Host

FORWARD = ForwardDrop(FilterVariant.XTABLES_NFT, "filter", "FORWARD", has_accept_rule=False)
READY = ("True", "ReconcileSucceeded")


class TestFaults:
    @pytest.mark.parametrize(
        ("breaks", "repairs", "reason"),
        [
            (lambda host: host.engine.down(), lambda host: host.engine.up(), "EngineUnavailable"),
            (lambda host: host.net.deny(), lambda host: host.net.permit(), "HostDenied"),
        ],
        ids=["engine", "host"],
    )
    async def test_what_can_be_had_later_is_waited_for(
        self, breaks: Callable[[Host], None], repairs: Callable[[Host], None], reason: str
    ) -> None:
        host = Host()
        breaks(host)
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(30)
            assert await host.ready("blog") == ("False", reason)
            repairs(host)
            await at_work.let(120)
            assert await host.ready("blog") == READY

    async def test_an_engine_that_restarts_costs_nothing(self) -> None:
        host = Host()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            before, commits = await host.snapshot(), host.firewall.commits
            host.engine.down()
            await at_work.let(60)
            host.engine.up()
            await at_work.let(60)
            assert await host.snapshot() == before
            assert host.firewall.commits == commits
            assert await host.ready("blog") == READY

    async def test_an_engine_that_does_not_answer_is_asked_rarely(self) -> None:
        host = Host()
        host.files.write(*(network(f"n{i}") for i in range(10)))
        async with host.running() as at_work:
            await at_work.let(5)
            host.engine.down()
            await at_work.let(1)
            before = len(host.engine.calls)
            await at_work.let(60)
            assert len(host.engine.calls) - before < 300

    async def test_a_firewall_that_can_be_had_later_is_waited_for(self) -> None:
        host = Host()
        host.files.write(network())
        original = host.firewall.observe
        host.firewall.observe = _no_firewall  # type: ignore[method-assign]
        async with host.running() as at_work:
            await at_work.let(60)
            assert await host.ready("blog") == ("False", "FirewallUnavailable")
            assert await host.ours() == ()
            host.firewall.observe = original  # type: ignore[method-assign]
            await at_work.let(60)
            assert await host.ready("blog") == READY

    async def test_kernel_notifications_that_fail_are_opened_again(self) -> None:
        host = Host()
        host.files.write(network())
        original = host.net.changes
        host.net.changes = _denied  # type: ignore[method-assign,assignment]
        async with host.running() as at_work:
            await at_work.let(1)
            assert await host.ready("blog") == READY
            host.net.changes = original  # type: ignore[method-assign]
            await at_work.let(60)
            rules = host.rules_of("blog")
            host.flush_rules()
            await at_work.let(0)
            assert host.rules_of("blog") == rules

    async def test_a_hiccup_of_the_engine_is_over_soon(self) -> None:
        host = Host()
        host.files.write(network())
        host.engine.fail_next("create_network", EngineUnavailable("timeout"), times=2)
        async with host.running() as at_work:
            await at_work.let(30)
            assert await host.ready("blog") == READY


async def _no_firewall() -> Ruleset:
    raise FirewallUnavailable("install nftables")


def _denied() -> object:
    raise HostNetPermissionError("nf_tables' notifications need CAP_NET_ADMIN")


class TestRestart:
    async def test_a_restart_changes_nothing(self) -> None:
        host = Host()
        host.files.write(network("a"), network("b", egress={"interfaces": ["eth0"]}))
        async with host.running() as at_work:
            await at_work.let(2)
            host.engine.run_container("web", "a")
            await at_work.let(1)
        before, commits, changes = await host.snapshot(), host.firewall.commits, host.engine.changes
        writes = len(host.net.writes)
        async with host.running() as at_work:
            await at_work.let(60)
        assert await host.snapshot() == before
        assert host.firewall.commits == commits
        assert len(host.net.writes) == writes
        assert host.engine.changes == changes

    async def test_a_restart_with_an_unreadable_source_removes_no_rules_even_when_the_state_is_lost(self) -> None:
        host = Host()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
        rules = host.rules_of("blog")
        host.store, host.ledger = Host().store, Host().ledger
        host.files.root = replace(host.files.root, listed=False)
        async with host.running() as at_work:
            await at_work.let(30)
            assert host.rules_of("blog") == rules
            assert await host.docker("blog")
            host.files.root = replace(host.files.root, listed=True)
            await at_work.let(10)
            assert host.rules_of("blog") == rules
            assert await host.ready("blog") == READY

    async def test_it_stops_within_a_second(self) -> None:
        host = Host()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            started = host.clock.monotonic()
            await host.clock.run_until(at_work.operator.stop())
            assert host.clock.monotonic() - started < 1


async def test_a_host_that_can_not_be_read_at_the_start_is_reported_and_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = Host()
    host.files.write(network("blog"))

    async def unreadable() -> tuple[Interface, ...]:
        raise HostNetError("Cannot allocate memory")

    async with host.running() as it:
        with monkeypatch.context() as patched:
            patched.setattr(host.net, "interfaces", unreadable)
            await it.let(30)
            assert await host.docker("blog") is None
            assert await host.ready("blog") == ("False", "HostUnreadable")
            assert "nothing is changed before it was: Cannot allocate memory" in it.context.problems.check()
        await it.let(120)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")
        assert it.context.problems.check() == ""
