from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

import pytest

from dockerv6.dockerd.model import Container, ContainerEndpoint
from dockerv6.hostnet.model import Interface, ProxyNeighbour, RouteProtocol
from dockerv6.planning.firewall.contributions import ProxiedSubnet
from dockerv6.planning.host.ndp_proxy import (
    ndp_proxy_findings,
    ndp_proxy_steps,
    proxying_interfaces,
    release_proxy_entries,
    required_entries,
    unclaimed_proxy_entries,
)
from dockerv6.planning.inputs import HostView
from dockerv6.planning.steps import AddProxyNeighbour, RemoveProxyNeighbour, SetSysctl
from tests.unit.planning.scene import reasons, route, running

LINK = "2001:db8:1::/64"
PART = IPv6Network("2001:db8:1:0:5::/80")
A, B = PART[0x10], PART[0x11]
BLOG = ProxiedSubnet("blog", PART)
SWITCH = "net/ipv6/conf/eth0/proxy_ndp"


def nic(name: str, *addresses: str, index: int = 2, **changes: object) -> Interface:
    held = tuple(IPv6Interface(a) for a in addresses)
    return replace(Interface(index, name, "", up=True, mtu=1500, addresses=held), **changes)  # type: ignore[arg-type]


ETH0 = nic("eth0", "2001:db8:1::2/64")
ETH1 = nic("eth1", "2001:db8:2::2/64", index=3)


def host(*interfaces: Interface, proxies: tuple[ProxyNeighbour, ...] = (), **changes: object) -> HostView:
    """A host whose proxy_ndp is on wherever there is IPv6."""
    bridge = nic("v6-blog", f"{PART[1]}/80", index=9, kind="bridge")
    there = {i.name: i for i in (interfaces or (ETH0, ETH1))}
    view = HostView(
        interfaces={**there, "v6-blog": bridge},
        routes=(route("::/0"),),
        proxies=frozenset(proxies),
        proxy_ndp=dict.fromkeys(there, "1"),
    )
    return replace(view, **changes)  # type: ignore[arg-type]


def at(address: IPv6Address, network: str = "net") -> Container:
    return running(f"c{int(address):x}", ContainerEndpoint(network, network, address))


def ours(address: IPv6Address | str, interface: str = "eth0") -> ProxyNeighbour:
    return ProxyNeighbour(interface, IPv6Address(address), ours=True)


def theirs(address: IPv6Address, interface: str = "eth0") -> ProxyNeighbour:
    return ProxyNeighbour(interface, address)


def spots(answers: ProxiedSubnet, *addresses: IPv6Address, on: HostView) -> list[tuple[str, str]]:
    return sorted((where, str(a)) for where, a in required_entries([answers], [at(a) for a in addresses], on))


class TestInterface:
    def test_on_the_interface_that_holds_the_prefix_which_covers_the_subnet(self) -> None:
        assert spots(BLOG, B, A, on=host()) == [("eth0", str(A)), ("eth0", str(B))]

    def test_the_longest_prefix_decides(self) -> None:
        closer = nic("eth1", f"{PART[2]}/72", index=3)
        assert spots(BLOG, A, on=host(ETH0, closer)) == [("eth1", str(A))]

    def test_of_two_interfaces_on_one_link_the_one_with_the_default_route(self) -> None:
        second = nic("eth1", "2001:db8:1::3/64", index=3)
        assert spots(BLOG, A, on=host(ETH0, second, routes=(route("::/0", "eth1"),))) == [("eth1", str(A))]
        assert spots(BLOG, A, on=host(second, ETH0, routes=())) == [("eth0", str(A))]

    def test_an_advertised_prefix_without_an_address_counts(self) -> None:
        single = nic("eth0", "2001:db8:1::2/128")
        assert spots(BLOG, A, on=host(single)) == []
        assert spots(BLOG, A, on=host(single, routes=(route(LINK),))) == [("eth0", str(A))]

    def test_a_route_through_a_router_is_not_on_link(self) -> None:
        via = host(nic("eth0"), routes=(route("2001:db8::/32", protocol=RouteProtocol.STATIC), route("::/0")))
        assert spots(BLOG, A, on=via) == []

    @pytest.mark.parametrize(
        "other",
        [
            nic("lo", "2001:db8:1::2/64", index=1),
            nic("v6-shop", "2001:db8:1::2/64", kind="bridge"),
            nic("wg0", "2001:db8:1::2/64", kind="wireguard"),
            nic("dummy0", "2001:db8:1::2/64", kind="dummy"),
            nic("eth0", "2001:db8:1::2/64", master=7),
            nic("eth0", "2001:db8:1::2/64", up=False),
        ],
        ids=lambda i: f"{i.name}-{i.kind}",
    )
    def test_interfaces_without_neighbour_discovery_have_no_entries(self, other: Interface) -> None:
        assert spots(BLOG, A, on=host(other)) == []

    def test_a_bridge_that_leads_outside_is_an_uplink_like_any_other(self) -> None:
        lan = nic("br0", "2001:db8:1::2/64", kind="bridge")
        assert spots(BLOG, A, on=host(lan, routes=(route("::/0", "br0"),))) == [("br0", str(A))]

    def test_the_interface_that_was_asked_for_needs_no_prefix(self) -> None:
        assert spots(replace(BLOG, interface="eth1"), A, on=host()) == [("eth1", str(A))]

    def test_not_where_the_interface_is_missing_down_or_without_ipv6(self) -> None:
        asked = replace(BLOG, interface="eth1")
        assert spots(asked, A, on=host(ETH0)) == []
        assert spots(asked, A, on=host(ETH0, replace(ETH1, up=False))) == []
        assert spots(asked, A, on=host(proxy_ndp={"eth0": "1"})) == []


class TestAddresses:
    def test_only_containers_of_the_subnet(self) -> None:
        assert spots(BLOG, A, IPv6Address("2001:db8:1::77"), on=host()) == [("eth0", str(A))]
        assert (
            required_entries([BLOG], [running("web"), running("db", ContainerEndpoint("n", "n"))], host())
            == frozenset()
        )

    def test_translated_addresses_keep_their_suffix_under_every_prefix(self) -> None:
        inner = IPv6Network("fd00:1::/64")
        outer = (IPv6Network("2001:db8:1::/64"), IPv6Network("2001:db8:2::/64"))
        answers = ProxiedSubnet("blog", inner, external_prefixes=outer)
        assert spots(answers, inner[0x10], on=host()) == [("eth0", "2001:db8:1::10"), ("eth1", "2001:db8:2::10")]

    def test_the_hosts_own_addresses_need_no_entries(self) -> None:
        inner = IPv6Network("fd00:1::/64")
        answers = ProxiedSubnet("blog", inner, external_prefixes=(IPv6Network(LINK),))
        assert spots(answers, inner[2], on=host()) == []


class TestSteps:
    def test_the_sysctl_comes_first_then_the_missing_entries_sorted(self) -> None:
        found = ndp_proxy_steps([BLOG], [BLOG], [at(B), at(A)], host(proxy_ndp={"eth0": "0", "eth1": "0"}))
        (switch, *adds) = found
        assert isinstance(switch, SetSysctl)
        assert (switch.name, switch.value, switch.prior) == (SWITCH, "1", "0")
        assert adds == [AddProxyNeighbour("eth0", A), AddProxyNeighbour("eth0", B)]

    def test_the_host_is_ready_before_the_first_container_is_there(self) -> None:
        (switch,) = ndp_proxy_steps([BLOG], [BLOG], [], host(proxy_ndp={"eth0": "0"}))
        assert isinstance(switch, SetSysctl)

    def test_nothing_to_do_in_sync(self) -> None:
        assert ndp_proxy_steps([BLOG], [BLOG], [at(A)], host(proxies=(ours(A),))) == ()

    def test_an_entry_of_another_program_serves_and_stays(self) -> None:
        assert ndp_proxy_steps([BLOG], [BLOG], [at(A)], host(proxies=(theirs(A), theirs(B)))) == ()

    def test_an_entry_goes_with_its_container(self) -> None:
        found = ndp_proxy_steps([BLOG], [BLOG], [at(A)], host(proxies=(ours(A), ours(B))))
        assert found == (RemoveProxyNeighbour("eth0", B),)

    def test_an_entry_moves_to_the_interface_where_it_is_wanted(self) -> None:
        found = ndp_proxy_steps([BLOG], [BLOG], [at(A)], host(proxies=(ours(A, "eth1"),)))
        assert found == (AddProxyNeighbour("eth0", A), RemoveProxyNeighbour("eth1", A))

    def test_entries_outside_the_resources_prefixes_are_not_its_business(self) -> None:
        assert ndp_proxy_steps([BLOG], [BLOG], [], host(proxies=(ours("2001:db8:1::77"),))) == ()

    def test_an_entry_of_a_subnet_within_a_translated_prefix_is_left_to_its_owner(self) -> None:
        whole = ProxiedSubnet("shop", IPv6Network("fd00:1::/64"), external_prefixes=(IPv6Network(LINK),))
        view = host(proxies=(ours(A), ours(B)))
        found = ndp_proxy_steps([whole], [whole, BLOG], [at(A)], view)
        assert found == (RemoveProxyNeighbour("eth0", B),)

    def test_nothing_is_removed_while_the_containers_are_unknown(self) -> None:
        assert ndp_proxy_steps([BLOG], [BLOG], None, host(proxies=(ours(A),))) == ()

    @pytest.mark.parametrize("view", [host(nic("eth0")), host(replace(ETH0, up=False)), host(ETH1)])
    def test_entries_stay_while_their_interface_is_away(self, view: HostView) -> None:
        view = replace(view, proxies=frozenset({ours(A), ours(B)}))
        assert ndp_proxy_steps([BLOG], [BLOG], [at(A)], view) == (RemoveProxyNeighbour("eth0", B),)

    def test_entries_of_a_former_prefix_stay_for_as_long_as_it_is_one(self) -> None:
        inner = IPv6Network("fd00:1::/64")
        old, new = IPv6Network("2001:db8:9::/64"), IPv6Network(LINK)
        view = host(proxies=(ours(old[5]), ours(new[5])))
        both = ProxiedSubnet("blog", inner, external_prefixes=(new, old))
        assert ndp_proxy_steps([both], [both], [at(inner[5])], view) == ()
        alone = replace(both, external_prefixes=(new,))
        assert ndp_proxy_steps([alone], [alone], [at(inner[5])], view) == ()
        assert unclaimed_proxy_entries(view, [alone]) == (
            RemoveProxyNeighbour("eth0", old[5], "no resource asks for it"),
        )

    def test_a_resource_without_proxied_subnets_needs_nothing(self) -> None:
        assert ndp_proxy_steps([], [BLOG], [at(A)], host(proxies=(ours(A), ours(B)))) == ()


class TestRemoval:
    def test_unclaimed_entries_are_ours_outside_all_prefixes(self) -> None:
        view = host(proxies=(ours(A), ours("2001:db8:1::77"), theirs(IPv6Address("2001:db8:1::78"))))
        assert [str(s.address) for s in unclaimed_proxy_entries(view, [BLOG])] == ["2001:db8:1::77"]

    def test_without_resources_all_our_entries_are_unclaimed(self) -> None:
        view = host(proxies=(ours(B), ours(A, "eth1"), ours(A), theirs(PART[0x12])))
        assert [(s.interface, s.address) for s in unclaimed_proxy_entries(view, [])] == [
            ("eth0", A),
            ("eth0", B),
            ("eth1", A),
        ]

    def test_a_resource_takes_its_entries_along_but_those_that_others_need(self) -> None:
        whole = ProxiedSubnet("shop", IPv6Network("fd00:1::/64"), external_prefixes=(IPv6Network(LINK),))
        view = host(proxies=(ours(A), ours(B), theirs(PART[0x12])))
        assert [s.address for s in release_proxy_entries([BLOG], [], [at(A)], view)] == [A, B]
        assert [s.address for s in release_proxy_entries([whole], [BLOG], [at(A)], view)] == [B]
        assert release_proxy_entries([BLOG], [], [], host()) == ()

    def test_an_interface_is_needed_while_it_is_asked_for_or_has_entries(self) -> None:
        assert proxying_interfaces([BLOG], host()) == {"eth0"}
        assert proxying_interfaces([replace(BLOG, interface="eth1")], host(proxies=(ours(A),))) == {"eth0", "eth1"}
        assert proxying_interfaces([], host(proxies=(ours(A),))) == frozenset()
        away = host(nic("eth0"), proxies=(ours(A),))
        assert proxying_interfaces([BLOG], away) == {"eth0"}


class TestFindings:
    def problems_of(self, answers: ProxiedSubnet, *addresses: IPv6Address, on: HostView) -> list[tuple[str, str]]:
        found = ndp_proxy_findings([answers], [at(a) for a in addresses], on)
        assert not any(f.blocks for f in found)
        return reasons(found)

    def test_a_host_in_sync_or_unobserved_gives_no_findings(self) -> None:
        assert self.problems_of(BLOG, A, on=host()) == []
        assert self.problems_of(BLOG, A, on=HostView()) == []

    def test_no_prefix_covers_the_subnet(self) -> None:
        (found,) = ndp_proxy_findings([BLOG], [], host(ETH1))
        assert (found.reason, found.unknown) == ("NotOnLink", False)
        assert f"covers {PART}" in found.message
        assert "eth1 (2001:db8:2::/64)" in found.message
        assert "ndpProxy.interface" in found.message
        (found,) = ndp_proxy_findings([BLOG], [], host(replace(ETH0, up=False)))
        assert "no interface that is up has an on-link prefix" in found.message

    @pytest.mark.parametrize(
        ("view", "expected"),
        [
            (host(ETH0), "there is no interface eth1 (there are: eth0, v6-blog)"),
            (host(ETH0, replace(ETH1, up=False)), "ip link set eth1 up"),
            (host(proxy_ndp={}), "interface eth1 has no IPv6"),
            (host(ETH0, replace(ETH1, master=2)), "interface eth1 is a port of eth0; name that one"),
            (host(ETH0, replace(ETH1, kind="bridge")), "eth1 is a bridge without a default route"),
        ],
    )
    def test_the_interface_that_was_asked_for_is_of_no_use(self, view: HostView, expected: str) -> None:
        (found,) = ndp_proxy_findings([replace(BLOG, interface="eth1")], [], view)
        assert (found.condition, found.reason, found.unknown) == ("HostReady", "HostNotReady", False)
        assert expected in found.message

    def test_the_host_has_a_containers_address(self) -> None:
        inner = IPv6Network("fd00:1::/64")
        answers = ProxiedSubnet("blog", inner, external_prefixes=(IPv6Network(LINK),))
        (found,) = ndp_proxy_findings([answers], [at(inner[2]), at(inner[3])], host())
        assert found.reason == "DuplicateAddress"
        assert "2001:db8:1::2, which fd00:1::2 is translated to, is the host's own on eth0" in found.message

    def test_a_container_address_of_another_host_is_reported(self) -> None:
        failing = nic("eth0", "2001:db8:1::2/64", f"{A}/64", tentative=frozenset({A}), dad_failed=frozenset({A}))
        (found,) = ndp_proxy_findings([BLOG], [at(A)], host(failing))
        assert found.reason == "DuplicateAddress"
        assert f"{A} is used by another host on eth0" in found.message
        assert ndp_proxy_steps([BLOG], [BLOG], [at(A)], host(failing)) == ()

    def test_many_duplicates_are_counted_rather_than_listed(self) -> None:
        taken = tuple(PART[n] for n in range(16, 21))
        (found,) = ndp_proxy_findings([BLOG], [at(a) for a in taken], host(nic("eth0", *(f"{a}/64" for a in taken))))
        assert "and 2 more" in found.message

    def test_a_network_with_the_whole_prefix_of_its_uplink_hides_the_neighbours(self) -> None:
        whole = ProxiedSubnet("blog", IPv6Network(LINK))
        (found,) = ndp_proxy_findings([whole], [], host())
        assert (found.reason, found.unknown) == ("PrefixConflict", True)
        assert "such as a /80" in found.message
        assert (
            self.problems_of(
                ProxiedSubnet("blog", IPv6Network("fd00:1::/64"), external_prefixes=(IPv6Network(LINK),)), on=host()
            )
            == []
        )

    def test_former_prefixes_give_no_findings(self) -> None:
        inner = IPv6Network("fd00:1::/64")
        outer = (IPv6Network(LINK), IPv6Network("2001:db8:9::/64"))
        assert self.problems_of(ProxiedSubnet("blog", inner, external_prefixes=outer), inner[5], on=host()) == []

    def test_equal_findings_are_reported_once(self) -> None:
        asked = replace(BLOG, interface="eth7")
        again = replace(asked, subnet=IPv6Network("2001:db8:1:0:6::/80"))
        assert len(ndp_proxy_findings([asked, again], [], host())) == 1
