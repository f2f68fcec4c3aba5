"""moby/moby#44687: when the provider changes the prefix, a container must keep its number in it."""

from __future__ import annotations

from ipaddress import IPv6Network
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.provider import UPLINK

if TYPE_CHECKING:
    from tests.e2e.provider import Premises

_FIRST, _SECOND = "2001:db8:1234:5600::/56", "2001:db8:8765:4300::/56"
# "virtual prefix delegation": Docker's part of each prefix, and the container's number in it
_PART = {"name": UPLINK, "prefixLength": 64, "offset": 0xAB}
_NUMBER = 0x123


def _expected(prefix: str) -> str:
    return str(IPv6Network((int(IPv6Network(prefix).network_address) + (0xAB << 64), 64))[_NUMBER])


@pytest.mark.core_cells("28.5")
def test_the_chosen_address_follows_the_prefix(premises: Premises) -> None:
    premises.add_default_route()
    premises.delegate_prefix(_FIRST)
    premises.start()
    premises.apply_pool("isp", {"fromInterface": _PART})
    ingress = {"ingress": [{"ports": [{"port": 80}]}]}
    premises.network(
        "home",
        {
            "addressing": {"poolRef": {"name": "isp"}},
            "egress": {"mode": "Routed"},
            "updateStrategy": "Recreate",
            "firewall": ingress,
        },
    )
    premises.run("nas-44687", "home", address=_expected(_FIRST))
    premises.assert_reachable(premises.internet, _expected(_FIRST), "nas-44687")

    premises.remove_prefix(_FIRST)
    premises.delegate_prefix(_SECOND)

    premises.wait_logged(f"{_SECOND} instead of {_FIRST}")
    eventually(lambda: premises.address("nas-44687", "home") == _expected(_SECOND), "its address in the new prefix")
    premises.assert_reachable(premises.internet, _expected(_SECOND), "nas-44687")
    premises.wait_source_address("nas-44687", _expected(_SECOND))
