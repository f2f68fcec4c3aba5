"""What is reported where engine 29 filters with nftables (`--firewall-backend=nftables`).

The listings follow the source code of that engine, which fills table `ip6 docker-bridges`. They were not recorded
from a live engine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.hostfilter.linux import read_native_drops
from dockerv6.firewall.model import DEFAULT_MARK
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.xtables.nft import chains_in
from tests.golden.files import GOLDEN, check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockerv6.firewall.nftables.library import JsonObject

LISTINGS = Path(__file__).parents[1] / "unit" / "firewall" / "hostfilter" / "listings"


class RecordedSession(NftSession):
    """A session that returns a recorded listing."""

    def __init__(self, items: list[JsonObject]) -> None:
        super().__init__()
        self._items = items

    async def run(self, commands: Sequence[JsonObject], *, check: bool = False) -> list[JsonObject]:
        assert not check
        assert list(commands) == [{"list": {"table": {"family": "ip6", "name": "docker-bridges"}}}]
        return self._items


@pytest.mark.parametrize("name", ["engine-29", "engine-29-accepting"])
async def test_the_forward_drop_and_its_remedy(name: str) -> None:
    items = json.loads((LISTINGS / f"{name}.json").read_text())["nftables"]
    session = RecordedSession(items)
    found = await read_native_drops(session, DEFAULT_MARK, chains_in(items))
    await session.close()
    text = "".join(
        f"{each.table} {each.chain}: {'admitted' if each.has_accept_rule else 'drops our flows'}\n  {each.remedy}\n"
        for each in found
    )
    check(GOLDEN / "hostfilter" / f"{name}.txt", text)
