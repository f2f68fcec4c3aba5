import pytest

from dockerv6.hostnet.model import BridgePort, Interface
from dockerv6.planning.host.bridges import bridge_steps, icc_findings
from dockerv6.planning.inputs import HostView
from dockerv6.planning.steps import (
    SetBridgeNetfilter,
    SetHairpin,
)
from tests.unit.planning.scene import host


class TestBridges:
    """What the packet filter needs of a network's own bridge, beside rules."""

    HAIRPIN = (SetHairpin("veth1", "br-a"),)

    def bridge(self, *, netfilter: bool | None = None, own: bool = False, hairpin: bool = False) -> HostView:
        return host(
            Interface(7, "br-a", "bridge", up=True, mtu=1500, bridge_netfilter=own),
            Interface(8, "veth1", "veth", up=True, mtu=1500, master=7, bridge_port=BridgePort(hairpin)),
            Interface(9, "veth2", "veth", up=True, mtu=1500, master=70, bridge_port=BridgePort()),
            Interface(10, "vxlan1", "vxlan", up=True, mtu=1500, master=7),
            bridge_netfilter=netfilter,
        )

    @pytest.mark.parametrize(
        ("netfilter", "own", "needed"),
        [(True, False, True), (False, True, True), (False, False, False), (None, False, False)],
    )
    def test_ports_reflect_only_where_bridged_packets_are_looked_at(
        self, *, netfilter: bool | None, own: bool, needed: bool
    ) -> None:
        found = bridge_steps(self.bridge(netfilter=netfilter, own=own), ("br-a",), published=True, icc=True)
        assert found == (self.HAIRPIN if needed else ())

    def test_nothing_is_reflected_without_published_ports(self) -> None:
        assert bridge_steps(self.bridge(netfilter=True), ("br-a",), published=False, icc=True) == ()

    def test_a_port_that_reflects_is_left_alone(self) -> None:
        assert bridge_steps(self.bridge(netfilter=True, hairpin=True), ("br-a",), published=True, icc=True) == ()

    def test_a_bridge_that_keeps_its_containers_apart_is_looked_at(self) -> None:
        found = bridge_steps(self.bridge(netfilter=False), ("br-a",), published=False, icc=False)
        assert found == (SetBridgeNetfilter("br-a"),)
        found = bridge_steps(self.bridge(netfilter=False), ("br-a",), published=True, icc=False)
        assert found == (SetBridgeNetfilter("br-a"), *self.HAIRPIN)

    @pytest.mark.parametrize(("netfilter", "own"), [(True, False), (False, True)])
    def test_once_it_is_looked_at_there_is_nothing_to_do(self, *, netfilter: bool, own: bool) -> None:
        assert bridge_steps(self.bridge(netfilter=netfilter, own=own), ("br-a",), published=False, icc=False) == ()

    def test_a_bridge_that_is_not_there_needs_nothing(self) -> None:
        assert bridge_steps(self.bridge(netfilter=True), ("br-b",), published=True, icc=False) == ()

    def test_without_the_module_icc_false_is_reported(self) -> None:
        assert icc_findings(self.bridge(), icc=True) == ()
        assert icc_findings(self.bridge(netfilter=False), icc=False) == ()
        (finding,) = icc_findings(self.bridge(), icc=False)
        assert (finding.condition, finding.blocks, finding.unknown) == ("HostReady", False, False)
