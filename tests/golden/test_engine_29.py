"""What is reported where engine 29 filters with nftables (`--firewall-backend=nftables`).

The listings have the shape of that engine's table `ip6 docker-bridges`, by its source. No live engine of that kind
has been seen: what it does with a mark is taken from there.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.hostfilter.linux import read_native_drops
from dockerv6.firewall.model import DEFAULT_MARK
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.xtables.nft import chains_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockerv6.firewall.nftables.library import JsonObject

FOLDER = Path(__file__).parent / "hostfilter"
NETWORKS = Path(__file__).parents[1] / "unit" / "firewall" / "hostfilter" / "listings"


class Listed(NftSession):
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
    items = json.loads((NETWORKS / f"{name}.json").read_text())["nftables"]
    session = Listed(items)
    found = await read_native_drops(session, DEFAULT_MARK, chains_in(items))
    await session.close()
    text = "".join(
        f"{each.table} {each.chain}: {'admitted' if each.has_accept_rule else 'drops our flows'}\n  {each.remedy}\n"
        for each in found
    )
    path = FOLDER / f"{name}.txt"
    if os.environ.get("DOCKERV6_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs: if that is meant, run with DOCKERV6_UPDATE_GOLDEN=1"
