"""A Docker network on the bridge of a LAN, with real packets: other hosts on it are not cut off."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.dockerd.model import BRIDGE_NAME
from dockerv6.firewall.model import NetworkIntent
from dockerv6.hostnet import links
from dockerv6.hostnet.model import RouteProtocol
from dockerv6.hostnet.routes import RouteReader
from dockerv6.lib.networking import EgressMode, InterfaceName
from dockerv6.planning.firewall.contributions import FirewallContribution, firewall_intent
from dockerv6.planning.host.bridge_ports import not_validated
from dockerv6.planning.host.interfaces import (
    advertised_bridges,
    external_interfaces,
    is_default_route,
    other_ports,
    uplink_bridges,
)
from dockerv6.planning.inputs import HostView
from tests.host.advertisements import advertise
from tests.host.router import ask, opened
from tests.host.test_source_validation import arrives
from tests.host.topology import CONTAINERS, ROUTER, SUBNETS, WORLD, Topology, endpoint
from tests.unit.planning.scene import foreign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.host.router import Router
    from tests.lab.namespace import Namespace

pytestmark = pytest.mark.host

BLOG = NetworkIntent("blog", IPv6Network(f"{SUBNETS['blog']}::/64"), InterfaceName("br-blog"), EgressMode.ROUTED)
HOST, NEAR = ROUTER["eth0"], WORLD["eth0"]
LAN = "2001:db8:77"
"""Another prefix on the bridge of blog, as of the LAN whose bridge it is."""

NOBODY = "2001:db8:dead::1"


@pytest.fixture
async def router(make_netns: Callable[[], Namespace], backend: str) -> AsyncIterator[Router]:
    async for made in opened(Topology.make(make_netns), backend):
        yield made


async def plan_and_apply(router: Router) -> HostView:
    """Read the links and routes, as the operator does when one changes, and apply the rules."""
    with router.topology.router.entered():
        view = HostView(interfaces={each.name: each for each in links.interfaces()}, routes=RouteReader().read())
    view = replace(view, container_bridges=advertised_bridges(view) & {"br-blog"})  # as the engine lists
    shared, uplinks = frozenset(other_ports(view)), uplink_bridges(view)
    wanted = firewall_intent((FirewallContribution("blog", (BLOG,)),), shared_bridges=shared, uplinks=uplinks)
    await router.want(*wanted.networks, uplink_bridges=wanted.uplink_bridges)
    return view


def ports_of_blog(view: HostView) -> tuple[str, ...]:
    return other_ports(view).get("br-blog", ())


def join_lan(router: Router, lan: Namespace, how: str) -> str:
    """Connect another host to the bridge of blog, and return the port."""
    host = router.topology.router
    host.exec(*f"ip link add lan type veth peer name eth0 netns {lan.name}".split())
    host.exec("ip", "link", "set", "lan", "up")
    port = {"a NIC": "nic", "another bridge": "to-lan"}[how]
    if how == "a NIC":  # a macvlan in mode passthru is a port of another kind than veth that needs no hardware
        host.exec(*["ip", "link", "add", "link", "lan", "name", "nic", "type", "macvlan", "mode", "passthru"])
    else:
        host.exec("ip", "link", "add", "br-lan", "type", "bridge")
        host.exec(*["ip", "link", "add", "to-lan", "type", "veth", "peer", "name", "to-blog"])
        for each in ("lan", "to-blog"):
            host.exec("ip", "link", "set", each, "master", "br-lan", "up")
        host.exec("ip", "link", "set", "br-lan", "up")
    host.exec("ip", "link", "set", port, "master", "br-blog", "up")
    host.exec(*f"ip address add {LAN}::1/64 dev br-blog nodad".split())
    lan.exec("sysctl", "-q", "-w", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0")
    lan.exec(*f"ip address add {LAN}::5/64 dev eth0 nodad".split())
    lan.exec("ip", "link", "set", "eth0", "up")
    lan.exec("ip", "-6", "route", "add", "default", "via", f"{LAN}::1")
    return port


@pytest.mark.parametrize("how", ["a NIC", "another bridge"])
async def test_hosts_behind_another_port_are_not_cut_off(
    router: Router, make_netns: Callable[[], Namespace], how: str
) -> None:
    topology, lan = router.topology, make_netns()
    assert ports_of_blog(await plan_and_apply(router)) == ()
    with endpoint(topology.world, NEAR) as world, endpoint(topology.router, HOST, 53) as service:
        assert not arrives(router, NOBODY, world.getsockname()[:2], world)
        port = join_lan(router, lan, how)
        assert ports_of_blog(await plan_and_apply(router)) == (port,)
        lan.exec("ping", "-6", "-q", "-c", "1", "-w", "30", f"{LAN}::1")  # once the port forwards
        with endpoint(lan, f"{LAN}::5") as other:
            assert ask(other, (HOST, 53), service) == f"{LAN}::5"
        with endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog:
            assert ask(blog, (HOST, 53), service) == CONTAINERS["blog"]
        topology.router.exec("ip", "link", "set", port, "nomaster")
        assert ports_of_blog(await plan_and_apply(router)) == ()
        assert not arrives(router, NOBODY, world.getsockname()[:2], world)


async def test_a_host_behind_a_veth_is_a_container(router: Router, make_netns: Callable[[], Namespace]) -> None:
    """What LXC attaches looks like what an engine attaches; `test_bridge_ports` has the status."""
    topology, lxc = router.topology, make_netns()
    topology.add_neighbour(lxc)
    topology.router.exec(*f"ip address add {LAN}::1/64 dev br-blog nodad".split())
    lxc.exec(*f"ip address add {LAN}::5/64 dev eth0 nodad".split())
    assert ports_of_blog(await plan_and_apply(router)) == ()
    with endpoint(topology.router, HOST, 53) as service:
        with endpoint(lxc, f"{LAN}::5") as other:
            other.sendto(b"dropped", (HOST, 53))
        with endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog:
            assert ask(blog, (HOST, 53), service) == CONTAINERS["blog"]
        service.setblocking(False)
        with pytest.raises(BlockingIOError):
            service.recv(100, socket.MSG_DONTWAIT)


def advertise_until_routed(router: Router, namespace: Namespace, bridge: str = "br-blog") -> None:
    """Send router advertisements from a namespace's eth0 until the host has their default route."""
    host = router.topology.router
    for setting in (f"{bridge}.accept_ra=2", f"{bridge}.forwarding=1"):
        host.exec("sysctl", "-q", "-w", f"net.ipv6.conf.{setting}")
    while "default" not in host.exec("ip", "-6", "route", "show", "default", "dev", bridge, "proto", "ra").stdout:
        with namespace.entered(), suppress(OSError):  # the link may not be ready
            advertise("eth0", IPv6Network(f"{LAN}::/64"))
        time.sleep(0.02)


DOCKER = replace(foreign("blog", str(BLOG.subnet)), options={BRIDGE_NAME: "br-blog"})


async def test_a_container_that_advertises_itself_as_a_router_does_not_end_the_validation(router: Router) -> None:
    topology = router.topology
    await plan_and_apply(router)
    with endpoint(topology.world, NEAR) as world, endpoint(topology.router, HOST, 53) as service:
        to_world = world.getsockname()[:2]
        assert not arrives(router, NOBODY, to_world, world)
        advertise_until_routed(router, topology.containers["blog"])
        view = await plan_and_apply(router)
        led = [each.protocol for each in view.routes if is_default_route(each) and each.interface == "br-blog"]
        assert led == [RouteProtocol.RA]
        assert (uplink_bridges(view), not_validated(view, DOCKER)) == ((), "")
        assert not arrives(router, NOBODY, to_world, world)
        assert not arrives(router, NEAR, (HOST, 53), service)
        with endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog:
            assert ask(blog, (HOST, 53), service) == CONTAINERS["blog"]
        topology.router.exec("ip", "link", "set", "v-blog", "nomaster")  # its route outlives its port
        assert uplink_bridges(await plan_and_apply(router)) == ()


async def test_a_bridge_with_a_nic_is_an_uplink_once_a_router_behind_it_advertises_itself(
    router: Router, make_netns: Callable[[], Namespace]
) -> None:
    topology, lan = router.topology, make_netns()
    join_lan(router, lan, "a NIC")
    lan.exec("ping", "-6", "-q", "-c", "1", "-w", "30", f"{LAN}::1")
    advertise_until_routed(router, lan)
    view = await plan_and_apply(router)
    assert uplink_bridges(view) == ("br-blog",)
    assert "nic (macvlan) is a port of it" in not_validated(view, DOCKER)
    topology.router.exec("ip", "link", "set", "nic", "nomaster")
    assert uplink_bridges(await plan_and_apply(router)) == ()


async def test_a_route_that_a_person_added_makes_any_bridge_an_uplink(router: Router) -> None:
    router.topology.router.exec("ip", "-6", "route", "replace", "default", "via", CONTAINERS["blog"])
    view = await plan_and_apply(router)
    assert uplink_bridges(view) == ("br-blog",)
    assert "the default route leads through it" in not_validated(view, DOCKER)


@pytest.mark.parametrize("protocol", ["kernel", "networkd"])
async def test_the_bridge_of_a_veth_to_the_lan_is_the_uplink_of_a_host_that_is_a_container(
    router: Router, make_netns: Callable[[], Namespace], protocol: str
) -> None:
    """NetworkManager and systemd-networkd process router advertisements themselves, and write `proto ra`."""
    host, lan = router.topology.router, make_netns()
    for command in (
        f"ip link add wan type veth peer name eth0 netns {lan.name}",
        "ip link add br0 type bridge",
        "ip link set wan master br0",
        "ip link set wan up",
        "ip link set br0 up",
        "ip -6 route del default",
    ):
        host.exec(*command.split())
    lan.exec("ip", "link", "set", "eth0", "up")
    if protocol == "kernel":
        advertise_until_routed(router, lan, "br0")
    else:
        host.exec("ip", "-6", "route", "add", "default", "via", "fe80::1", "dev", "br0", "proto", "ra")
    view = await plan_and_apply(router)
    assert [(each.interface, each.protocol) for each in view.routes if is_default_route(each)] == [
        ("br0", RouteProtocol.RA)
    ]
    assert uplink_bridges(view) == ("br0",)
    assert "br0" in external_interfaces(view)
    assert other_ports(view).get("br0") is None
