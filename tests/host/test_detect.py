"""The choice of the backend on this kernel, and a change of backend."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall import detect
from dockerv6.firewall.diff import diff
from dockerv6.firewall.model import FirewallIntent
from dockerv6.firewall.port import FirewallUnavailable
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY
from dockerv6.firewall.xtables import legacy as kernel
from tests.unit.firewall.intents import BLOG, WEB

if TYPE_CHECKING:
    from dockerv6.firewall.nftables.session import NftSession

pytestmark = pytest.mark.usefixtures("private_netns")

INTENT = FirewallIntent((BLOG,), ports=(WEB,), guest_bridges=("br-blog",))


async def test_this_kernel_gets_nftables_and_no_legacy_table(session: NftSession) -> None:
    choice = await detect.choose("auto", session)
    assert choice.backend == "nftables"
    for other in detect.others(choice, session):
        await other.sweep()
    assert kernel.used_tables() == frozenset()
    assert await session.inet_table("dockerv6") is None


async def test_an_existing_table_of_ours_does_not_change_the_choice(session: NftSession) -> None:
    choice = await detect.choose("auto", session)
    firewall = detect.build(choice, session)
    desired = render(replace(INTENT, guest_bridges=None))
    await firewall.apply(diff(desired, EMPTY))
    assert await detect.choose("auto", session) == choice
    assert await firewall.observe() == desired


@pytest.mark.parametrize(("before", "after"), [("nftables", "iptables"), ("iptables", "nftables")])
async def test_a_change_of_backend_removes_the_rules_of_the_other(session: NftSession, before: str, after: str) -> None:
    old = detect.build(await detect.choose(before, session), session)
    await old.apply(diff(render(INTENT), EMPTY))
    choice = await detect.choose(after, session)
    new = detect.build(choice, session)
    await new.apply(diff(render(INTENT), EMPTY))
    for other in detect.others(choice, session):
        await other.sweep()
    assert await old.observe() == EMPTY
    assert await new.observe() == render(INTENT)


async def test_without_python_iptables_only_nftables_can_be_chosen(
    session: NftSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "iptc", None)
    choice = await detect.choose("auto", session)
    assert choice.backend == "nftables"
    for other in detect.others(choice, session):
        await other.sweep()
    with pytest.raises(FirewallUnavailable, match=r"python-iptables is not installed.*pip install"):
        await detect.choose("iptables", session)


LOOK = """
import asyncio, sys
from dockerv6.firewall import detect
from dockerv6.firewall.nftables.session import NftSession

async def main():
    session = NftSession()
    choice = await detect.choose("auto", session)
    for other in detect.others(choice, session):
        await other.sweep()
    await session.close()
    print(choice.backend, "iptc" in sys.modules)

asyncio.run(main())
"""


def test_choosing_and_sweeping_on_a_host_without_our_chains_loads_no_libiptc() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert done.stdout == "nftables False\n"
