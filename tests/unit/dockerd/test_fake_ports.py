from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from itertools import count

import pytest

from dockerv6.dockerd.model import PortBinding
from dockerv6.dockerd.port import EngineConflict
from tests.fakes.dockerd import ports as fake_ports
from tests.fakes.dockerd.ports import NOTHING, Families, Publish

BOTH = Families(ipv4=True, ipv6=True)
ANY4, ANY6 = IPv4Address("0.0.0.0"), IPv6Address("::")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("80", (Publish(80),)),
        ("8080:80", (Publish(80, host_ports=(8080, 8080)),)),
        ("8080:80/udp", (Publish(80, "udp", host_ports=(8080, 8080)),)),
        ("[::1]:8080:80", (Publish(80, "tcp", IPv6Address("::1"), (8080, 8080)),)),
        ("[2001:db8::1]::80", (Publish(80, "tcp", IPv6Address("2001:db8::1")),)),
        ("127.0.0.1:8080:80", (Publish(80, "tcp", IPv4Address("127.0.0.1"), (8080, 8080)),)),
        ("127.0.0.1::80", (Publish(80, "tcp", IPv4Address("127.0.0.1")),)),
        ("9100-9110:80", (Publish(80, host_ports=(9100, 9110)),)),
        ("9000-9001:90-91", (Publish(90, host_ports=(9000, 9000)), Publish(91, host_ports=(9001, 9001)))),
        ("90-91", (Publish(90), Publish(91))),
    ],
)
def test_reads_what_users_write(written: str, read: tuple[Publish, ...]) -> None:
    assert fake_ports.parse(written) == read


@pytest.mark.parametrize("written", ["", "http", "8080:", "9000-9005:90-91", "[::1:80:80", "nohost:80:80"])
def test_what_is_no_published_port_is_refused(written: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what is wrong with it is the caller's matter
        fake_ports.parse(written)


def test_says_again_what_the_api_wants() -> None:
    wishes = [*fake_ports.parse("9100-9110:80/udp"), *fake_ports.parse("8080:80"), *fake_ports.parse("80")]
    assert [(wish.key, wish.host_port) for wish in wishes] == [
        ("80/udp", "9100-9110"),
        ("80/tcp", "8080"),
        ("80/tcp", ""),
    ]


def test_a_wish_without_an_address_binds_what_the_networks_allow() -> None:
    (wish,) = fake_ports.parse("8080:80")
    assert fake_ports.addresses(wish, BOTH) == (ANY4, ANY6)
    assert fake_ports.addresses(wish, Families(ipv4=False, ipv6=True)) == (ANY6,)
    assert fake_ports.addresses(wish, NOTHING) == ()
    assert fake_ports.choose([wish], NOTHING, (), {}, count(1)) == {}


def test_the_engines_choice_passes_over_what_is_taken_and_is_kept() -> None:
    wishes = [*fake_ports.parse("80"), *fake_ports.parse("81")]
    taken = [PortBinding("tcp", 9, 32768, ANY6)]
    ephemeral = count(32768)
    chosen = fake_ports.choose(wishes, BOTH, taken, {}, ephemeral)
    assert list(chosen.values()) == [32769, 32770]
    assert fake_ports.choose(wishes, BOTH, taken, chosen, ephemeral) == chosen


def test_a_range_gives_its_first_free_port_until_there_is_none() -> None:
    (wish,) = fake_ports.parse("9100-9101:80")
    taken = [PortBinding("tcp", 80, 9100, ANY4)]
    assert fake_ports.choose([wish], BOTH, taken, {}, count(1)) == {wish: 9101}
    taken.append(PortBinding("tcp", 80, 9101, ANY6))
    with pytest.raises(EngineConflict, match="port is already allocated"):
        fake_ports.choose([wish], BOTH, taken, {}, count(1))


@pytest.mark.parametrize(
    ("other", "clash"),
    [
        ("8080:80", True),
        ("[::]:8080:80", True),
        ("[::1]:8080:80", True),
        ("[2001:db8::1]:8080:80", False),
        ("127.0.0.1:8080:80", False),
        ("[::1]:8080:80/udp", False),
        ("[::1]:8081:80", False),
    ],
)
def test_two_bindings_clash_where_one_is_for_all_addresses_or_they_are_the_same(other: str, *, clash: bool) -> None:
    (held,), (wish,) = fake_ports.parse("[::1]:8080:80"), fake_ports.parse(other)
    taken = fake_ports.bindings({held: 8080}, BOTH)
    if clash:
        with pytest.raises(EngineConflict):
            fake_ports.choose([wish], BOTH, taken, {}, count(1))
    else:
        assert wish in fake_ports.choose([wish], BOTH, taken, {}, count(1))
