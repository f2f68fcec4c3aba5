"""What `PacketWalks` remembers between walks, with one network, br-blog, on a host that is made step by step."""

from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network

from dockerv6.controller.packet_walk import PacketWalks, paths_of, without_route
from dockerv6.firewall.model import DEFAULT_MARK, FilterVariant
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY
from dockerv6.firewall.walk.packet import Flow, first_packet
from dockerv6.firewall.walk.verdicts import FilterPlace, FlowVerdict
from dockerv6.hostnet.model import Interface, Route, RouteProtocol
from dockerv6.planning.inputs import HostView
from tests.fakes.firewall.backend import FakeHostFilter
from tests.unit.firewall.intents import BLOG, SHOP, intent

ADDRESS = IPv6Interface((BLOG.subnet[1], BLOG.subnet.prefixlen))
TABLE = render(intent(BLOG))
ROUTE = Route(BLOG.subnet, BLOG.bridge, RouteProtocol.KERNEL, table=254)
OURS = FilterPlace(FilterVariant.NFTABLES, "inet", "dockerv6", "forward", "handle 9", "forward", "forward")
FOREIGN = FilterPlace(FilterVariant.NFTABLES, "inet", "site", "forward", "handle 4", "forward", "forward")


def host(*, up: bool = True, routed: bool = True, bridge: bool = True) -> HostView:
    link = Interface(7, BLOG.bridge, "bridge", up=up, mtu=1500, addresses=(ADDRESS,))
    return HostView(interfaces={link.name: link} if bridge else {}, routes=(ROUTE,) if routed else ())


async def walked(*views: HostView) -> tuple[PacketWalks, list[str]]:
    walks = PacketWalks(FakeHostFilter(), DEFAULT_MARK)
    heard: list[str] = []
    walks.on_owner_changed(heard.append)
    for view in views:
        await walks.follow(TABLE, view)
    return walks, heard


async def test_a_bridge_that_is_not_complete_was_not_followed() -> None:
    for view in (host(bridge=False), host(up=False), host(routed=False)):
        walks, heard = await walked(view)
        assert heard == []
        assert walks.unfollowed(TABLE, host()) == {"blog"}


async def test_a_bridge_that_is_down_or_gone_is_another_problem() -> None:
    walks, _ = await walked()
    for view in (host(bridge=False), host(up=False)):
        assert walks.unfollowed(TABLE, view) == frozenset()


async def test_its_owner_is_notified_once() -> None:
    walks, heard = await walked(host(), host(), host(up=False), host(bridge=False))
    assert heard == ["blog"]
    assert walks.unfollowed(TABLE, host()) == frozenset()


async def test_a_bridge_whose_route_stays_missing_is_followed_and_its_owner_gets_the_route() -> None:
    bare = host(routed=False)
    lacking = without_route(TABLE, bare)
    assert {each[1:] for each in lacking} == {(str(BLOG.subnet), BLOG.bridge)}
    walks, heard = await walked()
    await walks.follow(TABLE, bare, lacking=lacking)
    assert walks.unfollowed(TABLE, bare) == frozenset()
    assert walks.unrouted == {(str(BLOG.subnet), BLOG.bridge)}
    await walks.follow(TABLE, host())
    assert (walks.unrouted, heard) == (frozenset(), ["blog", "blog"])
    await walks.follow(TABLE, bare, lacking=lacking)  # deleted later
    assert heard == ["blog"] * 3


async def test_a_bridge_without_addresses_has_no_routes_to_wait_for() -> None:
    """As with the gateway mode `isolated` of the engine."""
    bare = host(routed=False)
    link = replace(bare.interfaces[BLOG.bridge], addresses=())
    walks, _ = await walked(replace(bare, interfaces={link.name: link}))
    assert walks.unfollowed(TABLE, host()) == frozenset()


async def test_another_subnet_bridge_or_owner_was_not_followed() -> None:
    walks, _ = await walked(host())
    for other in (replace(BLOG, subnet=SHOP.subnet), replace(BLOG, owner="mail")):
        assert walks.unfollowed(render(intent(other)), host()) == {other.owner}
    assert walks.unfollowed(render(intent(BLOG, SHOP)), host()) == frozenset()  # without its bridge


async def test_an_owner_whose_rules_were_removed_is_new_when_they_come_back() -> None:
    walks, _ = await walked(host())
    await walks.follow(EMPTY, host())
    assert walks.unfollowed(TABLE, host()) == {"blog"}


async def test_owners_that_were_ready_are_relied_on_until_the_first_walk() -> None:
    walks, _ = await walked()
    walks.recall(["blog"])
    assert walks.unfollowed(TABLE, host()) == frozenset()
    await walks.follow(EMPTY, host())
    assert walks.unfollowed(TABLE, host()) == {"blog"}


async def test_an_owner_is_notified_of_the_first_walk_with_a_new_container() -> None:
    walks, heard = await walked(host())
    for containers in ({BLOG.subnet[9]}, {BLOG.subnet[9]}, {BLOG.subnet[9], SHOP.subnet[9]}, set()):
        await walks.follow(TABLE, host(), frozenset(containers))
    assert heard == ["blog", "blog"]


async def test_what_our_own_table_dropped_says_nothing_about_another_one() -> None:
    there = FakeHostFilter()
    walks = PacketWalks(there, DEFAULT_MARK)
    view, flow = host(), Flow("blog", "connections", BLOG.subnet[2], BLOG.subnet[3], BLOG.bridge, 6, 443)
    packet = first_packet(flow, paths_of(view, frozenset()))
    uplink = Interface(2, "eth0", "", up=True, mtu=1500)
    default = Route(IPv6Network("::/0"), "eth0", RouteProtocol.STATIC, table=254)
    view = replace(view, interfaces={**view.interfaces, "eth0": uplink}, routes=(*view.routes, default))
    for place, kept in ((OURS, False), (FOREIGN, True)):
        there.verdict = FlowVerdict(passes=False, place=place, packet=packet)
        await walks.follow(TABLE, view)
        assert walks.finds_drops
        assert walks.problems(TABLE)["blog"]
        assert walks.unfollowed(TABLE, view) == frozenset()
        other = render(intent(BLOG, SHOP))
        assert bool(walks.problems(other)["blog"]) is kept
        assert walks.unfollowed(other, view) == (frozenset() if kept else {"blog"})
