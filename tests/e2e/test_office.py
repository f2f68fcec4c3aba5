"""An office with a routed /56: public addresses on every container and allow-lists, the same on all engines.

Nothing is translated. Accepted are connections that `firewall.ingress` lists by client, protocol, port and container,
published ports, replies, and essential ICMPv6 (RFC 4890).
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any

from tests.e2e.cluster import eventually
from tests.lab.probe import Port, ask, assert_closed, reach
from tests.lab.provider import SERVER

if TYPE_CHECKING:
    from tests.e2e.provider import Premises

_LINK, _OFFICE = "2001:db8:1::/64", "2001:db8:1c00::/56"
_BRANCH, _PARTNER = "2001:db8:b::1", "2001:db8:c::1"
_SPEC: dict[str, Any] = {
    "addressing": {"poolRef": {"name": "office"}},
    "egress": {"mode": "Routed"},
    "firewall": {
        "ingress": [
            {"from": ["2001:db8:b::/64"], "ports": [{"port": 80}, {"port": 81}]},
            {"from": [_PARTNER], "ports": [{"port": 82}], "containers": {"name": "files"}},
            {"ports": [{"protocol": "udp", "port": 80}], "containers": {"matchLabels": {"role": "dns"}}},
        ]
    },
}


def test_allow_lists_decide_which_clients_reach_which_port(premises: Premises) -> None:
    premises.configure_static_uplink(_LINK)
    premises.provider.delegate(_OFFICE)
    for client in (_BRANCH, _PARTNER):
        premises.provider.add_client(client)
    premises.start()
    premises.apply_pool("office", {"prefix": _OFFICE})
    premises.apply("office", _SPEC)
    premises.apply("lab")
    premises.ready("office", "lab")
    premises.run("files", "office")
    premises.run("names", "office", labels={"role": "dns"})
    premises.run("shop", "office", ports={"83/tcp": 8083})
    premises.run("guest", "lab")
    files, names, shop = (premises.address(name, "office") for name in ("files", "names", "shop"))
    assert IPv6Address(files) in IPv6Network(_OFFICE)

    outside = premises.internet
    for name, address in (("files", files), ("names", names), ("shop", shop)):
        for port in (80, 81):
            answer = reach(outside, Port("tcp", address, port), name=name, source=_BRANCH)
            assert str(answer.client) == _BRANCH
        assert premises.provider.ping_from_internet(address)
    reach(outside, Port("tcp", files, 82), name="files", source=_PARTNER)
    reach(outside, Port("udp", names, 80), name="names", source=SERVER)

    assert_closed(
        outside, *(Port("tcp", address, port) for address in (files, names, shop) for port in (80, 81)), source=SERVER
    )
    assert_closed(outside, *(Port("tcp", address, 82) for address in (files, names, shop)), source=_BRANCH)
    assert_closed(outside, *(Port("tcp", address, 82) for address in (names, shop)), source=_PARTNER)
    assert_closed(outside, *(Port("udp", address, 80) for address in (files, shop)), source=_BRANCH)
    assert_closed(outside, *(Port("tcp", address, 84) for address in (files, names, shop)), source=_BRANCH)

    # a published port is open at the host's addresses and at the container's own
    premises.assert_reachable(outside, "2001:db8:1::2", "shop", port=8083)
    premises.assert_reachable(outside, shop, "shop", port=83)
    premises.assert_refused(outside, files, 83)

    premises.wait_source_address("files", files)
    # containers of other networks have no access
    guest = premises.inside("guest")
    assert_closed(guest, Port("tcp", files, 80), Port("tcp", names, 84))
    reach(premises.inside("names"), Port("tcp", files, 84))

    with premises.open_connection("files") as stream:
        premises.apply("office", {**_SPEC, "firewall": {"ingress": []}})
        eventually(
            lambda: ask(outside, Port("tcp", files, 80), source=_BRANCH, patience=0.3) is None, "no client is accepted"
        )
        tally = stream.stop()
    assert (tally.lost, tally.error) == (0, "")
    assert premises.provider.ping_from_internet(files)
    premises.assert_reachable(outside, shop, "shop", port=83)
