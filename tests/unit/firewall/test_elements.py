from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import islice

import pytest

from dockerv6.firewall import elements
from dockerv6.firewall.elements import element_sets
from dockerv6.firewall.expr import Element, KeyType
from dockerv6.firewall.model import FirewallIntent, Ingress, NetworkIntent, PortIntent
from dockerv6.lib.networking import InterfaceName, TransportProtocol
from tests.unit.firewall.intents import (
    BLOG,
    DNS,
    EVERYTHING,
    FIXED,
    FOREIGN,
    GUARDED,
    GUARDED_AT,
    HOME,
    LOCAL,
    OPEN,
    PLAIN,
    ROAD,
    SHOP,
    VAULT,
    WEB,
)

TARGET = "fd12:3456:789a:1::2/128"
OF_BRIDGE = {elements.OWN_BRIDGE, elements.VALIDATED, elements.VALID_SOURCES}
"""The sets with the bridge of every network."""


def found(asked: FirewallIntent) -> dict[str, set[str]]:
    """The elements of the sets and maps that have any, without those that every table has."""
    sets = element_sets(asked.networks, asked.ports, asked)
    return {
        each.name: {str(element) for element in each.elements}
        for each in sets
        if each.elements and each.name != elements.LINK_SOURCES
    }


def of(*networks: NetworkIntent, ports: tuple[PortIntent, ...] = ()) -> dict[str, set[str]]:
    return found(FirewallIntent(networks, ports=ports))


def test_a_network_without_interfaces_leaves_through_any() -> None:
    assert of(BLOG) == {
        elements.OWN_BRIDGE: {"br-blog . br-blog"},
        elements.NETWORKS: {f"{BLOG.subnet} . br-blog"},
        elements.EGRESS_ANY: {str(BLOG.subnet)},
        elements.VALIDATED: {"br-blog"},
        elements.VALID_SOURCES: {f"br-blog . {BLOG.subnet}"},
    }


def test_a_network_with_interfaces_leaves_through_those_alone() -> None:
    there = of(SHOP)
    assert there[elements.EGRESS_VIA] == {f"{SHOP.subnet} . eth0", f"{SHOP.subnet} . wg0"}
    assert there[elements.EGRESS_PINNED] == {str(SHOP.subnet)}
    assert elements.EGRESS_ANY not in there


def test_every_mode_but_none_has_a_set_and_lets_packets_out() -> None:
    for network, how in (
        (ROAD, {elements.ROUTED: {str(ROAD.subnet)}}),
        (FIXED, {elements.SNAT_TO: {f"{FIXED.subnet} : 2001:db8::7/128"}}),
        (
            HOME,
            {elements.TRANSLATED: {str(HOME.subnet)}, elements.EXTERNAL: {"2001:db8:8:8::/64", "2001:db8:8:7::/64"}},
        ),
        (BLOG, {}),
    ):
        modes = {elements.ROUTED, elements.SNAT_TO, elements.TRANSLATED, elements.EXTERNAL}
        there = of(replace(network, egress_interfaces=(InterfaceName("eth0"),)))
        assert {name: there[name] for name in modes & there.keys()} == how
        assert there[elements.EGRESS_PINNED] == {str(network.subnet)}
        assert there[elements.EGRESS_VIA] == {f"{network.subnet} . eth0"}


@pytest.mark.parametrize("lacking", [replace(FIXED, snat_address=None), replace(HOME, external_prefixes=()), PLAIN])
def test_a_mode_without_its_address_or_prefix_lets_nothing_out(lacking: NetworkIntent) -> None:
    assert set(of(lacking)) - {elements.INGRESS_PORT} == OF_BRIDGE | {elements.NETWORKS}


def test_of_an_on_link_prefix_only_named_addresses_lead_in() -> None:
    addresses = (
        HOME.external_prefixes[0][2],
        HOME.external_prefixes[1][2],
        HOME.external_prefixes[0][2],
        IPv6Address("2001:db8:bad::2"),
    )
    there = of(replace(HOME, external_addresses=addresses))
    assert there[elements.EXTERNAL] == {"2001:db8:8:8::2/128", "2001:db8:8:7::2/128"}
    assert elements.EXTERNAL not in of(replace(HOME, external_addresses=()))
    assert elements.TRANSLATED in of(replace(HOME, external_addresses=()))


def test_an_internal_network_has_no_external_prefix() -> None:
    assert set(of(replace(HOME, internal=True))) == OF_BRIDGE | {elements.INTERNAL}


def test_addresses_of_the_host_have_no_owner() -> None:
    sets = {each.name: each.elements for each in element_sets((), (), EVERYTHING)}
    assert sets[elements.EXTERNAL_HOST] == {Element(("2001:db8:8:8::53/128",))}


def test_its_own_bridge_is_no_egress_interface() -> None:
    there = of(replace(SHOP, egress_interfaces=(InterfaceName("br-shop"),)))
    assert elements.EGRESS_VIA not in there
    assert there[elements.EGRESS_PINNED] == {str(SHOP.subnet)}


def test_overlapping_destinations_are_merged() -> None:
    assert of(SHOP)[elements.EXCLUDED] == {f"{SHOP.subnet} . 2001:db8:aaaa::/48", f"{SHOP.subnet} . fc00::/7"}


def test_an_untranslated_network_is_still_filtered() -> None:
    assert set(of(PLAIN)) == OF_BRIDGE | {elements.NETWORKS}


def test_an_internal_network_has_elements_for_its_bridge_only() -> None:
    assert set(of(VAULT)) == OF_BRIDGE | {elements.INTERNAL}
    assert set(of(replace(VAULT, icc=False))) == OF_BRIDGE | {elements.INTERNAL, elements.NO_ICC}


def test_isolation_and_icc_are_keyed_by_bridge() -> None:
    there = of(OPEN)
    assert there[elements.OPEN] == {"br-open"}
    assert there[elements.NO_ICC] == {"br-open . br-open"}


def test_ingress_is_keyed_by_target_first() -> None:
    there = of(OPEN)
    assert there[elements.INGRESS_ANY] == {f"{OPEN.subnet} . 2001:db8:1::/48"}
    assert there[elements.INGRESS_PORT] == {
        "fd12:3456:789a:5::8/128 . ::/0 . tcp . 80",
        "fd12:3456:789a:5::8/128 . ::/0 . sctp . 9",
    }


def test_duplicate_ingress_is_one_element() -> None:
    wide, narrow = Ingress(), Ingress(sources=(IPv6Network("2001:db8::/32"),))
    assert of(replace(BLOG, ingress=(narrow, wide, narrow)))[elements.INGRESS_ANY] == {f"{BLOG.subnet} . ::/0"}


def test_ingress_to_another_subnet_is_left_out() -> None:
    elsewhere = Ingress(targets=(SHOP.subnet,))
    assert elements.INGRESS_ANY not in of(replace(BLOG, ingress=(elsewhere,)))


def test_a_port_of_all_addresses_is_two_elements_and_one_for_the_loopback_address() -> None:
    assert of(ports=(WEB,)) == {
        elements.PUBLISHED: {f"{TARGET} . tcp . 80"},
        elements.PUBLISHED_TO: {f"tcp . 8080 : {TARGET}"},
        elements.PUBLISHED_PORT: {"tcp . 8080 : 80"},
        elements.LOOPBACK: {"tcp . 8080 : fd12:3456:789a:1::1/128"},
    }


def test_a_port_of_one_address_is_keyed_by_it() -> None:
    assert of(ports=(DNS,)) == {
        elements.PUBLISHED: {f"{TARGET} . udp . 5353"},
        elements.PUBLISHED_AT_TO: {f"udp . 53 . 2001:db8::53/128 : {TARGET}"},
        elements.PUBLISHED_AT_PORT: {"udp . 53 . 2001:db8::53/128 : 5353"},
    }
    assert of(ports=(LOCAL,))[elements.LOOPBACK] == {"tcp . 9000 : fd12:3456:789a:1::1/128"}


def test_without_a_gateway_the_loopback_address_has_no_port() -> None:
    assert elements.LOOPBACK not in of(ports=(FOREIGN,))


def test_an_allow_list_names_the_port_and_each_source() -> None:
    there = of(ports=(GUARDED, GUARDED_AT))
    assert there[elements.RESTRICTED] == {"tcp . 22 . ::/0", "tcp . 2222 . 2001:db8::53/128"}
    assert there[elements.ALLOWED] == {
        "tcp . 22 . ::/0 . 2001:db8:7::/48",
        "tcp . 22 . ::/0 . 2001:db8::9/128",
        "tcp . 2222 . 2001:db8::53/128 . 2001:db8:7::/48",
        "tcp . 2222 . 2001:db8::53/128 . 2001:db8::9/128",
    }


def test_of_two_claims_for_a_port_the_first_owner_by_name_gets_it() -> None:
    other = replace(WEB, owner="abc", target=IPv6Address("fd12:3456:789a:2::9"), target_port=81)
    there = of(ports=(WEB, other))
    assert there[elements.PUBLISHED_TO] == {"tcp . 8080 : fd12:3456:789a:2::9/128"}
    assert there[elements.PUBLISHED_PORT] == {"tcp . 8080 : 81"}


def test_allow_lists_of_two_claims_for_a_port_never_overlap() -> None:
    for port in (GUARDED, GUARDED_AT):
        wider = replace(port, sources=(IPv6Network("2001:db8::/32"),))
        assert of(ports=(port, wider)) == of(ports=(port,))


def test_a_port_of_one_address_and_of_all_exclude_one_another() -> None:
    single = replace(GUARDED, host_address=IPv6Address("2001:db8::53"))
    for first, second in ((GUARDED, single), (single, GUARDED)):
        there = of(ports=(second, replace(first, owner="abc")))
        assert len(there[elements.RESTRICTED]) == 1
        assert there == of(ports=(first,))


def test_two_addresses_may_have_the_same_port() -> None:
    other = replace(DNS, host_address=IPv6Address("2001:db8::54"), target=IPv6Address("fd12:3456:789a:2::9"))
    assert len(of(ports=(DNS, other))[elements.PUBLISHED_AT_TO]) == 2


def test_uplink_and_guest_bridges_have_no_owner() -> None:
    asked = FirewallIntent((BLOG,), uplink_bridges=("br0",), guest_bridges=("br-blog", "virbr0"))
    sets = {each.name: each.elements for each in element_sets((), (), asked)}
    assert sets[elements.UPLINK_BRIDGES] == {Element(("br0",))}
    assert sets[elements.GUEST_BRIDGES] == {Element(("br-blog",)), Element(("virbr0",))}


def test_a_prefix_that_starts_a_key_belongs_to_one_network() -> None:
    """The owner whose elements conflict with a kept owner's."""
    for each in element_sets(EVERYTHING.networks, EVERYTHING.ports, EVERYTHING):
        if each.key[0] is KeyType.PREFIX:
            firsts = {IPv6Network(element.key[0]) for element in each.elements}
            mine = [p for net in EVERYTHING.networks for p in (net.subnet, *net.external_prefixes)] + [
                IPv6Network(address) for address in EVERYTHING.host_addresses
            ]
            if each.name != elements.LINK_SOURCES:
                assert all(any(first.subnet_of(prefix) for prefix in mine) for first in firsts)


def test_sources_are_validated_on_every_bridge_that_does_not_opt_out_or_lead_outside() -> None:
    opted_out = replace(SHOP, source_validation=False)
    there = found(FirewallIntent((BLOG, opted_out, VAULT, OPEN), uplink_bridges=("br-open",)))
    assert there[elements.VALIDATED] == {"br-blog", "br-vault"}
    assert f"br-vault . {VAULT.subnet}" in there[elements.VALID_SOURCES]


def test_every_table_accepts_unspecified_and_link_local_sources() -> None:
    sets = {each.name: each.elements for each in element_sets((), (), FirewallIntent())}
    assert sets[elements.LINK_SOURCES] == {Element(("::/128",)), Element(("fe80::/10",))}


def test_every_element_has_a_part_for_each_of_its_sets_key_and_a_value_in_maps() -> None:
    for each in element_sets(EVERYTHING.networks, EVERYTHING.ports, EVERYTHING):
        for element in each.elements:
            assert len(element.key) == len(each.key)
            assert bool(element.value) is (each.data is not None)


def test_protocols_are_written_by_name() -> None:
    assert {str(each) for each in TransportProtocol} == {"tcp", "udp", "sctp"}


SOURCES = tuple(IPv6Network((0x20010DB8 << 96 | each << 81, 48)) for each in range(1000))


def test_ports_with_the_same_rules_have_the_same_sources() -> None:
    ports = tuple((TransportProtocol.TCP, number) for number in range(1, 41))
    rules = (Ingress(SOURCES, ports=ports), Ingress(SOURCES[:1], ports=ports[:1]))
    assert len(of(replace(BLOG, ingress=rules))[elements.INGRESS_PORT]) == 40 * 1000


@pytest.mark.parametrize(
    ("network", "oversized"),
    [
        (
            replace(BLOG, ingress=(Ingress(SOURCES, ports=tuple((TransportProtocol.TCP, n) for n in range(1, 66))),)),
            False,
        ),
        (
            replace(BLOG, ingress=(Ingress(SOURCES, ports=tuple((TransportProtocol.TCP, n) for n in range(1, 67))),)),
            True,
        ),
        (replace(BLOG, ingress=(Ingress(SOURCES, tuple(map(IPv6Network, islice(BLOG.subnet, 66)))),)), True),
        (replace(BLOG, ingress=(Ingress(SOURCES * 70),)), False),
        (replace(BLOG, egress_exclude=SOURCES * 65), False),
        (replace(BLOG, egress_exclude=SOURCES * 66), True),
    ],
    ids=["65 ports", "66 ports", "66 containers", "the same sources", "65,000 exclusions", "66,000 exclusions"],
)
def test_an_owner_with_too_many_elements_is_found(network: NetworkIntent, *, oversized: bool) -> None:
    assert elements.oversized_owners((network, SHOP), ()) == ({"blog"} if oversized else set())


def test_the_elements_of_all_networks_and_ports_of_an_owner_count() -> None:
    third = tuple((TransportProtocol.TCP, number) for number in range(1, 31))
    networks = [
        replace(BLOG, subnet=IPv6Network(f"fd00:0:0:{each}::/64"), ingress=(Ingress(SOURCES, ports=third),))
        for each in range(3)
    ]
    assert elements.oversized_owners(networks[:2], ()) == set()
    assert elements.oversized_owners(networks, ()) == {"blog"}
    ports = [replace(WEB, port=number, sources=SOURCES) for number in range(1, 67)]
    assert elements.oversized_owners((), ports) == {WEB.owner}
    assert elements.oversized_owners((), ports[:60]) == set()
