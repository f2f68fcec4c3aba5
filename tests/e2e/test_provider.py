"""The lab's providers, tested with real packets and a real radvd, because the prefix tests depend on them."""

from __future__ import annotations

import json
from ipaddress import IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.cluster import eventually
from tests.lab.net import tcp_server
from tests.lab.probe import Port, connect
from tests.lab.process import CommandFailedError
from tests.lab.provider import ROUTER, SERVER, Provider
from tests.lab.radvd import Advertised
from tests.lab.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.namespace import Namespace

_FIRST, _SECOND = "2001:db8:a:1::/64", "2001:db8:b:1::/64"


@pytest.fixture
def host(lab_session: Session) -> Iterator[Namespace]:
    """A host that forwards, like a host with containers."""
    namespace = lab_session.namespace("n")
    namespace.exec("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
    yield namespace
    namespace.remove()


@pytest.fixture
def provider(lab_session: Session, host: Namespace) -> Iterator[Provider]:
    provider = Provider.join(lab_session, host)
    yield provider
    provider.remove()


def _addresses(host: Namespace, interface: str = "wan0") -> dict[str, dict[str, Any]]:
    """The interface's global addresses by prefix."""
    listed = json.loads(host.exec("ip", "-json", "-6", "address", "show", "dev", interface, "scope", "global").stdout)
    # iproute2 prints empty objects for filtered entries
    found = [address for link in listed for address in link.get("addr_info", []) if address]
    return {str(IPv6Network((address["local"], address["prefixlen"]), strict=False)): address for address in found}


def _default(host: Namespace) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(host.exec("ip", "-json", "-6", "route", "show", "default").stdout)
    return listed


def test_a_host_gets_its_address_and_default_route_from_radvd(provider: Provider, host: Namespace) -> None:
    provider.advertise(_FIRST)
    eventually(lambda: _FIRST in _addresses(host), "an address")
    assert [(route["gateway"], route["dev"], route["protocol"]) for route in _default(host)] == [(ROUTER, "wan0", "ra")]
    with tcp_server(provider.server, 7000, mode="peer"), connect(host.path, Port("tcp", SERVER, 7000)) as connection:
        assert connection.makefile().readline().strip() == _addresses(host)[_FIRST]["local"]


def test_radvd_takes_another_prefix_and_deprecates_the_old_one(provider: Provider, host: Namespace) -> None:
    provider.advertise(_FIRST)
    eventually(lambda: _FIRST in _addresses(host), "an address")
    provider.advertise(_SECOND, Advertised(_FIRST, preferred=0))
    eventually(lambda: _addresses(host).get(_FIRST, {}).get("deprecated"), "the old one is deprecated")
    assert not _addresses(host)[_SECOND].get("deprecated")
    assert _addresses(host)[_FIRST]["valid_life_time"] > 0


def test_a_prefix_that_is_no_longer_advertised_lasts_for_its_lifetime(provider: Provider, host: Namespace) -> None:
    provider.advertise(Advertised(_FIRST, preferred=1, valid=2))
    eventually(lambda: _FIRST in _addresses(host), "an address")
    provider.fall_silent()
    eventually(lambda: _FIRST not in _addresses(host), "it is removed")
    assert _default(host)


def test_a_router_that_stops_is_no_default_router(provider: Provider, host: Namespace) -> None:
    provider.advertise(_FIRST)
    eventually(lambda: _default(host), "a default route")
    provider.say_goodbye()
    eventually(lambda: not _default(host), "it is removed")
    assert _FIRST in _addresses(host)


def test_a_prefix_that_radvd_refuses_raises_an_error(provider: Provider) -> None:
    with pytest.raises(CommandFailedError, match="AdvPreferredLifetime"):
        provider.advertise(Advertised(_FIRST, preferred=20, valid=10))


def test_a_delegated_prefix_is_reached_from_the_internet_until_it_is_withdrawn(
    provider: Provider, host: Namespace
) -> None:
    provider.advertise(_FIRST)
    eventually(lambda: _default(host), "a default route")
    internal = "2001:db8:d::1"
    host.exec("ip", "address", "add", f"{internal}/128", "dev", "lo")
    assert not provider.ping_from_internet(internal)
    provider.delegate("2001:db8:d::/56")
    with tcp_server(host, 7000), connect(provider.server.path, Port("tcp", internal, 7000)) as connection:
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"
    provider.withdraw("2001:db8:d::/56")
    assert not provider.ping_from_internet(internal)


def test_an_uplink_is_recognised_by_its_name_when_it_returns(provider: Provider, host: Namespace) -> None:
    provider.advertise(_FIRST)
    eventually(lambda: _FIRST in _addresses(host), "an address")
    provider.unplug()
    assert host.exec("ip", "link", "show", "wan0", check=False).returncode != 0
    provider.plug()
    assert _FIRST not in _addresses(host)
    provider.advertise(_FIRST)
    eventually(lambda: _FIRST in _addresses(host), "an address")


def test_several_providers_are_separate(lab_session: Session, host: Namespace, provider: Provider) -> None:
    second = Provider.join(lab_session, host, "wan1")
    try:
        provider.advertise(_FIRST)
        second.advertise(_SECOND)
        eventually(lambda: _FIRST in _addresses(host) and _SECOND in _addresses(host, "wan1"), "an address of each")
        assert list(_addresses(host)) == [_FIRST]
        assert {route["dev"] for route in _default(host)} == {"wan0", "wan1"}
    finally:
        second.remove()


def test_a_session_removes_its_providers() -> None:
    session = Session.create()
    try:
        provider = Provider.join(session, session.namespace("n"))
        provider.advertise(_FIRST)
        daemon = provider.exec("ip", "netns", "pids", provider.router.name).stdout.split()
        assert daemon
    finally:
        session.close()
    # collects its status
    provider.fall_silent()
    assert not any(Path(f"/proc/{pid}/exe").exists() for pid in daemon)
    assert not provider.router.path.exists()
    assert not provider.server.path.exists()
