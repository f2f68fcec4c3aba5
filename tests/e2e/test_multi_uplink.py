"""Two uplinks with a provider each: every network uses its own uplink, with an address of that provider.

The host's `ip rule`s, set up by the administrator, select the uplink of a network's packets. dockerv6 ensures that they
have the right source address and leave by no other uplink. The server's address is the same at both providers.
"""

from __future__ import annotations

from ipaddress import IPv6Network
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.cluster import eventually, network_id
from tests.e2e.provider import UPLINK, suffix, unbroken
from tests.lab.provider import ROUTER, Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.provider import Premises
    from tests.lab.session import Session

pytestmark = pytest.mark.cells("28.5")

_OTHER_UPLINK = "wan1"
_INNER = {UPLINK: "fd12:3456:789a:1::/64", _OTHER_UPLINK: "fd12:3456:789a:2::/64"}
_NAMES = {UPLINK: "fibre", _OTHER_UPLINK: "cable"}
_TABLES = {UPLINK: "101", _OTHER_UPLINK: "102"}
_LINKS = {UPLINK: "2001:db8:1::/64", _OTHER_UPLINK: "2001:db8:2::/64"}
_DELEGATED = {UPLINK: "2001:db8:a00::/56", _OTHER_UPLINK: "2001:db8:b00::/56"}


@pytest.fixture
def other(premises: Premises, lab_session: Session) -> Iterator[Provider]:
    """The second provider."""
    provider = Provider.join(lab_session, premises.engine.namespace, _OTHER_UPLINK)
    yield provider
    premises.lab.close()
    provider.remove()
    for uplink, subnet in _INNER.items():
        premises.engine.netexec("ip", "-6", "rule", "del", "from", subnet, "table", _TABLES[uplink], check=False)


def _address(uplink: str) -> str:
    return str(IPv6Network(_LINKS[uplink])[2])


def _route(premises: Premises, provider: Provider) -> None:
    """Give an uplink its address and a routing table for its network's packets."""
    uplink = provider.uplink
    provider.put_on_link(_LINKS[uplink])
    premises.ip("address", "add", f"{_address(uplink)}/64", "dev", uplink, "nodad")
    premises.ip("route", "add", "default", "via", ROUTER, "dev", uplink, "table", _TABLES[uplink])


def _rules(premises: Premises) -> None:
    """Route each network's packets by its uplink's table only."""
    for uplink, subnet in _INNER.items():
        premises.ip("rule", "add", "from", subnet, "table", _TABLES[uplink], "priority", "100")


def _leaves_only_by(premises: Premises, container: str, provider: Provider, another: Provider, address: str) -> None:
    premises.wait_source_address(container, address, provider)
    with another.tcp_server(7002, mode="peer") as server:
        assert not premises.reaches_server(container, 7002)
        assert server.running


def test_each_network_has_the_source_address_of_its_uplink(premises: Premises, other: Provider) -> None:
    first = premises.provider
    for provider in (first, other):
        _route(premises, provider)
    _rules(premises)
    premises.start()
    for uplink, subnet in _INNER.items():
        egress = {"mode": "SNAT", "snatAddress": _address(uplink), "interfaces": [uplink]}
        premises.apply(_NAMES[uplink], {"addressing": {"subnet": subnet}, "egress": egress})
    premises.ready(*_NAMES.values())
    premises.run("one", "fibre")
    premises.run("two", "cable")
    _leaves_only_by(premises, "one", first, other, _address(UPLINK))
    _leaves_only_by(premises, "two", other, first, _address(_OTHER_UPLINK))

    networks = [network_id(premises.engine, name) for name in _NAMES.values()]
    with premises.open_connection("one") as stream:
        other.unplug()
        reported = premises.wait_for_reason("cable", "HostReady", "AddressMissing")
        assert _address(_OTHER_UPLINK) in reported["message"]
        premises.ready("fibre")
        other.plug()
        _route(premises, other)
        premises.ready("cable")
        premises.wait_source_address("two", _address(_OTHER_UPLINK), other)
        tally = stream.stop()
    assert unbroken(tally), tally
    assert [network_id(premises.engine, name) for name in _NAMES.values()] == networks


def test_each_network_follows_the_prefix_of_its_uplink(premises: Premises, other: Provider) -> None:
    first = premises.provider

    def delegate(provider: Provider) -> None:
        """Add an address of the prefix to the uplink, which assigns the prefix to this uplink."""
        prefix = _DELEGATED[provider.uplink]
        provider.delegate(prefix)
        premises.ip("address", "add", f"{IPv6Network(prefix)[1]}/128", "dev", provider.uplink)
        premises.ip("route", "replace", "unreachable", prefix, "proto", "dhcp")

    def external(address: str, uplink: str) -> str:
        return str(IPv6Network(_DELEGATED[uplink])[suffix(address, 56)])

    for provider in (first, other):
        _route(premises, provider)
        delegate(provider)
    _rules(premises)
    premises.start()
    for uplink, subnet in _INNER.items():
        egress: dict[str, Any] = {
            "mode": "PrefixTranslation",
            "prefixFrom": {"interface": uplink},
            "interfaces": [uplink],
        }
        premises.apply(_NAMES[uplink], {"addressing": {"subnet": subnet}, "egress": egress})
    premises.ready(*_NAMES.values())
    premises.run("one", "fibre")
    premises.run("two", "cable")
    own = {UPLINK: premises.address("one", "fibre"), _OTHER_UPLINK: premises.address("two", "cable")}
    _leaves_only_by(premises, "one", first, other, external(own[UPLINK], UPLINK))
    _leaves_only_by(premises, "two", other, first, external(own[_OTHER_UPLINK], _OTHER_UPLINK))

    # an uplink that disappears keeps its prefix until it returns
    other.unplug()
    premises.wait_logged("is gone, and there is no other")
    premises.wait_for_reason("cable", "FirewallReady", "PrefixWithdrawn")
    premises.ready("fibre")
    premises.wait_source_address("one", external(own[UPLINK], UPLINK))
    other.plug()
    _route(premises, other)
    delegate(other)
    premises.ready("cable")
    premises.wait_source_address("two", external(own[_OTHER_UPLINK], _OTHER_UPLINK), other)
    eventually(lambda: "PrefixReturned" in premises.events("cable"), "it is reported")
