"""Recorded rules of docker-ipv6nat are found and removed on a real kernel, in both variants of xtables."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.ipv6nat.presence import IPv6NatPresence, detect, remove, running_processes
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.nftables.foreign import list_chains
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallForbidden, FirewallRejected
from dockerv6.firewall.xtables.legacy import used_tables
from tests.host.network import private_network
from tests.host.xtables import OFF, RECORDED, VARIANTS, disturb_commits, ip6tables, recorded, restore, saved

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("private_netns")

BESIDE = sorted(path.name.removesuffix("-beside.save") for path in RECORDED.glob("*-beside.save"))
ENGINE = sorted(path.name.removesuffix("-engine.save") for path in RECORDED.glob("*-engine.save"))


async def found(session: NftSession) -> IPv6NatPresence:
    presence = await detect(session)
    assert presence is not None
    return presence


@pytest.mark.parametrize("host", BESIDE)
async def test_recorded_rules_of_docker_ipv6nat_are_found_and_removed(
    session: NftSession, variant: str, host: str
) -> None:
    restore(variant, recorded(f"{host}-beside"))
    presence = await found(session)
    assert [each.variant for each in presence.rules] == [VARIANTS[variant]]
    assert presence.rules[0].networks == ("br-a", "br-i", "br-n")
    assert presence.engine_rules is ("-on-" in host or host.startswith("28.5"))
    assert presence.processes == ()
    await remove(session, presence)
    left = RECORDED / f"{host}-left.save"
    if os.environ.get("DOCKERV6_UPDATE_GOLDEN"):
        left.write_text(saved(variant))
    assert saved(variant) == left.read_text()
    assert await detect(session) is None


@pytest.mark.parametrize("host", ENGINE)
async def test_rules_of_an_engine_are_not_taken_for_docker_ipv6nats(
    session: NftSession, variant: str, host: str
) -> None:
    restore(variant, recorded(f"{host}-engine"))
    assert await detect(session) is None


async def test_both_variants_are_read_and_cleaned(session: NftSession) -> None:
    for each in VARIANTS:
        restore(each, recorded(f"{OFF}-beside"))
    presence = await found(session)
    assert [each.variant for each in presence.rules] == list(VARIANTS.values())
    await remove(session, presence)
    assert await detect(session) is None


async def test_on_a_host_without_docker_ipv6nat_no_table_is_made(session: NftSession) -> None:
    assert await detect(session) is None
    assert used_tables() == frozenset()
    assert await list_chains(session) == ()


async def test_rules_of_an_engine_in_the_other_variant_stay(session: NftSession) -> None:
    restore("legacy", recorded("20.10-on-proxy-engine"))
    before = saved("legacy")
    restore("nft", recorded(f"{OFF}-beside"))
    await remove(session, await found(session))
    assert saved("legacy") == before


async def test_rules_of_an_administrator_stay_and_are_still_reached(session: NftSession, variant: str) -> None:
    restore(variant, recorded(f"{OFF}-beside"))
    peoples = [
        ("filter", "DOCKER-USER", "-s 2001:db8::/32 -j DROP"),
        ("filter", "DOCKER", "-s 2001:db8:1::/48 -j ACCEPT"),
        ("filter", "FORWARD", '-i br-a -m comment --comment "ours" -j ACCEPT'),
        ("filter", "FORWARD", "-o br-other -j ACCEPT"),
        ("nat", "POSTROUTING", "-s 2001:db8:2::/64 ! -o br-a -j MASQUERADE"),
        ("nat", "POSTROUTING", "-s fd00:9::/64 ! -o br-other -j MASQUERADE"),
        ("nat", "PREROUTING", "-p tcp -m tcp --dport 443 -j DNAT --to-destination [fd00:1::2]:443"),
    ]
    for table, chain, rule in peoples:
        restore(variant, f"*{table}\n-I {chain} {rule}\nCOMMIT\n", "--noflush")
    presence = await found(session)
    await remove(session, presence)
    rules = {line for line in saved(variant).splitlines() if line.startswith("-A")}
    theirs = {f"-A {chain} {rule}".replace('"ours"', "ours") for _, chain, rule in peoples}
    assert rules == theirs | {"-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -j RETURN"}
    assert ("filter", "DOCKER") not in presence.rules[0].chains
    assert await detect(session) is None


async def test_rules_for_sctp_ports_are_removed(session: NftSession, variant: str) -> None:
    restore(variant, recorded(f"{OFF}-beside"))
    port = "-p sctp -m sctp --dport 80"
    for table, rule in (
        ("filter", f"DOCKER -d fd00:1::2 ! -i br-a -o br-a {port} -j ACCEPT"),
        ("nat", f"DOCKER {port} -j DNAT --to-destination [fd00:1::2]:80 ! -i br-a"),
        ("nat", f"POSTROUTING -s fd00:1::2 -d fd00:1::2 {port} -j MASQUERADE"),
    ):
        restore(variant, f"*{table}\n-I {rule}\nCOMMIT\n", "--noflush")
    await remove(session, await found(session))
    assert "-A" not in saved(variant)


async def test_rules_that_changed_since_they_were_found_are_not_removed(session: NftSession, variant: str) -> None:
    restore(variant, recorded(f"{OFF}-beside"))
    presence = await found(session)
    ip6tables(variant, "-D", "FORWARD", "-j", "DOCKER-USER")
    before = saved(variant)
    with pytest.raises(FirewallRejected):
        await remove(session, presence)
    if variant == "nft":  # one transaction; libiptc has one for each table
        assert saved(variant) == before
    await remove(session, await found(session))
    assert await detect(session) is None


async def test_rules_are_removed_although_another_program_changes_the_table_without_the_lock(
    session: NftSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore("legacy", recorded(f"{OFF}-beside"))
    disturb_commits(monkeypatch, tmp_path / "other.lock", 2)
    await remove(session, await found(session))
    assert await detect(session) is None


async def test_chains_without_networks_are_left(session: NftSession, variant: str) -> None:
    kept = [line for line in recorded(f"{OFF}-beside").splitlines() if "br-" not in line and "fd00" not in line]
    restore(variant, "".join(f"{line}\n" for line in kept))
    assert await detect(session) is None


async def test_its_process_is_found(session: NftSession, docker_ipv6nat: int) -> None:
    restore("nft", recorded(f"{OFF}-beside"))
    presence = await found(session)
    assert presence.processes == (docker_ipv6nat,)
    assert "is running" in presence.message


async def test_its_process_is_found_without_rules(session: NftSession, docker_ipv6nat: int) -> None:
    presence = await found(session)
    assert presence == IPv6NatPresence((), (docker_ipv6nat,))


@pytest.mark.usefixtures("docker_ipv6nat")
def test_a_process_in_another_network_namespace_does_not_count() -> None:
    with private_network():
        assert running_processes() == ()


def test_a_privileged_process_is_found_without_the_privilege_to_trace_it(docker_ipv6nat: int) -> None:
    """As with the systemd unit: docker-ipv6nat's container is privileged, and we are not."""
    program = "from dockerv6.firewall.ipv6nat.presence import running_processes as r; print(*r())"
    caps = "-all,+net_admin,+net_raw,+setpcap"
    done = subprocess.run(
        ["setpriv", f"--bounding-set={caps}", "--inh-caps=-all", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(docker_ipv6nat)]


class _NoNftables(NftSession):
    """A session that fails: no nf_tables, or no privilege."""

    problem = errno.EPROTONOSUPPORT

    def dump_families_now(self, message: int, *names: str, family: int) -> list[tuple[int, bytes]]:
        del message, names, family
        raise OSError(self.problem, os.strerror(self.problem))


@pytest.fixture
async def no_nftables() -> AsyncIterator[_NoNftables]:
    session = _NoNftables()
    yield session
    await session.close()


async def test_without_nf_tables_the_legacy_tables_are_read(no_nftables: _NoNftables) -> None:
    restore("legacy", recorded(f"{OFF}-beside"))
    presence = await found(no_nftables)
    assert [each.variant for each in presence.rules] == [FilterVariant.XTABLES_LEGACY]


async def test_without_the_privilege_the_error_says_so(no_nftables: _NoNftables) -> None:
    no_nftables.problem = errno.EPERM
    with pytest.raises(FirewallForbidden):
        await detect(no_nftables)
