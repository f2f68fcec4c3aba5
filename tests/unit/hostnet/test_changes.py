import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.hostnet.changes import ChangeQueue, FirewallDecoder, StackDecoder
from dockerv6.hostnet.model import ChangeKind, HostChange
from tests.unit.lib.test_netlink import attribute, message

INET, IP6 = 1, 10
NEWRULE, DELSETELEM, NEWGEN = 6, 14, 15
RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWNETCONF = 16, 17, 20, 24, 80
AF_UNSPEC, AF_INET, AF_BRIDGE, AF_INET6 = 0, 2, 7, 10
INDEX = 1_000_000  # nobody has as many interfaces


def taken(pending: ChangeQueue) -> list[HostChange]:
    changes = []
    while pending:
        changes.append(pending.take())
    return changes


def touched(family: int, table: str, kind: int = NEWRULE) -> bytes:
    return message(10 << 8 | kind, struct.pack("=BBH", family, 0, 0) + attribute(1, table.encode() + b"\0"))


def generation(number: int) -> bytes:
    return message(10 << 8 | NEWGEN, bytes(4) + attribute(1, struct.pack(">I", number)) + attribute(2, bytes(4)))


def link(name: str, kind: int = RTM_NEWLINK, index: int = INDEX, family: int = AF_UNSPEC) -> bytes:
    return message(kind, struct.pack("=BxHiII", family, 0, index, 1, 0) + attribute(3, name.encode() + b"\0"))


def route(table: int, route_type: int, *parts: bytes, length: int = 0, protocol: int = 9) -> bytes:
    head = struct.pack("=BBBBBBBBI", AF_INET6, length, 0, 0, table, protocol, 0, route_type, 0)
    return message(RTM_NEWROUTE, head + b"".join(parts))


def address(scope: int) -> bytes:
    return message(RTM_NEWADDR, struct.pack("=BBBBi", AF_INET6, 64, 0, scope, INDEX))


def netconf(family: int, index: int) -> bytes:
    return message(RTM_NEWNETCONF, struct.pack("=B3x", family) + attribute(1, struct.pack("=i", index)))


def test_a_change_that_waits_is_not_noted_twice() -> None:
    pending = ChangeQueue()
    for name in ("a", "b", "a"):
        pending.add(ChangeKind.LINK, name)
    assert taken(pending) == [HostChange(ChangeKind.LINK, "a"), HostChange(ChangeKind.LINK, "b")]


def test_a_change_that_was_taken_can_come_again() -> None:
    pending = ChangeQueue()
    pending.add(ChangeKind.LINK, "a")
    assert pending.take() == HostChange(ChangeKind.LINK, "a")
    pending.add(ChangeKind.LINK, "a")
    assert pending.take() == HostChange(ChangeKind.LINK, "a")


def test_the_latest_generation_stands_for_the_earlier_ones() -> None:
    pending = ChangeQueue()
    pending.add(ChangeKind.FIREWALL, "inet t", 3)
    pending.add(ChangeKind.FIREWALL, "inet t", 5)
    assert taken(pending) == [HostChange(ChangeKind.FIREWALL, "inet t", 5)]


@pytest.mark.parametrize("generations", [(None, 5), (5, None)])
def test_a_change_of_unknown_generation_makes_the_merged_one_unknown(generations: tuple[int | None, ...]) -> None:
    pending = ChangeQueue()
    for number in generations:
        pending.add(ChangeKind.FIREWALL, "inet t", number)
    assert taken(pending) == [HostChange(ChangeKind.FIREWALL, "inet t", None)]


def test_a_loss_stands_for_all_that_waits() -> None:
    pending = ChangeQueue()
    pending.add(ChangeKind.LINK, "a")
    pending.lose()
    pending.add(ChangeKind.LINK, "b")
    assert taken(pending) == [HostChange(ChangeKind.LOST), HostChange(ChangeKind.LINK, "b")]


def test_more_than_a_reader_will_ever_take_becomes_a_loss() -> None:
    pending = ChangeQueue()
    for number in range(4097):
        pending.add(ChangeKind.LINK, f"veth{number}")
    assert taken(pending) == [HostChange(ChangeKind.LOST)]


def test_taking_from_nothing_is_an_error() -> None:
    with pytest.raises(KeyError):
        ChangeQueue().take()


def test_a_commit_is_noted_at_its_end_once_per_table() -> None:
    pending = ChangeQueue()
    decoder = FirewallDecoder(pending)
    decoder.feed(touched(INET, "dockerv6") * 3 + touched(INET, "dockerv6", DELSETELEM) + touched(IP6, "filter"))
    assert (decoder.unfinished, taken(pending)) == (True, [])
    decoder.feed(generation(7))
    assert taken(pending) == [
        HostChange(ChangeKind.FIREWALL, "inet dockerv6", 7),
        HostChange(ChangeKind.FIREWALL, "ip6 filter", 7),
    ]


def test_commits_in_one_datagram_keep_their_generations_apart() -> None:
    pending = ChangeQueue()
    FirewallDecoder(pending).feed(touched(INET, "a") + generation(7) + touched(INET, "b") + generation(8))
    assert [change.generation for change in taken(pending)] == [7, 8]


def test_after_its_end_nothing_of_a_commit_is_left() -> None:
    decoder = FirewallDecoder(ChangeQueue())
    decoder.feed(touched(INET, "dockerv6") + generation(7))
    assert not decoder.unfinished


def test_objects_that_no_commit_ends_are_noted_without_a_generation() -> None:
    pending = ChangeQueue()
    decoder = FirewallDecoder(pending)
    decoder.feed(touched(5, "ingress"))
    decoder.finish()
    assert taken(pending) == [HostChange(ChangeKind.FIREWALL, "netdev ingress")]


def test_other_subsystems_of_nfnetlink_are_ignored() -> None:
    pending = ChangeQueue()
    decoder = FirewallDecoder(pending)
    decoder.feed(message(1 << 8 | NEWRULE, bytes(4) + attribute(1, b"x\0")))
    assert not decoder.unfinished


def test_a_link_is_named_as_its_message_says() -> None:
    pending = ChangeQueue()
    StackDecoder(pending).feed(link("veth1") + link("veth1", RTM_DELLINK) + link("veth2"))
    assert taken(pending) == [HostChange(ChangeKind.LINK, "veth1"), HostChange(ChangeKind.LINK, "veth2")]


def test_a_link_names_the_addresses_and_routes_that_come_after_it_until_it_goes() -> None:
    pending = ChangeQueue()
    decoder = StackDecoder(pending)
    oif = attribute(4, struct.pack("=I", INDEX))
    decoder.feed(link("wan0") + address(0) + route(254, 1, oif) + netconf(AF_INET6, INDEX))
    decoder.feed(link("wan0", RTM_DELLINK) + address(0))
    assert taken(pending) == [
        HostChange(ChangeKind.LINK, "wan0"),
        HostChange(ChangeKind.ADDRESS, "wan0"),
        HostChange(ChangeKind.ROUTE, "wan0"),
        HostChange(ChangeKind.SYSCTL, "wan0"),
        HostChange(ChangeKind.ADDRESS, ""),
    ]


@pytest.mark.parametrize("kind", [RTM_NEWLINK, RTM_DELLINK])
def test_what_the_bridge_tells_of_a_port_is_of_the_port(kind: int) -> None:
    pending = ChangeQueue()
    told = link("veth0", kind, family=AF_BRIDGE)[16:] + attribute(10, struct.pack("=I", INDEX + 1))
    StackDecoder(pending).feed(message(kind, told))
    assert taken(pending) == [HostChange(ChangeKind.LINK, "veth0")]


def test_a_renamed_link_names_what_comes_after_by_its_new_name() -> None:
    pending = ChangeQueue()
    StackDecoder(pending).feed(link("eth0") + link("wan0") + address(0))
    assert taken(pending)[-1] == HostChange(ChangeKind.ADDRESS, "wan0")


def test_after_a_loss_remembered_names_are_not_trusted() -> None:
    pending = ChangeQueue()
    decoder = StackDecoder(pending)
    decoder.feed(link("eth0"))
    decoder.forget()
    decoder.feed(address(0))
    assert taken(pending)[-1] == HostChange(ChangeKind.ADDRESS, "")


def test_every_next_hop_of_a_route_is_told() -> None:
    pending = ChangeQueue()
    hops = b"".join(struct.pack("=HBBi", 8, 0, 0, index) for index in (INDEX, INDEX + 1))
    StackDecoder(pending).feed(link("a0") + link("b0", index=INDEX + 1) + route(254, 1, attribute(9, hops)))
    assert taken(pending)[2:] == [HostChange(ChangeKind.ROUTE, "a0"), HostChange(ChangeKind.ROUTE, "b0")]


@pytest.mark.parametrize(("table", "route_type"), [(255, 1), (254, 5), (255, 2)])
def test_local_and_multicast_routes_are_ignored(table: int, route_type: int) -> None:
    pending = ChangeQueue()
    StackDecoder(pending).feed(route(table, route_type))
    assert not pending


def test_a_route_without_an_interface_is_told_all_the_same() -> None:
    pending = ChangeQueue()
    StackDecoder(pending).feed(route(254, 1))
    assert taken(pending) == [HostChange(ChangeKind.ROUTE)]


@pytest.mark.parametrize("route_type", [6, 7, 8, 9])
def test_a_route_to_nowhere_may_be_of_a_delegation_and_is_told(route_type: int) -> None:
    pending = ChangeQueue()
    oif = attribute(4, struct.pack("=I", INDEX))  # loopback
    StackDecoder(pending).feed(route(254, route_type, oif, length=56, protocol=16))
    assert taken(pending) == [HostChange(ChangeKind.ROUTE, "")]


@pytest.mark.parametrize(("table", "length", "protocol"), [(254, 0, 16), (254, 65, 16), (254, 56, 2), (255, 56, 16)])
def test_other_routes_to_nowhere_are_ignored(table: int, length: int, protocol: int) -> None:
    pending = ChangeQueue()
    StackDecoder(pending).feed(route(table, 7, length=length, protocol=protocol))
    assert not pending


def test_link_local_addresses_are_ignored() -> None:
    pending = ChangeQueue()
    StackDecoder(pending).feed(address(253))
    assert not pending


def test_forwarding_is_told_for_all_and_default_and_only_for_ipv6() -> None:
    pending = ChangeQueue()
    StackDecoder(pending).feed(netconf(AF_INET6, -1) + netconf(AF_INET6, -2) + netconf(AF_INET, -1))
    assert taken(pending) == [HostChange(ChangeKind.SYSCTL, "all"), HostChange(ChangeKind.SYSCTL, "default")]


@given(st.sampled_from([RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWNETCONF]), st.binary(max_size=40))
def test_a_message_that_is_too_short_or_senseless_breaks_nothing(kind: int, payload: bytes) -> None:
    StackDecoder(ChangeQueue()).feed(message(kind, payload))
    FirewallDecoder(ChangeQueue()).feed(message(10 << 8 | kind, payload) + message(10 << 8 | NEWGEN, payload))
