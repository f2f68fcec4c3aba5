"""A home whose provider delegates or advertises a prefix, and changes it while connections are open.

Translated networks follow the prefix without touching a container. Networks with addresses of the prefix are
renumbered: same number, same suffixes, one network at a time, when its `updateStrategy` allows it.
"""

from __future__ import annotations

from ipaddress import IPv6Network
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.cluster import eventually, network_id, subnet_of
from tests.e2e.engine_events import absences, now, overlapping
from tests.e2e.provider import UPLINK, suffix, unbroken
from tests.lab.radvd import Advertised

if TYPE_CHECKING:
    from tests.e2e.provider import Premises

pytestmark = pytest.mark.cells("28.5")

_FIRST, _SECOND = "2001:db8:a00::/56", "2001:db8:b00::/56"
_INNER = "fd12:3456:789a:7::/64"
_FOLLOWING: dict[str, Any] = {"mode": "PrefixTranslation", "prefixFrom": {"interface": UPLINK}}
_OPEN = {"ingress": [{"ports": [{"port": 80}]}]}


def _external(address: str, prefix: str) -> str:
    """The external address of an address of the translated network: the bits after the prefix are the same."""
    network = IPv6Network(prefix)
    return str(network[suffix(address, network.prefixlen)])


def test_translated_networks_follow_a_delegated_prefix_without_touching_a_container(premises: Premises) -> None:
    engine = premises.engine
    premises.add_default_route()
    premises.delegate_prefix(_FIRST)
    premises.start()
    premises.network("home", {"addressing": {"subnet": _INNER}, "egress": _FOLLOWING, "firewall": _OPEN})
    container = premises.run("nas", "home")
    own, network = premises.address("nas", "home"), network_id(engine, "home")
    premises.wait_source_address("nas", _external(own, _FIRST))
    premises.assert_reachable(premises.internet, _external(own, _FIRST), "nas")
    before = premises.transitions("home")
    assert before["Ready"][0] == "True"
    started = engine.client().inspect_container(container)["State"]["StartedAt"]

    with premises.open_connection("nas") as stream:
        premises.deprecate_prefix(_FIRST, 100)
        premises.delegate_prefix(_SECOND)
        premises.wait_logged(f"{_SECOND} instead of {_FIRST}")
        premises.wait_source_address("nas", _external(own, _SECOND))
        premises.assert_reachable(premises.internet, _external(own, _SECOND), "nas")
        # the old prefix works until its lifetime ends
        premises.assert_reachable(premises.internet, _external(own, _FIRST), "nas")
        tally = stream.stop()
    assert unbroken(tally), tally
    assert network_id(engine, "home") == network
    assert premises.address("nas", "home") == own
    assert engine.client().inspect_container(container)["State"]["StartedAt"] == started
    assert premises.transitions("home") == before
    assert f"{_SECOND} instead of {_FIRST}" in premises.events("home")


def test_translated_networks_follow_what_radvd_advertises(premises: Premises) -> None:
    first, second = "2001:db8:a:1::/64", "2001:db8:b:1::/64"
    brief = 6
    premises.provider.advertise(Advertised(first, preferred=brief - 1, valid=brief))
    eventually(lambda: "2001:db8:a:1:" in premises.ip("address", "show", "dev", UPLINK), "an address")
    # a temporary address gives no prefix
    premises.engine.netexec("sysctl", "-q", "-w", f"net.ipv6.conf.{UPLINK}.use_tempaddr=2")
    premises.start()
    premises.network("home", {"egress": _FOLLOWING, "ndpProxy": {"enabled": True}, "firewall": _OPEN})
    premises.run("nas", "home")
    own, network = premises.address("nas", "home"), network_id(premises.engine, "home")
    old, new = _external(own, first), _external(own, second)
    premises.wait_source_address("nas", old)
    assert premises.proxy_entries() == {old}
    before = premises.transitions("home")

    with premises.open_connection("nas") as stream:
        premises.provider.advertise(second, Advertised(first, preferred=0, valid=brief))
        premises.wait_logged(f"{second} instead of {first}")
        premises.wait_source_address("nas", new)
        eventually(
            lambda: premises.proxy_entries() == {old, new}, "there are proxy entries for both while both are valid"
        )
        premises.assert_reachable(premises.router, new, "nas")
        tally = stream.stop()
    assert unbroken(tally), tally
    assert network_id(premises.engine, "home") == network
    assert premises.address("nas", "home") == own
    assert premises.transitions("home") == before
    premises.provider.advertise(second)
    eventually(lambda: premises.proxy_entries() == {new}, "the old entry is removed with its lifetime")
    premises.wait_source_address("nas", new)


def test_networks_with_addresses_of_the_prefix_are_renumbered_one_at_a_time(premises: Premises) -> None:
    engine, operator = premises.engine, premises.operator
    premises.add_default_route()
    premises.delegate_prefix(_FIRST)
    premises.start()
    premises.apply_pool("home", {"fromInterface": {"name": UPLINK}})
    routed: dict[str, Any] = {
        "addressing": {"poolRef": {"name": "home"}},
        "egress": {"mode": "Routed"},
        "firewall": _OPEN,
        "updateStrategy": "Recreate",
    }
    names = ("media", "web")
    for name in names:
        premises.apply(name, routed)
    premises.apply("calm", {**routed, "updateStrategy": "WhenIdle"})
    premises.ready(*names, "calm")
    before = {name: subnet_of(engine, name) for name in (*names, "calm")}
    static = str(IPv6Network(before["web"])[0x80])
    for name in names:
        premises.run(f"{name}1", name)
        premises.run(f"{name}2", name)
    premises.run("shop", "web", address=static, aliases=["www"])
    premises.run("lamp", "calm")
    homes = {"media1": "media", "media2": "media", "web1": "web", "web2": "web", "shop": "web"}
    addresses = {name: premises.address(name, network) for name, network in {**homes, "lamp": "calm"}.items()}
    premises.wait_source_address("web1", addresses["web1"])
    since = now(engine)

    premises.remove_prefix(_FIRST)
    premises.delegate_prefix(_SECOND)
    moved = {name: _external(prefix.split("/")[0], _SECOND) + "/64" for name, prefix in before.items()}
    eventually(lambda: all(subnet_of(engine, name) == moved[name] for name in names), "all are renumbered")
    premises.ready(*names)
    for name, network in homes.items():
        assert premises.address(name, network) == _external(addresses[name], _SECOND)
        premises.assert_reachable(premises.internet, _external(addresses[name], _SECOND), name)
    aliases = engine.client().inspect_container("shop")["NetworkSettings"]["Networks"]["web"]["Aliases"]
    assert "www" in aliases
    apart = absences(engine, since, homes)
    assert set(apart) == set(names)
    assert not overlapping(apart), apart
    for name in names:
        eventually(lambda name=name: "Recreated" in premises.events(name), "it is reported")  # type: ignore[misc]

    # a network that must not be recreated waits, reports this, and keeps its subnet
    premises.wait_for_reason("calm", "NetworkReady", "RecreateBlocked")
    eventually(lambda: premises.status("home", "ipv6pool").get("renumbering") == ["calm"], "the pool reports it too")
    assert subnet_of(engine, "calm") == before["calm"]
    premises.wait_source_address("lamp", addresses["lamp"])
    engine.docker("stop", "-t", "0", "lamp")
    eventually(lambda: subnet_of(engine, "calm") == moved["calm"], "it is renumbered")
    premises.ready("calm")
    engine.docker("start", "lamp")
    premises.wait_source_address("lamp", _external(addresses["lamp"], _SECOND))
    eventually(
        lambda: "renumbering" not in premises.status("home", "ipv6pool"), "the pool reports no network to renumber"
    )
    assert operator.running
