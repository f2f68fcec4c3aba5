"""What engines wrote, seen in the rules of real hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.iptables.kernel import in_use
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.survey import NAMES_V4, Survey, survey
from tests.host.network import nft, private_network
from tests.host.test_ipv6nat import VARIANTS, ip6tables, recorded, restore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.host

OUTPUT = "-m addrtype --dst-type LOCAL -j DOCKER"


@pytest.fixture(autouse=True)
def _network() -> Iterator[None]:
    with private_network():
        yield


@pytest.fixture
async def session() -> AsyncIterator[NftSession]:
    session = NftSession()
    yield session
    await session.close()


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_an_untouched_host_stays_so(session: NftSession) -> None:
    assert await survey(session) == Survey()
    assert in_use() == frozenset()
    assert NAMES_V4.read_text() == ""


async def test_an_engines_chains_are_found_in_their_variant(session: NftSession, variant: str) -> None:
    restore(variant, recorded("26.1-on-proxy-engine"))
    ip6tables(variant, "-N", "DOCKERV6-OURS")
    assert (await survey(session)).chains == {
        VARIANTS[variant]: (
            *(("nat DOCKER",) if variant == "nft" else ()),
            "filter DOCKER",
            "filter DOCKER-ISOLATION-STAGE-1",
            "filter DOCKER-ISOLATION-STAGE-2",
            "filter DOCKER-USER",
            *(("nat DOCKER",) if variant == "legacy" else ()),
        )
    }


async def test_an_engines_own_nftables_table_is_found(session: NftSession) -> None:
    nft("add table ip6 docker-bridges; add chain ip6 docker-bridges filter-FORWARD;")
    assert (await survey(session)).chains == {FilterVariant.NFTABLES: ("docker-bridges filter-FORWARD",)}


@pytest.mark.parametrize(
    ("rule", "proxy"), [(f"! -d 127.0.0.0/8 {OUTPUT}", True), (OUTPUT, False), ("-j ACCEPT", None)], ids=str
)
async def test_the_proxy_shows_in_the_ipv4_rules(
    session: NftSession,
    variant: str,
    rule: str,
    proxy: bool | None,  # noqa: FBT001
) -> None:
    restore(variant, f"*nat\n:DOCKER - [0:0]\n-A OUTPUT {rule}\nCOMMIT\n", family="ip")
    assert (await survey(session)).userland_proxy is proxy
