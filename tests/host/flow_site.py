"""A host with one network, for what the packet walk finds beside rules of other programs."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from dockerv6.controller.packet_walk import find_flow_problems
from dockerv6.controller.world import World
from dockerv6.firewall.diff import diff
from dockerv6.firewall.hostfilter.linux import LinuxHostFilter
from dockerv6.firewall.iptables.backend import IptablesFirewall
from dockerv6.firewall.model import DEFAULT_MARK as MARK
from dockerv6.firewall.model import FirewallIntent, NetworkIntent, PortIntent
from dockerv6.firewall.nftables.backend import NftablesFirewall
from dockerv6.firewall.render import render
from dockerv6.hostnet.linux import LinuxHostNet
from dockerv6.lib.clock import SystemClock
from dockerv6.lib.networking import InterfaceName, TransportProtocol
from tests.fakes.dockerd.engine import FakeEngine

if TYPE_CHECKING:
    from dockerv6.firewall.model import FlowProblem
    from dockerv6.firewall.nftables.session import NftSession
    from dockerv6.firewall.port import FirewallBackend

SUBNET = IPv6Network("fd12:3456:789a:1::/64")
NETWORK = NetworkIntent("blog", SUBNET, InterfaceName("br-blog"))
_LINKS = """
ip link set lo up
ip link add eth0 type veth peer name far
ip link add br-blog type bridge
ip -6 address add 2001:db8:0:1::1/64 dev eth0 nodad
ip -6 address add fd12:3456:789a:1::1/64 dev br-blog nodad
ip link set eth0 up
ip link set far up
ip link set br-blog up
ip -6 route add default via 2001:db8:0:1::2 dev eth0
"""


def run(line: str) -> None:
    done = subprocess.run(shlex.split(line), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}: {done.stderr}"


class FlowSite:
    """A host with one network and one published port."""

    def __init__(self, session: NftSession, backend: str) -> None:
        self.filter = LinuxHostFilter(session)
        self.firewall: FirewallBackend = IptablesFirewall() if backend == "iptables" else NftablesFirewall(session)
        self.host = LinuxHostNet()
        self.world = World(FakeEngine(), self.host, SystemClock())

    async def set_up(self) -> None:
        for line in _LINKS.strip().splitlines():
            run(line)
        await self.want(NETWORK, PortIntent("blog", TransportProtocol.TCP, 8080, SUBNET[2], 80))

    async def want(self, network: NetworkIntent, *ports: PortIntent) -> None:
        bridges = None if self.firewall.matches_link_kinds else ("br-blog",)
        desired = render(FirewallIntent((network,), ports=ports, guest_bridges=bridges))
        await self.firewall.apply(diff(desired, await self.firewall.observe()))

    async def problems(
        self, uplink_kind: str = "veth", containers: frozenset[IPv6Address] = frozenset()
    ) -> tuple[FlowProblem, ...]:
        self.world.host_changed()
        host = await self.world.host_view.get()
        uplink = replace(host.interfaces["eth0"], kind=uplink_kind)
        host = replace(host, interfaces={**host.interfaces, "eth0": uplink})
        found = await find_flow_problems(self.filter, await self.firewall.observe(), host, MARK, containers)
        assert found.keys() <= {"blog"}
        return found.get("blog", ())

    async def close(self) -> None:
        await self.host.close()
        await self.filter.close()
        await self.firewall.close()
