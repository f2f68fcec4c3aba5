"""Faults of an uplink, its prefixes and its addresses are reported, and what works is not removed."""

from __future__ import annotations

from ipaddress import IPv6Network
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.cluster import condition, eventually, has_condition, network_id, subnet_of
from tests.e2e.provider import UPLINK, suffix, unbroken
from tests.lab.radvd import Advertised

if TYPE_CHECKING:
    from tests.e2e.provider import Premises

pytestmark = pytest.mark.cells("28.5")

_FIRST, _SECOND = "2001:db8:a00::/56", "2001:db8:b00::/56"
_LINK, _HOST_ADDRESS = "2001:db8:1::/64", "2001:db8:1::2"
_SNAT_ADDRESS = "2001:db8:1::5:0"
_GONE = "is gone, and there is no other"
_ROUTED: dict[str, Any] = {
    "addressing": {"poolRef": {"name": "home"}},
    "egress": {"mode": "Routed"},
    "firewall": {"ingress": [{"ports": [{"port": 80}]}]},
    "updateStrategy": "Recreate",
}
_TRANSLATED: dict[str, Any] = {
    "addressing": {"subnet": "fd12:3456:789a:7::/64"},
    "egress": {"mode": "PrefixTranslation", "prefixFrom": {"interface": UPLINK}},
}


def _with_a_delegated_prefix(premises: Premises, pool: dict[str, Any] | None = None) -> None:
    premises.add_default_route()
    premises.delegate_prefix(_FIRST)
    premises.start()
    premises.apply_pool("home", {"fromInterface": {"name": UPLINK, **(pool or {})}})


def _stalled(premises: Premises, name: str, reason: str, kind: str = "ipv6network") -> str:
    """Wait until a resource is stalled for a reason, and return the message."""
    message = str(premises.wait_for_reason(name, "Stalled", reason, kind)["message"])
    ready = condition(premises.operator, name, "Ready", kind)
    assert ready is not None
    assert (ready["status"], ready["reason"]) == ("False", reason)
    return message


def test_a_prefix_without_successor_is_kept(premises: Premises) -> None:
    _with_a_delegated_prefix(premises)
    premises.apply("web", _ROUTED)
    premises.apply("nat", _TRANSLATED)
    premises.ready("web", "nat")
    premises.run("www", "web")
    premises.run("nas", "nat")
    address, network = premises.address("www", "web"), network_id(premises.engine, "web")
    external = str(IPv6Network(_FIRST)[suffix(premises.address("nas", "nat"), 56)])
    premises.assert_reachable(premises.internet, address, "www")
    premises.wait_source_address("nas", external)

    with premises.open_connection("nas") as stream:
        # the provider still routes the prefix
        premises.remove_prefix(_FIRST)
        premises.wait_logged(_GONE)
        assert _FIRST in _stalled(premises, "web", "PrefixWithdrawn")
        assert UPLINK in _stalled(premises, "nat", "PrefixWithdrawn")
        _stalled(premises, "home", "PrefixWithdrawn", "ipv6pool")
        premises.wait_source_address("nas", external)
        premises.wait_source_address("www", address)
        premises.assert_reachable(premises.internet, address, "www")
        premises.run("late", "web")
        premises.assert_reachable(premises.internet, premises.address("late", "web"), "late")
        tally = stream.stop()
    assert unbroken(tally), tally
    premises.delegate_prefix(_FIRST)
    premises.ready("web", "nat")
    premises.operator.wait_ready("ipv6pool/home")
    assert network_id(premises.engine, "web") == network
    assert premises.address("www", "web") == address


def test_advertisements_that_end_withdraw_the_prefix(premises: Premises) -> None:
    link = "2001:db8:a:1::/64"
    premises.provider.advertise(Advertised(link, preferred=3, valid=4))
    eventually(lambda: "2001:db8:a:1:" in premises.ip("address", "show", "dev", UPLINK), "an address")
    premises.start()
    premises.network("nat", {**_TRANSLATED, "ndpProxy": {"enabled": True}})
    premises.run("nas", "nat")
    external = str(IPv6Network(link)[suffix(premises.address("nas", "nat"))])
    premises.wait_source_address("nas", external)
    premises.provider.fall_silent()
    premises.wait_logged(_GONE)
    assert link in _stalled(premises, "nat", "PrefixWithdrawn")
    premises.provider.advertise(link)
    premises.ready("nat")
    premises.wait_source_address("nas", external)


def test_a_prefix_that_is_too_long_is_reported(premises: Premises) -> None:
    _with_a_delegated_prefix(premises, {"prefixLength": 52})
    premises.apply("web", _ROUTED)
    premises.apply("nat", {**_TRANSLATED, "addressing": {"subnet": "fd12:3456:789a::/52"}})
    eventually(
        has_condition(premises.operator, "web", "Ready", "False", "PrefixTooLong"), "the prefix has no such part"
    )
    assert _FIRST in _stalled(premises, "home", "PrefixTooLong", "ipv6pool")
    assert _FIRST in _stalled(premises, "nat", "PrefixTooLong")
    assert network_id(premises.engine, "web") is None
    premises.apply_pool("home", {"fromInterface": {"name": UPLINK, "prefixLength": 60, "offset": 3}})
    premises.ready("web")
    assert IPv6Network(subnet_of(premises.engine, "web")).subnet_of(IPv6Network("2001:db8:a00:30::/60"))


def test_a_pool_that_becomes_too_small_removes_no_subnet(premises: Premises) -> None:
    _with_a_delegated_prefix(premises)
    names = ("one", "two", "three")
    for name in names:
        premises.apply(name, _ROUTED)
        premises.ready(name)
    for name in names:
        premises.run(f"in-{name}", name)
    subnets = {name: subnet_of(premises.engine, name) for name in names}
    addresses = {name: premises.address(f"in-{name}", name) for name in names}
    small = "2001:db8:b00:0::/63"
    premises.remove_prefix(_FIRST)
    premises.delegate_prefix(small)

    def kept() -> list[str]:
        return [name for name in names if subnet_of(premises.engine, name) == subnets[name]]

    # one /64 belongs to the LAN
    eventually(lambda: len(kept()) == 2, "one of them has room in the new prefix")
    for name in kept():
        premises.wait_for_reason(name, "SubnetAllocated", "PoolExhausted")
        reported = condition(premises.operator, name, "Ready")
        assert reported is not None
        assert subnets[name] in reported["message"]
        assert premises.address(f"in-{name}", name) == addresses[name]
        premises.wait_source_address(f"in-{name}", addresses[name])
    (moved,) = set(names) - set(kept())
    premises.ready(moved)
    premises.wait_source_address(f"in-{moved}", premises.address(f"in-{moved}", moved))


def test_delegated_prefixes_that_overlap_give_no_address_twice(premises: Premises) -> None:
    _with_a_delegated_prefix(premises)
    inside = "2001:db8:a00:40::/60"
    premises.ip("route", "replace", "unreachable", inside, "proto", "dhcp")
    premises.apply_pool("fixed", {"prefix": inside})
    premises.apply("one", {**_ROUTED, "addressing": {"poolRef": {"name": "fixed"}}})
    premises.ready("one")
    premises.apply("two", _ROUTED)
    premises.ready("two")
    premises.operator.wait_ready("ipv6pool/fixed")
    one, two = (IPv6Network(subnet_of(premises.engine, name)) for name in ("one", "two"))
    assert not one.overlaps(two)
    reported = condition(premises.operator, "home", "Ready", "ipv6pool")
    assert reported is not None
    assert "fixed" in reported["message"]
    assert premises.status("home", "ipv6pool")["prefixes"] == [_FIRST]
    for name in ("one", "two"):
        premises.run(f"in-{name}", name)
        premises.wait_source_address(f"in-{name}", premises.address(f"in-{name}", name))


def test_a_source_address_that_disappears_and_returns_is_reported(premises: Premises) -> None:
    premises.configure_static_uplink(_LINK)
    premises.ip("address", "add", f"{_SNAT_ADDRESS}/128", "dev", UPLINK)
    premises.start()
    premises.network("nat", {"egress": {"mode": "SNAT", "snatAddress": _SNAT_ADDRESS}})
    premises.run("nas", "nat")
    premises.wait_source_address("nas", _SNAT_ADDRESS)
    network = network_id(premises.engine, "nat")
    premises.ip("address", "del", f"{_SNAT_ADDRESS}/128", "dev", UPLINK)
    assert _SNAT_ADDRESS in _stalled(premises, "nat", "AddressMissing")
    premises.ip("address", "add", f"{_SNAT_ADDRESS}/128", "dev", UPLINK)
    premises.ready("nat")
    premises.wait_source_address("nas", _SNAT_ADDRESS)
    assert network_id(premises.engine, "nat") == network


def test_a_source_address_that_another_machine_has_is_reported(premises: Premises) -> None:
    premises.configure_static_uplink(_LINK)
    premises.provider.exec("ip", "address", "add", f"{_SNAT_ADDRESS}/64", "dev", UPLINK, "nodad")
    premises.engine.netexec("sysctl", "-q", "-w", f"net.ipv6.conf.{UPLINK}.accept_dad=1")
    premises.ip("address", "add", f"{_SNAT_ADDRESS}/64", "dev", UPLINK)
    premises.start()
    premises.apply("nat", {"egress": {"mode": "SNAT", "snatAddress": _SNAT_ADDRESS}})
    assert _SNAT_ADDRESS in _stalled(premises, "nat", "DuplicateAddress")
    premises.provider.exec("ip", "address", "del", f"{_SNAT_ADDRESS}/64", "dev", UPLINK)
    premises.ip("address", "del", f"{_SNAT_ADDRESS}/64", "dev", UPLINK)
    premises.ip("address", "add", f"{_SNAT_ADDRESS}/64", "dev", UPLINK)
    premises.ready("nat")
    premises.run("nas", "nat")
    premises.wait_source_address("nas", _SNAT_ADDRESS)


def test_a_duplicate_address_of_the_uplink_is_reported_and_nothing_is_removed(premises: Premises) -> None:
    premises.configure_static_uplink(_LINK)
    premises.start()
    premises.network("nat")
    premises.run("nas", "nat")
    premises.wait_source_address("nas", _HOST_ADDRESS)
    another = "2001:db8:1::77"
    premises.provider.exec("ip", "address", "add", f"{another}/64", "dev", UPLINK, "nodad")
    premises.engine.netexec("sysctl", "-q", "-w", f"net.ipv6.conf.{UPLINK}.accept_dad=1")
    with premises.open_connection("nas") as stream:
        premises.ip("address", "add", f"{another}/64", "dev", UPLINK)
        assert another in premises.wait_for_reason("nat", "HostReady", "DuplicateAddress")["message"]
        tally = stream.stop()
    assert unbroken(tally), tally
    premises.wait_source_address("nas", _HOST_ADDRESS)
    premises.ip("address", "del", f"{another}/64", "dev", UPLINK)
    premises.wait_while_reason("nat", "HostReady", "DuplicateAddress")


def test_a_missing_default_route_and_a_small_uplink_mtu_are_reported_with_a_remedy(premises: Premises) -> None:
    premises.configure_static_uplink(_LINK)
    premises.start()
    premises.network("nat")
    premises.run("nas", "nat")
    premises.wait_source_address("nas", _HOST_ADDRESS)
    premises.ip("route", "del", "default", "dev", UPLINK)
    assert "route add default" in premises.wait_for_reason("nat", "HostReady", "NoDefaultRoute")["message"]
    premises.add_default_route()
    premises.wait_while_reason("nat", "HostReady", "NoDefaultRoute")
    premises.ip("link", "set", UPLINK, "mtu", "1400")
    assert "spec.bridge.mtu: 1400" in premises.wait_for_reason("nat", "HostReady", "MTUMismatch")["message"]
    premises.apply("nat", {"bridge": {"mtu": 1400}, "updateStrategy": "Recreate"})
    premises.wait_while_reason("nat", "HostReady", "MTUMismatch")
    premises.ready("nat")
    premises.wait_source_address("nas", _HOST_ADDRESS)


def test_a_flapping_prefix_renumbers_no_network(premises: Premises) -> None:
    _with_a_delegated_prefix(premises)
    premises.apply("web", _ROUTED)
    premises.ready("web")
    premises.run("www", "web")
    before = (network_id(premises.engine, "web"), premises.address("www", "web"))
    since = premises.status("home", "ipv6pool")["since"]

    def candidate() -> str | None:
        found: str | None = premises.status("home", "ipv6pool").get("candidate")
        return found

    for _ in range(2):
        premises.remove_prefix(_FIRST)
        premises.delegate_prefix(_SECOND)
        eventually(lambda: candidate() == _SECOND, "the new prefix is noticed, but not followed yet")
        premises.remove_prefix(_SECOND)
        premises.delegate_prefix(_FIRST)
        # without the candidate nothing has to change
        eventually(lambda: candidate() is None, "the candidate is dropped")
    assert (network_id(premises.engine, "web"), premises.address("www", "web")) == before
    assert premises.status("home", "ipv6pool")["since"] == since
    assert premises.status("home", "ipv6pool")["interfacePrefix"] == _FIRST
    premises.assert_reachable(premises.internet, before[1], "www")
    assert "PrefixChanged" not in premises.events("web")
