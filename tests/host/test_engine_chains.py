"""The engine's chains are found in both variants and both families, and reading makes no table."""

from __future__ import annotations

import subprocess

import pytest

from dockerv6.firewall import engine_chains
from dockerv6.firewall.nftables.session import NftSession
from tests.host.network import nft
from tests.host.xtables import restore

pytestmark = pytest.mark.usefixtures("private_netns")

CHAINS = "*nat\n:DOCKER - [0:0]\nCOMMIT\n*filter\n:DOCKER - [0:0]\n:DOCKER-USER - [0:0]\nCOMMIT\n"


async def read() -> frozenset[str]:
    session = NftSession()
    try:
        return await engine_chains.read(session)
    finally:
        await session.close()


def remove_nat_chains(program: str) -> None:
    for command in ("-F", "-X"):
        subprocess.run([program, "-w", "-t", "nat", command], check=True)


async def test_a_host_without_an_engine_has_none() -> None:
    assert await read() == frozenset()


@pytest.mark.parametrize("family", ["ip", "ip6"])
async def test_chains_come_and_go_in_each_variant(variant: str, family: str) -> None:
    restore(variant, CHAINS, family=family)
    assert await read() == {f"{family} nat", f"{family} filter"}
    remove_nat_chains(f"{family}tables-{variant}")
    assert await read() == {f"{family} filter"}


async def test_chains_of_others_do_not_count(variant: str) -> None:
    restore(variant, "*nat\n:DOCKER-USER - [0:0]\nCOMMIT\n", family="ip")
    assert await read() == frozenset()


async def test_the_engines_own_nftables_tables_are_found() -> None:
    nft("add table ip docker-bridges; add chain ip docker-bridges filter-forward")
    assert await read() == {"ip docker-bridges"}
