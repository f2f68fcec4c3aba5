"""Tables of other programs, and ours, written by several versions of nft: none harms the daemon, each drop is seen."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockerv6.daemon import doctor
from dockerv6.daemon.findings import CheckStatus
from dockerv6.daemon.settings import Settings
from dockerv6.firewall import detect
from dockerv6.firewall.diff import diff
from dockerv6.firewall.model import DEFAULT_MARK as MARK
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.nftables.backend import NftablesFirewall
from dockerv6.firewall.nftables.foreign import list_chains, list_rules
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY
from tests.host.flow_site import FlowSite
from tests.lab.packages import NFT_SUITES, nft
from tests.unit.firewall.intents import BLOG, EVERYTHING, intent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dockerv6.firewall.nftables.session import NftSession

RULESETS = Path(__file__).with_name("rulesets")
DESIRED = render(EVERYTHING)
VERSIONS = tuple(NFT_SUITES)

DROPS = {
    "engine-29": (FilterVariant.NFTABLES, "ip6 docker-bridges", "filter-forward-in__br-blog"),
    "firewalld": (FilterVariant.NFTABLES, "inet firewalld", "filter_FORWARD"),
    "router": (FilterVariant.NFTABLES, "inet router", "forward"),
    "ufw": (FilterVariant.XTABLES_NFT, "filter", "FORWARD"),
    "workstation": (FilterVariant.NFTABLES, "inet filter", "forward"),
}
"""Where each ruleset drops forwarded IPv6."""

pytestmark = [pytest.mark.usefixtures("private_netns"), pytest.mark.timeout(300)]  # the first run downloads packages


@pytest.fixture(scope="module", autouse=True)
def _packages() -> None:
    """Download what the module needs before a test enters its namespace, which has no network."""
    for version in VERSIONS:
        nft(version)


@pytest.fixture(params=VERSIONS)
def writer(request: pytest.FixtureRequest) -> str:
    """The version of nft that writes the ruleset."""
    return str(request.param)


@pytest.fixture
def firewall(session: NftSession) -> NftablesFirewall:
    """Our backend in the private namespace."""
    return NftablesFirewall(session)


def run(version: str, *arguments: str, script: str | None = None) -> str:
    """Run an nft of this version in the test's namespace; return its output."""
    done = subprocess.run([*nft(version), *arguments], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"nft {version}: {done.returncode} {done.stderr}"
    return done.stdout


def load(version: str, ruleset: str) -> None:
    run(version, "-f", str(RULESETS / f"{ruleset}.nft"))


@asynccontextmanager
async def flow_site(session: NftSession) -> AsyncIterator[FlowSite]:
    site = FlowSite(session, "nftables")
    await site.set_up()
    yield site
    await site.close()


def test_each_ruleset_is_tested() -> None:
    assert sorted(path.stem for path in RULESETS.glob("*.nft")) == sorted(DROPS)


@pytest.mark.parametrize("ruleset", DROPS)
async def test_our_table_is_written_and_the_drop_is_seen_beside_any_writer(
    session: NftSession, firewall: NftablesFirewall, writer: str, ruleset: str
) -> None:
    load(writer, ruleset)
    assert (await detect.choose("auto", session)).backend == "nftables"
    for desired in (DESIRED, render(intent(BLOG)), DESIRED):
        assert await firewall.apply(diff(desired, await firewall.observe())) == desired
    variant, table, chain = DROPS[ruleset]
    async with flow_site(session) as site:
        if variant is FilterVariant.NFTABLES:
            family, _, name = table.partition(" ")
            problems = await site.problems()
            assert any(f"{family} table {name}, chain {chain}" in each.message for each in problems), problems
        else:
            (drop,) = (await site.filter.observe(MARK)).forward_drops
            assert (drop.variant, drop.table, drop.chain, drop.has_accept_rule) == (variant, table, chain, False)
    await firewall.sweep()
    assert await firewall.observe() == EMPTY
    run(writer, "list", "ruleset")


@pytest.mark.parametrize("ruleset", DROPS)
async def test_doctor_finds_the_drop_beside_any_writer(
    session: NftSession, writer: str, ruleset: str, tmp_path: Path
) -> None:
    load(writer, ruleset)
    settings = Settings(
        config_dirs=(str(tmp_path),), state_dir=str(tmp_path / "state"), docker_host=f"unix://{tmp_path}/docker.sock"
    )
    async with flow_site(session):
        checks = await asyncio.to_thread(doctor.examine, settings)
    assert {each.name for each in checks if each.status is CheckStatus.FAIL} <= {"engine", "host filter"}
    found = [each.message for each in checks if each.name == "host filter" and each.status is not CheckStatus.OK]
    assert any(all(word in each for word in (*DROPS[ruleset][1].split(), DROPS[ruleset][2])) for each in found), found


@pytest.mark.parametrize("ruleset", ["engine-29", "ufw", "workstation"])
async def test_the_accept_rule_of_any_program_is_recognised(session: NftSession, writer: str, ruleset: str) -> None:
    load(writer, ruleset)
    variant, table, chain = DROPS[ruleset]
    where = table if variant is FilterVariant.NFTABLES else f"ip6 {table}"
    accept = f"rule {where} {chain} meta mark and {MARK:#x} == {MARK:#x} counter accept"
    async with flow_site(session) as site:
        assert [each for each in await site.problems() if f"chain {chain}" in each.message]
        run(writer, f"{'add' if ruleset == 'ufw' else 'insert'} {accept}")
        assert not [each for each in await site.problems() if f"chain {chain}" in each.message]
        drops = (await site.filter.observe(MARK)).forward_drops
        assert [each.has_accept_rule for each in drops] == ([True] if ruleset == "ufw" else [])


async def test_every_chain_and_rule_is_listed_whatever_it_contains(session: NftSession, writer: str) -> None:
    load(writer, "router")
    chains = {(each.family, each.table, each.name): each for each in await list_chains(session)}
    forward = chains["inet", "router", "forward"]
    assert (forward.hook, forward.type, forward.policy, forward.priority) == ("forward", "filter", "accept", -5)
    assert (chains["netdev", "early", "ingress"].hook, chains["netdev", "early", "ingress"].priority) == (
        "ingress",
        -500,
    )
    assert ("bridge", "layer2", "forward") in chains
    assert chains["arp", "mapping", "input"].hook == "input"
    rules = await list_rules(session, "inet", "router", "forward")
    written = (RULESETS / "router.nft").read_text().partition("hook forward")[2].partition("\n\t}\n")[0]
    assert (
        len(rules)
        == len([line for line in written.splitlines()[1:] if line.startswith("\t\t") and line[2] != "\t"]) - 1
    )
    assert all(expression.name for rule in rules for expression in rule.expressions)


@pytest.mark.parametrize("reader", VERSIONS)
async def test_any_nft_shows_our_table(firewall: NftablesFirewall, reader: str) -> None:
    await firewall.apply(diff(DESIRED, EMPTY))
    shown = run(reader, "list", "table", "inet", "dockerv6")
    assert 'fd12:3456:789a:1::/64 . "br-blog" comment "blog"' in shown
    assert 'masquerade comment "dockerv6: Masquerade (NAT66) #' in shown
    run(reader, "-j", "list", "ruleset")
    run(reader, "add element inet dockerv6 open { br-more }")  # for which it reads the table
    change = diff(DESIRED, await firewall.observe())
    assert not change.empty
    assert await firewall.apply(change) == DESIRED


async def test_our_table_is_the_same_after_any_nft_has_restored_it(firewall: NftablesFirewall, writer: str) -> None:
    """Then a newer nft has written its sets, which nft 1.0.6 can't read."""
    await firewall.apply(diff(DESIRED, EMPTY))
    saved = run(writer, "list", "table", "inet", "dockerv6")
    run(writer, "-f", "-", script=f"flush ruleset\n{saved}")
    assert await firewall.observe() == DESIRED
    fewer = render(intent(BLOG))
    assert await firewall.apply(diff(fewer, await firewall.observe())) == fewer
