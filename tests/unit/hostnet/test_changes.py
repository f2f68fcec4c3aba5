import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.hostnet.changes import ChangeQueue, FirewallDecoder, RouteDecoder
from dockerv6.hostnet.model import ChangeKind, HostChange
from tests.unit.lib.encoding import attribute, message

INET, IP6 = 1, 10
NEWRULE, DELSETELEM, NEWGEN = 6, 14, 15
RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWNETCONF = 16, 17, 20, 24, 80
AF_UNSPEC, AF_INET, AF_BRIDGE, AF_INET6 = 0, 2, 7, 10
INDEX = 1_000_000  # no host has as many interfaces


def drain(queue: ChangeQueue) -> list[HostChange]:
    changes = []
    while queue:
        changes.append(queue.take())
    return changes


def modified(family: int, table: str, kind: int = NEWRULE) -> bytes:
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


def test_equal_changes_are_merged() -> None:
    queue = ChangeQueue()
    for name in ("a", "b", "a"):
        queue.add(ChangeKind.LINK, name)
    assert drain(queue) == [HostChange(ChangeKind.LINK, "a"), HostChange(ChangeKind.LINK, "b")]


def test_a_consumed_change_can_be_added_again() -> None:
    queue = ChangeQueue()
    queue.add(ChangeKind.LINK, "a")
    assert queue.take() == HostChange(ChangeKind.LINK, "a")
    queue.add(ChangeKind.LINK, "a")
    assert queue.take() == HostChange(ChangeKind.LINK, "a")


def test_a_merged_change_has_the_latest_generation() -> None:
    queue = ChangeQueue()
    queue.add(ChangeKind.FIREWALL, "inet t", 3)
    queue.add(ChangeKind.FIREWALL, "inet t", 5)
    assert drain(queue) == [HostChange(ChangeKind.FIREWALL, "inet t", 5)]


@pytest.mark.parametrize("generations", [(None, 5), (5, None)])
def test_a_merged_change_has_no_generation_if_one_is_unknown(generations: tuple[int | None, ...]) -> None:
    queue = ChangeQueue()
    for number in generations:
        queue.add(ChangeKind.FIREWALL, "inet t", number)
    assert drain(queue) == [HostChange(ChangeKind.FIREWALL, "inet t", None)]


def test_a_loss_replaces_all_waiting_changes() -> None:
    queue = ChangeQueue()
    queue.add(ChangeKind.LINK, "a")
    queue.add_lost()
    queue.add(ChangeKind.LINK, "b")
    assert drain(queue) == [HostChange(ChangeKind.LOST), HostChange(ChangeKind.LINK, "b")]


def test_too_many_changes_become_a_loss() -> None:
    queue = ChangeQueue()
    for number in range(4097):
        queue.add(ChangeKind.LINK, f"veth{number}")
    assert drain(queue) == [HostChange(ChangeKind.LOST)]


def test_taking_from_an_empty_queue_is_an_error() -> None:
    with pytest.raises(KeyError):
        ChangeQueue().take()


def test_a_commit_is_one_change_for_each_table_at_its_end() -> None:
    queue = ChangeQueue()
    decoder = FirewallDecoder(queue)
    decoder.feed(modified(INET, "dockerv6") * 3 + modified(INET, "dockerv6", DELSETELEM) + modified(IP6, "filter"))
    assert (decoder.is_commit_open, drain(queue)) == (True, [])
    decoder.feed(generation(7))
    assert drain(queue) == [
        HostChange(ChangeKind.FIREWALL, "inet dockerv6", 7),
        HostChange(ChangeKind.FIREWALL, "ip6 filter", 7),
    ]


def test_commits_in_one_datagram_keep_their_generations_apart() -> None:
    queue = ChangeQueue()
    FirewallDecoder(queue).feed(modified(INET, "a") + generation(7) + modified(INET, "b") + generation(8))
    assert [change.generation for change in drain(queue)] == [7, 8]


def test_the_end_of_a_commit_closes_it() -> None:
    decoder = FirewallDecoder(ChangeQueue())
    decoder.feed(modified(INET, "dockerv6") + generation(7))
    assert not decoder.is_commit_open


def test_objects_outside_a_commit_have_no_generation() -> None:
    queue = ChangeQueue()
    decoder = FirewallDecoder(queue)
    decoder.feed(modified(5, "ingress"))
    decoder.end_commit()
    assert drain(queue) == [HostChange(ChangeKind.FIREWALL, "netdev ingress")]


def test_other_subsystems_of_nfnetlink_are_ignored() -> None:
    queue = ChangeQueue()
    decoder = FirewallDecoder(queue)
    decoder.feed(message(1 << 8 | NEWRULE, bytes(4) + attribute(1, b"x\0")))
    assert not decoder.is_commit_open


def test_a_link_has_the_name_in_its_message() -> None:
    queue = ChangeQueue()
    RouteDecoder(queue).feed(link("veth1") + link("veth1", RTM_DELLINK) + link("veth2"))
    assert drain(queue) == [HostChange(ChangeKind.LINK, "veth1"), HostChange(ChangeKind.LINK, "veth2")]


def test_later_addresses_and_routes_have_the_links_name_until_it_is_removed() -> None:
    queue = ChangeQueue()
    decoder = RouteDecoder(queue)
    oif = attribute(4, struct.pack("=I", INDEX))
    decoder.feed(link("wan0") + address(0) + route(254, 1, oif) + netconf(AF_INET6, INDEX))
    decoder.feed(link("wan0", RTM_DELLINK) + address(0))
    assert drain(queue) == [
        HostChange(ChangeKind.LINK, "wan0"),
        HostChange(ChangeKind.ADDRESS, "wan0"),
        HostChange(ChangeKind.ROUTE, "wan0"),
        HostChange(ChangeKind.SYSCTL, "wan0"),
        HostChange(ChangeKind.ADDRESS, ""),
    ]


@pytest.mark.parametrize("kind", [RTM_NEWLINK, RTM_DELLINK])
def test_messages_of_family_bridge_are_changes_of_the_port(kind: int) -> None:
    queue = ChangeQueue()
    payload = link("veth0", kind, family=AF_BRIDGE)[16:] + attribute(10, struct.pack("=I", INDEX + 1))
    RouteDecoder(queue).feed(message(kind, payload))
    assert drain(queue) == [HostChange(ChangeKind.LINK, "veth0")]


def test_later_changes_have_the_new_name_of_a_renamed_link() -> None:
    queue = ChangeQueue()
    RouteDecoder(queue).feed(link("eth0") + link("wan0") + address(0))
    assert drain(queue)[-1] == HostChange(ChangeKind.ADDRESS, "wan0")


def test_names_are_forgotten_after_a_loss() -> None:
    queue = ChangeQueue()
    decoder = RouteDecoder(queue)
    decoder.feed(link("eth0"))
    decoder.reset()
    decoder.feed(address(0))
    assert drain(queue)[-1] == HostChange(ChangeKind.ADDRESS, "")


def test_every_next_hop_of_a_route_is_a_change() -> None:
    queue = ChangeQueue()
    hops = b"".join(struct.pack("=HBBi", 8, 0, 0, index) for index in (INDEX, INDEX + 1))
    RouteDecoder(queue).feed(link("a0") + link("b0", index=INDEX + 1) + route(254, 1, attribute(9, hops)))
    assert drain(queue)[2:] == [HostChange(ChangeKind.ROUTE, "a0"), HostChange(ChangeKind.ROUTE, "b0")]


@pytest.mark.parametrize(("table", "route_type"), [(255, 1), (254, 5), (255, 2)])
def test_local_and_multicast_routes_are_ignored(table: int, route_type: int) -> None:
    queue = ChangeQueue()
    RouteDecoder(queue).feed(route(table, route_type))
    assert not queue


def test_a_route_without_an_interface_is_a_change() -> None:
    queue = ChangeQueue()
    RouteDecoder(queue).feed(route(254, 1))
    assert drain(queue) == [HostChange(ChangeKind.ROUTE)]


@pytest.mark.parametrize("route_type", [6, 7, 8, 9])
def test_a_rejecting_route_of_a_delegation_is_a_change(route_type: int) -> None:
    queue = ChangeQueue()
    oif = attribute(4, struct.pack("=I", INDEX))  # loopback
    RouteDecoder(queue).feed(route(254, route_type, oif, length=56, protocol=16))
    assert drain(queue) == [HostChange(ChangeKind.ROUTE, "")]


@pytest.mark.parametrize("route_type", [6, 7, 8, 9])
@pytest.mark.parametrize(("table", "length"), [(254, 0), (254, 65), (52, 128), (0, 3)])
def test_a_rejecting_route_of_any_length_is_a_change(table: int, length: int, route_type: int) -> None:
    """What drops packets for a container, or all that containers send, may be no delegation."""
    queue = ChangeQueue()
    RouteDecoder(queue).feed(route(table, route_type, length=length, protocol=4))
    subject = "" if length == 3 else "lo"
    assert drain(queue) == [HostChange(ChangeKind.ROUTE, subject)]


@pytest.mark.parametrize(("table", "length", "protocol"), [(254, 56, 2), (254, 0, 2), (255, 56, 16), (255, 128, 4)])
def test_other_rejecting_routes_are_ignored(table: int, length: int, protocol: int) -> None:
    queue = ChangeQueue()
    RouteDecoder(queue).feed(route(table, 7, length=length, protocol=protocol))
    assert not queue


def test_link_local_addresses_are_ignored() -> None:
    queue = ChangeQueue()
    RouteDecoder(queue).feed(address(253))
    assert not queue


def test_netconf_of_all_and_default_is_a_change_for_ipv6_only() -> None:
    queue = ChangeQueue()
    RouteDecoder(queue).feed(netconf(AF_INET6, -1) + netconf(AF_INET6, -2) + netconf(AF_INET, -1))
    assert drain(queue) == [HostChange(ChangeKind.SYSCTL, "all"), HostChange(ChangeKind.SYSCTL, "default")]


@given(st.sampled_from([RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWNETCONF]), st.binary(max_size=40))
def test_damaged_messages_are_tolerated(kind: int, payload: bytes) -> None:
    RouteDecoder(ChangeQueue()).feed(message(kind, payload))
    FirewallDecoder(ChangeQueue()).feed(message(10 << 8 | kind, payload) + message(10 << 8 | NEWGEN, payload))
