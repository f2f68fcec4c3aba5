"""Routes and rules that drop packets of a network: real packets, what is found, and the commands of the message."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.api.traffic import Egress
from dockerv6.controller.world import World
from dockerv6.dockerd.model import BRIDGE_NAME
from dockerv6.hostnet.linux import LinuxHostNet
from dockerv6.planning.addressing.route_conflicts import route_findings
from dockerv6.planning.host.bridges import on_link_findings
from tests.fakes.clock import FakeClock
from tests.fakes.dockerd.engine import FakeEngine
from tests.host.network import ip
from tests.host.topology import SUBNETS, WORLD, Topology
from tests.unit.planning.scene import foreign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from dockerv6.planning.plan import Finding
    from tests.lab.namespace import Namespace

pytestmark = pytest.mark.host

SUBNET = f"{SUBNETS['blog']}::/64"
NETWORK = replace(foreign("blog", SUBNET), options={BRIDGE_NAME: "br-blog"})


@pytest.fixture
def topology(make_netns: Callable[[], Namespace]) -> Iterator[Topology]:
    """The test runs on the router, with all threads that it starts."""
    made = Topology.make(make_netns)
    with made.router.entered():
        yield made


@pytest.fixture
async def world(topology: Topology) -> AsyncIterator[World]:
    assert topology
    host = LinuxHostNet()
    yield World(FakeEngine(), host, FakeClock())
    await host.close()


async def findings(world: World) -> tuple[Finding, ...]:
    world.host_changed()
    return route_findings(await world.host_view.get(), (NETWORK,), Egress())


def assert_passes(topology: Topology, expected: bool = True) -> None:  # noqa: FBT001, FBT002 - a result
    """Check whether a container gets an answer from the world. A busy machine may need some of the 30 seconds."""
    command = ("ping", "-6", "-q", "-c", "1", "-i", "0.2", "-w", "30" if expected else "1", WORLD["eth0"])
    assert (topology.containers["blog"].exec(*command, check=False).returncode == 0) is expected


def pasted(message: str) -> None:
    """Paste the first command of a message into a shell."""
    command = re.search(r"`([^`]+)`", message)
    assert command is not None
    subprocess.run(["sh", "-ec", command[1]], check=True, capture_output=True)


DROPS = {
    "an equal route": f"route add unreachable {SUBNET} metric 17",
    "a part": f"route add prohibit {SUBNETS['blog']}::/65",
    "the address of a container": f"route add blackhole {SUBNETS['blog']}::2/128 metric 5000",
    "thrown out of the main table": f"route add throw {SUBNETS['blog']}:0:0:0:0/66",
    "a rule": f"rule add pref 30 to {SUBNET} unreachable",
    "a rule for everything": "rule add pref 9000 to fd12::/16 blackhole",
    "an own table": f"route add prohibit {SUBNET} table 77\nrule add pref 31 lookup 77",
    "a larger route in an own table": "route add blackhole fd00::/8 table 78\nrule add pref 32 lookup 78",
    "the default route": "route add unreachable default metric 3",
    "half of the internet": "route add blackhole 2000::/3",
    "what containers send": f"rule add pref 40 from {SUBNET} prohibit",
    "what a larger prefix sends": f"rule add pref 41 from {SUBNETS['blog'].rpartition(':')[0]}::/48 blackhole",
    "what comes in by the bridge": "rule add pref 42 iif br-blog unreachable",
    "a kill switch for containers": f"route add blackhole default table 80\nrule add pref 43 from {SUBNET} lookup 80",
}
"""What drops, in the words of `ip -6`."""


@pytest.mark.parametrize("name", DROPS)
async def test_what_drops_is_named_and_the_command_removes_it(topology: Topology, world: World, name: str) -> None:
    assert_passes(topology)
    assert await findings(world) == ()
    for line in DROPS[name].splitlines():
        ip(*line.split())
    assert_passes(topology, False)
    (found, *_) = await findings(world)
    assert (str(found.condition), found.reason, found.unknown) == ("HostReady", "RouteConflict", False)
    pasted(found.message)
    assert await findings(world) == ()
    assert_passes(topology)


HARMLESS = {
    "a worse route": f"route add unreachable {SUBNET} metric 4000",
    "a larger one, as routers have for unique local addresses": "route add unreachable fc00::/7 metric 1",
    "another subnet": f"route add blackhole {SUBNETS['blog'][:-1]}7::/64",
    "the last resort": f"route add unreachable default metric {2**32 - 1}",
    "a worse default route": "route add prohibit default metric 2000",
    "a table without a rule": f"route add blackhole {SUBNET} table 90",
    "a rule behind the main table": f"rule add pref 40000 to {SUBNET} unreachable",
    "a rule for another network": "rule add pref 50 iif br-shop unreachable",
    "all but this subnet": f"rule add pref 51 to {SUBNET} lookup main\nrule add pref 52 to fd12::/16 prohibit",
    "an exception of a table": f"route add blackhole fd00::/8 table 91\nroute add throw {SUBNET} table 91\n"
    "rule add pref 53 to fd00::/8 lookup 91",
    "a copy of the main table": f"route add {SUBNET} dev br-blog table 92\nroute add unreachable fd00::/8 table 92\n"
    "rule add pref 54 to fd00::/8 lookup 92",
    "everything but a default route first": "rule add pref 55 lookup main suppress_prefixlength 0\n"
    f"route add default via {WORLD['eth0'].replace('ffff::1', '0:1::2')} dev eth0 table 93\n"
    "route add throw 2001:db8:eeee::/48 table 93\nrule add pref 56 lookup 93",
    "nothing at all": "route add blackhole 2001:db8:bad::/48\nrule add pref 57 from 2001:db8:bad::/48 blackhole",
}


@pytest.mark.parametrize("name", HARMLESS)
async def test_what_drops_nothing_of_the_network_is_no_finding(topology: Topology, world: World, name: str) -> None:
    for line in HARMLESS[name].splitlines():
        ip(*line.split())
    assert_passes(topology)
    assert await findings(world) == ()


async def test_a_rejecting_route_without_a_default_route_is_a_doubt_only(topology: Topology, world: World) -> None:
    ip("route", "del", "default")
    ip("route", "add", "unreachable", "default", "metric", "1024")
    assert_passes(topology, False)
    (found,) = await findings(world)
    assert found.unknown


@pytest.mark.parametrize("older", [True, False])
async def test_of_equal_routes_with_equal_metrics_the_older_one_counts(
    topology: Topology,
    world: World,
    older: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Their order is unknown."""
    if older:
        ip("route", "del", SUBNET, "dev", "br-blog")
    ip(*f"route append blackhole {SUBNET} metric 256 proto 99".split())
    if older:
        ip(*f"route append {SUBNET} dev br-blog metric 256".split())
    assert_passes(topology, not older)
    (found,) = await findings(world)
    assert found.unknown
    pasted(found.message)
    assert await findings(world) == ()
    assert_passes(topology)


async def test_a_rule_for_all_but_marked_packets_is_a_doubt(topology: Topology, world: World) -> None:
    ip("rule", "add", "pref", "60", "not", "fwmark", "0x77", "prohibit")
    assert_passes(topology, False)
    assert {found.unknown for found in await findings(world)} == {True}


async def test_a_route_that_only_stops_what_leaves_is_nothing_to_a_network_without_egress(world: World) -> None:
    ip("route", "add", "unreachable", "default", "metric", "3")
    world.host_changed()
    host = await world.host_view.get()
    assert route_findings(host, (NETWORK,), Egress.model_validate({"mode": "None"})) == ()
    assert route_findings(host, (replace(NETWORK, internal=True),), Egress()) == ()


@pytest.mark.parametrize("other", [None, f"{SUBNETS['blog']}::2/128"])
async def test_a_missing_route_is_named_and_the_command_adds_it(
    topology: Topology, world: World, other: str | None
) -> None:
    """Also where the bridge has a route to a part of the subnet."""
    unrouted = {(SUBNET, "br-blog")}
    assert on_link_findings(await world.host_view.get(), (NETWORK,), unrouted) == ()
    ip("route", "del", SUBNET, "dev", "br-blog")
    if other is not None:
        ip("route", "add", other, "dev", "br-blog")
    assert_passes(topology, other is not None)
    world.host_changed()
    view = await world.host_view.get()
    assert on_link_findings(view, (NETWORK,), ()) == ()  # a bridge may be just created
    (found,) = on_link_findings(view, (NETWORK,), unrouted)
    assert (str(found.condition), found.reason, found.unknown) == ("HostReady", "HostNotReady", False)
    assert f"no route for {SUBNET} on br-blog" in found.message
    pasted(found.message)
    world.host_changed()
    assert on_link_findings(await world.host_view.get(), (NETWORK,), unrouted) == ()
    assert_passes(topology)


async def test_a_subnet_that_is_routed_to_the_bridge_in_parts_lacks_no_route(topology: Topology, world: World) -> None:
    unrouted = {(SUBNET, "br-blog")}
    low, high = (str(each) for each in IPv6Network(SUBNET).subnets())
    ip("route", "add", low, "dev", "br-blog")
    ip("route", "add", high, "dev", "br-blog")
    ip("route", "del", SUBNET, "dev", "br-blog")
    ip("route", "add", "unreachable", SUBNET, "metric", "1")
    assert_passes(topology)
    world.host_changed()
    assert on_link_findings(await world.host_view.get(), (NETWORK,), unrouted) == ()
    assert await findings(world) == ()
    ip("route", "del", low, "dev", "br-blog")
    assert_passes(topology, False)
    world.host_changed()
    assert len(on_link_findings(await world.host_view.get(), (NETWORK,), unrouted)) == 1
    assert len(await findings(world)) == 1
