"""The userland proxy is detected by rules as engines write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.userland_proxy import in_use
from dockerv6.firewall.xtables.legacy import IPV4, used_tables
from tests.host.xtables import VARIANTS, restore

if TYPE_CHECKING:
    from dockerv6.firewall.nftables.session import NftSession

pytestmark = pytest.mark.usefixtures("private_netns")

OUTPUT = "-m addrtype --dst-type LOCAL -j DOCKER"


async def test_an_unused_host_gets_no_table(session: NftSession) -> None:
    assert await in_use(session) is None
    assert used_tables(IPV4) == frozenset()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("rule", "proxy"), [(f"! -d 127.0.0.0/8 {OUTPUT}", True), (OUTPUT, False), ("-j ACCEPT", None)], ids=str
)
async def test_the_proxy_is_known_by_the_engines_rules(
    session: NftSession,
    variant: str,
    rule: str,
    proxy: bool | None,  # noqa: FBT001
) -> None:
    restore(variant, f"*nat\n:DOCKER - [0:0]\n-A OUTPUT {rule}\nCOMMIT\n", family="ip")
    assert await in_use(session) is proxy
