"""The host's filter on a real kernel: iptables-nft, iptables-legacy, both at once, and nftables' own tables."""

from __future__ import annotations

import asyncio
import fcntl
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.hostfilter import linux
from dockerv6.firewall.hostfilter.linux import LinuxHostFilter, _restore_nft
from dockerv6.firewall.model import DEFAULT_MARK as MARK
from dockerv6.firewall.model import FilterVariant, ForwardDrop, HostFilterState
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallBusy, FirewallRejected, FirewallUnavailable
from dockerv6.firewall.xtables import libiptc
from dockerv6.firewall.xtables.legacy import used_tables
from tests.host.network import nft
from tests.host.xtables import VARIANTS, disturb_commits, ip6tables, saved_chain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("private_netns")

RULE = f'-m mark --mark {MARK:#x}/{MARK:#x} -m comment --comment "dockerv6: flows that inet dockerv6 allows" -j ACCEPT'


@pytest.fixture
async def host() -> AsyncIterator[LinuxHostFilter]:
    session = NftSession()
    yield LinuxHostFilter(session)
    await session.close()


def engine_chains(variant: str) -> None:
    """The jump to DOCKER-USER of engines >= 23."""
    ip6tables(variant, "-N", "DOCKER-USER")
    ip6tables(variant, "-I", "FORWARD", "-j", "DOCKER-USER")


async def only_drop(host: LinuxHostFilter) -> ForwardDrop:
    state = await host.observe(MARK)
    assert len(state.forward_drops) == 1, state
    return state.forward_drops[0]


async def test_a_host_without_a_filter_has_no_drop_and_gets_no_table(host: LinuxHostFilter) -> None:
    assert await host.observe(MARK) == HostFilterState()
    assert "filter" not in used_tables()


async def settle(host: LinuxHostFilter) -> ForwardDrop:
    """Add or move the accept rule if that is found to be needed; twice does not change more."""
    drop = await only_drop(host)
    if not drop.has_accept_rule:
        await host.add_accept_rule(drop, MARK)
    assert (await only_drop(host)).has_accept_rule
    return drop


async def test_a_dropping_policy_gets_the_accept_rule_into_forward(host: LinuxHostFilter, variant: str) -> None:
    ip6tables(variant, "-P", "FORWARD", "DROP")
    ip6tables(variant, "-A", "FORWARD", "-i", "eth0", "-j", "ACCEPT")
    drop = await only_drop(host)
    assert (drop.variant, drop.chain, drop.has_accept_rule) == (VARIANTS[variant], "FORWARD", False)
    await host.add_accept_rule(drop, MARK)
    assert saved_chain(variant, "FORWARD") == [RULE, "-i eth0 -j ACCEPT"]
    assert (await only_drop(host)).has_accept_rule
    before = saved_chain(variant, "FORWARD")
    await host.add_accept_rule(drop, MARK)
    assert saved_chain(variant, "FORWARD") == before


BAN = "-s 2001:db8::bad/128 -j DROP"
LATE_BAN = "-s 2001:db8::1a7e/128 -j DROP"


async def test_the_rule_follows_drops_that_are_there_before_or_appended_later(
    host: LinuxHostFilter, variant: str
) -> None:
    ip6tables(variant, "-P", "FORWARD", "DROP")
    engine_chains(variant)
    ip6tables(variant, "-A", "DOCKER-USER", *BAN.split())
    await settle(host)
    assert saved_chain(variant, "DOCKER-USER") == [BAN, RULE]
    ip6tables(variant, "-A", "DOCKER-USER", *LATE_BAN.split())
    await settle(host)
    assert saved_chain(variant, "DOCKER-USER") == [BAN, LATE_BAN, RULE]
    ip6tables(variant, "-D", "DOCKER-USER", *LATE_BAN.split())
    ip6tables(variant, "-A", "DOCKER-USER", "-j", "RETURN")
    ip6tables(variant, "-A", "DOCKER-USER", *LATE_BAN.split())  # nothing reaches it
    await settle(host)
    assert saved_chain(variant, "DOCKER-USER") == [BAN, RULE, "-j RETURN", LATE_BAN]


async def test_the_rule_of_an_earlier_version_moves_and_has_no_copy(host: LinuxHostFilter, variant: str) -> None:
    ip6tables(variant, "-P", "FORWARD", "DROP")
    await settle(host)
    for _ in range(2):
        ip6tables(variant, "-A", "FORWARD", *BAN.split())
        ip6tables(variant, "-I", "FORWARD", "-m", "mark", "--mark", f"{MARK:#x}/{MARK:#x}", "-j", "ACCEPT")
    restarted = LinuxHostFilter(host._session)
    await settle(restarted)
    assert saved_chain(variant, "FORWARD") == [BAN, BAN, RULE]


async def test_the_rule_stands_between_the_chains_of_ufw(host: LinuxHostFilter, variant: str) -> None:
    ip6tables(variant, "-P", "FORWARD", "DROP")
    await settle(host)
    for name in ("ufw6-before-forward", "ufw6-user-forward", "ufw6-reject-forward"):
        ip6tables(variant, "-N", name)
    ip6tables(variant, "-A", "ufw6-before-forward", "-j", "ufw6-user-forward")
    ip6tables(variant, "-A", "ufw6-reject-forward", "-j", "REJECT")
    for name in ("ufw6-before-forward", "ufw6-reject-forward"):
        ip6tables(variant, "-A", "FORWARD", "-j", name)
    await settle(host)
    assert saved_chain(variant, "FORWARD")[0] == RULE
    ip6tables(variant, "-A", "ufw6-user-forward", *BAN.split())
    await settle(host)
    assert saved_chain(variant, "FORWARD") == ["-j ufw6-before-forward", RULE, "-j ufw6-reject-forward"]


async def test_the_rule_is_in_forward_while_a_drop_is_behind_docker_user(host: LinuxHostFilter, variant: str) -> None:
    ip6tables(variant, "-P", "FORWARD", "DROP")
    engine_chains(variant)
    await settle(host)
    ip6tables(variant, "-A", "FORWARD", *BAN.split())
    await settle(host)
    (orphaned,) = (await host.observe(MARK)).orphaned
    await host.remove_accept_rule(orphaned, MARK)
    assert saved_chain(variant, "FORWARD") == ["-j DOCKER-USER", BAN, RULE]
    assert saved_chain(variant, "DOCKER-USER") == []
    ip6tables(variant, "-D", "FORWARD", *BAN.split())
    await settle(host)
    (orphaned,) = (await host.observe(MARK)).orphaned
    await host.remove_accept_rule(orphaned, MARK)
    assert saved_chain(variant, "FORWARD") == ["-j DOCKER-USER"]
    assert saved_chain(variant, "DOCKER-USER") == [RULE]


@pytest.mark.parametrize(
    ("change", "after"),
    [
        (("-I", "FORWARD", *LATE_BAN.split()), [LATE_BAN, BAN, RULE]),
        (("-D", "FORWARD", *BAN.split()), [RULE]),  # the number is too large then
    ],
)
async def test_a_change_between_reading_and_inserting_does_not_misplace_the_rule(
    host: LinuxHostFilter, monkeypatch: pytest.MonkeyPatch, change: tuple[str, ...], after: list[str]
) -> None:
    ip6tables("nft", "-P", "FORWARD", "DROP")
    ip6tables("nft", "-A", "FORWARD", *BAN.split())
    drop = await only_drop(host)
    changes = [change]

    def restore(text: str) -> None:
        if changes:
            ip6tables("nft", *changes.pop())
        _restore_nft(text)

    monkeypatch.setattr(linux, "_restore_nft", restore)
    await host.add_accept_rule(drop, MARK)
    assert saved_chain("nft", "FORWARD") == after


async def test_a_chain_that_changes_all_the_time_is_reported(
    host: LinuxHostFilter, monkeypatch: pytest.MonkeyPatch
) -> None:
    ip6tables("nft", "-P", "FORWARD", "DROP")
    drop = await only_drop(host)

    def restore(text: str) -> None:
        _restore_nft(text)
        ip6tables("nft", "-A", "FORWARD", *BAN.split())

    monkeypatch.setattr(linux, "_restore_nft", restore)
    with pytest.raises(FirewallBusy, match="all the time"):
        await host.add_accept_rule(drop, MARK)
    monkeypatch.undo()
    await settle(host)
    assert saved_chain("nft", "FORWARD")[-1] == RULE
    assert saved_chain("nft", "FORWARD").count(RULE) == 1


async def test_concurrent_additions_leave_one_rule(host: LinuxHostFilter, variant: str) -> None:
    ip6tables(variant, "-P", "FORWARD", "DROP")
    drop = await only_drop(host)
    await asyncio.gather(*(host.add_accept_rule(drop, MARK) for _ in range(4)))
    assert saved_chain(variant, "FORWARD") == [RULE]


async def test_docker_user_is_preferred(host: LinuxHostFilter, variant: str) -> None:
    ip6tables(variant, "-P", "FORWARD", "DROP")
    engine_chains(variant)
    await host.add_accept_rule(await only_drop(host), MARK)
    assert saved_chain(variant, "DOCKER-USER") == [RULE]
    assert saved_chain(variant, "FORWARD") == ["-j DOCKER-USER"]


async def test_a_rule_above_ours_is_accepted_unless_it_ends_the_chain(host: LinuxHostFilter, variant: str) -> None:
    ip6tables(variant, "-P", "FORWARD", "DROP")
    await host.add_accept_rule(await only_drop(host), MARK)
    ip6tables(variant, "-I", "FORWARD", "-d", "2001:db8:bad::/48", "-j", "DROP")
    assert (await only_drop(host)).has_accept_rule
    ip6tables(variant, "-N", "DOCKER-ISOLATION-STAGE-1")  # as engine 20.10 does for each network that it makes
    for above in (("-j", "DOCKER-ISOLATION-STAGE-1"), ("-j", "REJECT")):
        ip6tables(variant, "-I", "FORWARD", *above)
        drop = await only_drop(host)
        assert not drop.has_accept_rule
        await host.add_accept_rule(drop, MARK)
        assert saved_chain(variant, "FORWARD")[0] == RULE
        assert saved_chain(variant, "FORWARD").count(RULE) == 1


async def test_the_rule_is_removed_when_nothing_drops(host: LinuxHostFilter, variant: str) -> None:
    ip6tables(variant, "-P", "FORWARD", "DROP")
    await host.add_accept_rule(await only_drop(host), MARK)
    ip6tables(variant, "-P", "FORWARD", "ACCEPT")
    state = await host.observe(MARK)
    assert state.forward_drops == ()
    (orphaned,) = state.orphaned
    for _ in range(2):
        await host.remove_accept_rule(orphaned, MARK)
        assert await host.observe(MARK) == HostFilterState()
    assert saved_chain(variant, "FORWARD") == []


async def test_every_copy_of_the_rule_is_removed_and_no_other_rule(host: LinuxHostFilter, variant: str) -> None:
    ip6tables(variant, "-P", "FORWARD", "DROP")
    drop = await only_drop(host)
    await host.add_accept_rule(drop, MARK)
    ip6tables(variant, "-A", "FORWARD", "-i", "eth0", "-j", "ACCEPT")
    ip6tables(variant, "-A", "FORWARD", "-m", "mark", "--mark", "0x1/0x1", "-j", "ACCEPT")
    ip6tables(variant, "-A", "FORWARD", "-m", "mark", "--mark", f"{MARK:#x}/{MARK:#x}", "-j", "ACCEPT")
    await host.remove_accept_rule(drop, MARK)
    assert saved_chain(variant, "FORWARD") == ["-i eth0 -j ACCEPT", "-m mark --mark 0x1/0x1 -j ACCEPT"]


async def test_drops_in_both_variants_are_repaired(host: LinuxHostFilter) -> None:
    for variant in VARIANTS:
        ip6tables(variant, "-P", "FORWARD", "DROP")
    state = await host.observe(MARK)
    assert [drop.variant for drop in state.forward_drops] == list(VARIANTS.values())
    for drop in state.forward_drops:
        await host.add_accept_rule(drop, MARK)
    assert all(drop.has_accept_rule for drop in (await host.observe(MARK)).forward_drops)


async def test_nftables_own_tables_are_no_place_for_the_accept_rule(host: LinuxHostFilter) -> None:
    nft("table inet filter { chain forward { type filter hook forward priority 0; policy drop; }; }")
    assert await host.observe(MARK) == HostFilterState()
    foreign = ForwardDrop(FilterVariant.NFTABLES, "inet filter", "forward", has_accept_rule=False)
    with pytest.raises(FirewallRejected, match="xtables only"):
        await host.add_accept_rule(foreign, MARK)
    await host.remove_accept_rule(foreign, MARK)


async def test_a_legacy_rule_is_not_lost_between_reading_and_writing(
    host: LinuxHostFilter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ip6tables("legacy", "-P", "FORWARD", "DROP")
    drop = await only_drop(host)
    monkeypatch.setattr(libiptc, "LOCK", tmp_path / "xtables.lock")
    monkeypatch.setattr(libiptc, "POLL", 0.001)
    with (tmp_path / "xtables.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(FirewallBusy, match="has held"):
            await host.add_accept_rule(drop, MARK)
    await host.add_accept_rule(drop, MARK)
    monkeypatch.setattr(libiptc, "LOCK", tmp_path / "nowhere" / "xtables.lock")
    with pytest.raises(FirewallUnavailable, match=r"xtables\.lock"):
        await host.add_accept_rule(drop, MARK)


async def test_a_legacy_rule_is_written_again_after_another_program_changed_the_table_without_the_lock(
    host: LinuxHostFilter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ip6tables("legacy", "-P", "FORWARD", "DROP")
    drop = await only_drop(host)
    disturb_commits(monkeypatch, tmp_path / "other.lock", 1)
    await host.add_accept_rule(drop, MARK)
    assert saved_chain("legacy", "FORWARD") == [RULE]
    disturb_commits(monkeypatch, tmp_path / "other.lock", 1)
    await host.remove_accept_rule(drop, MARK)
    assert saved_chain("legacy", "FORWARD") == []


async def test_the_filter_is_read_while_a_rule_waits_for_the_lock(
    host: LinuxHostFilter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ip6tables("legacy", "-P", "FORWARD", "DROP")
    drop = await only_drop(host)
    monkeypatch.setattr(libiptc, "LOCK", tmp_path / "xtables.lock")
    monkeypatch.setattr(libiptc, "POLLS", 100_000)  # far longer than the test
    with (tmp_path / "xtables.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        adding = asyncio.create_task(host.add_accept_rule(drop, MARK))
        await asyncio.sleep(0)
        assert await only_drop(host) == drop
        assert await host.poll_revision() is not None
        assert not adding.done()
        fcntl.flock(lock, fcntl.LOCK_UN)
        await adding
    assert (await only_drop(host)).has_accept_rule


async def test_in_a_missing_legacy_table_adding_fails_and_removing_succeeds(host: LinuxHostFilter) -> None:
    gone = ForwardDrop(FilterVariant.XTABLES_LEGACY, "filter", "FORWARD", has_accept_rule=False)
    await host.remove_accept_rule(gone, MARK)
    with pytest.raises(FirewallRejected, match="gone"):
        await host.add_accept_rule(gone, MARK)
    assert "filter" not in used_tables()


async def test_without_ip6tables_the_remedy_is_a_package(
    host: LinuxHostFilter, monkeypatch: pytest.MonkeyPatch
) -> None:
    ip6tables("nft", "-P", "FORWARD", "DROP")
    drop = await only_drop(host)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FirewallUnavailable, match="apt install iptables"):
        await host.add_accept_rule(drop, MARK)


def test_observing_a_host_without_legacy_tables_loads_no_library_and_spawns_nothing() -> None:
    script = """
import asyncio, subprocess, sys
from dockerv6.firewall.hostfilter import linux
from dockerv6.firewall.hostfilter.linux import LinuxHostFilter, _restore_nft
from dockerv6.firewall.nftables.session import NftSession

async def main():
    subprocess.Popen = None
    session = NftSession()
    await LinuxHostFilter(session).observe(1)
    await session.close()
    print("iptc" in sys.modules)

asyncio.run(main())
"""
    ip6tables("nft", "-P", "FORWARD", "DROP")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


async def test_changes_of_the_legacy_table_show_in_the_polled_revision(
    host: LinuxHostFilter,
) -> None:
    assert await host.poll_revision() is None
    ip6tables("nft", "-P", "FORWARD", "DROP")
    assert await host.poll_revision() is None  # announced
    seen = []
    for arguments in (
        ("-P", "FORWARD", "DROP"),
        ("-N", "DOCKER-USER"),
        ("-I", "FORWARD", "-j", "DOCKER-USER"),
        ("-F",),
    ):
        ip6tables("legacy", *arguments)
        seen += [await host.poll_revision(), await host.poll_revision()]
    assert seen == [1, 1, 2, 2, 3, 3, 4, 4]


class Missing(NftSession):
    """A kernel without nf_tables."""

    async def generation(self) -> int:
        raise FirewallUnavailable("the kernel has no nf_tables here")


async def test_without_nf_tables_the_legacy_filter_is_observed() -> None:
    session = Missing()
    host = LinuxHostFilter(session)
    assert await host.observe(MARK) == HostFilterState()
    ip6tables("legacy", "-P", "FORWARD", "DROP")
    drop = await only_drop(host)
    await host.add_accept_rule(drop, MARK)
    assert (await only_drop(host)).has_accept_rule
    await session.close()
