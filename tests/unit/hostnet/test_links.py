import socket
import struct
from ipaddress import IPv6Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.hostnet import links
from dockerv6.hostnet.links import LinkInfo, decode_link_info
from dockerv6.hostnet.model import BridgePort, Interface
from tests.unit.hostnet.kernel import Kernel
from tests.unit.lib.encoding import attribute, u32

NEWLINK, GETLINK, SETLINK, GETADDR = 16, 18, 19, 22
NESTED = 0x8000
ETH0, BR0 = 5, 7

KIND, DATA, SLAVE_KIND, SLAVE_DATA = 1, 2, 4, 5
STATE, MODE, GUARD = 1, 4, 5
NF_CALL_IPTABLES, NF_CALL_IP6TABLES, NF_CALL_ARPTABLES = 36, 37, 38
ON, OFF = b"\1", b"\0"


def link(index: int, name: str, *parts: bytes) -> bytes:
    head = struct.pack("=BxHiII", 0, 0, index, 1, 0)
    return head + attribute(3, name.encode() + b"\0") + attribute(4, u32(1500)) + b"".join(parts)


class TestListing:
    def test_master_and_kind_are_decoded(self, kernel: Kernel) -> None:
        info = attribute(18, attribute(KIND, b"veth\0") + attribute(DATA, b"\0\0\0\0"))
        kernel.dumps[GETLINK] = [link(ETH0, "eth0", attribute(10, u32(3)), info)]
        assert links.interfaces() == (Interface(ETH0, "eth0", "veth", up=True, mtu=1500, master=3),)

    def test_the_other_end_of_a_veth_is_known_if_it_is_in_this_namespace(self, kernel: Kernel) -> None:
        info, end, namespace = attribute(18, attribute(KIND, b"veth\0")), attribute(5, u32(9)), attribute(37, u32(0))
        kernel.dumps[GETLINK] = [link(5, "veth0", end, info), link(6, "veth1", end, info, namespace)]
        assert [each.link for each in links.interfaces()] == [9, None]

    def test_settings_of_bridges_and_their_ports_are_decoded(self, kernel: Kernel) -> None:
        port = attribute(KIND, b"veth\0") + attribute(SLAVE_KIND, b"bridge\0")
        port += attribute(SLAVE_DATA, attribute(MODE, ON))
        bridge = attribute(KIND, b"bridge\0") + attribute(DATA, attribute(NF_CALL_IP6TABLES, ON))
        kernel.dumps[GETLINK] = [link(6, "br0", attribute(18, bridge))]
        kernel.dumps[GETLINK] += [link(5, "veth0", attribute(10, u32(6)), attribute(18, port))]
        assert links.interfaces() == (
            Interface(5, "veth0", "veth", up=True, mtu=1500, master=6, bridge_port=BridgePort(hairpin=True)),
            Interface(6, "br0", "bridge", up=True, mtu=1500, bridge_netfilter=True),
        )

    def test_addresses_are_sorted(self, kernel: Kernel) -> None:
        first, second = IPv6Interface("2001:db8::1/64"), IPv6Interface("2001:db8::2/64")
        kernel.dumps[GETLINK] = [link(ETH0, "eth0")]
        kernel.dumps[GETADDR] = [
            struct.pack("=BBBBi", 10, 64, 0x80, 0, ETH0) + attribute(1, address.packed) for address in (second, first)
        ]
        (interface,) = links.interfaces()
        assert interface.addresses == (first, second)


class TestLinkInfo:
    def decode(self, *parts: bytes) -> LinkInfo:
        value = b"".join(parts)
        return decode_link_info(b"junk" + value + b"junk", 4, 4 + len(value))

    def slave(self, kind: bytes, *settings: bytes) -> tuple[bytes, bytes]:
        return attribute(SLAVE_KIND, kind), attribute(NESTED | SLAVE_DATA, b"".join(settings))

    def test_an_empty_value_is_an_ordinary_link(self) -> None:
        assert self.decode() == LinkInfo()

    def test_a_link_may_have_only_a_kind(self) -> None:
        assert self.decode(attribute(KIND, b"veth\0")) == LinkInfo("veth")

    def test_a_bridge_port_has_a_mode(self) -> None:
        veth = attribute(KIND, b"veth\0")
        for mode, hairpin in ((ON, True), (OFF, False)):
            port = self.slave(b"bridge\0", attribute(STATE, b"\3"), attribute(MODE, mode), attribute(GUARD, ON))
            assert self.decode(veth, *port) == LinkInfo("veth", BridgePort(hairpin=hairpin))

    def test_a_physical_link_has_no_kind_but_may_be_a_port(self) -> None:
        assert self.decode(*self.slave(b"bridge\0", attribute(MODE, OFF))) == LinkInfo("", BridgePort())

    def test_a_member_of_a_bond_is_not_a_bridge_port(self) -> None:
        # attribute 4 of a bond's member is something else (IFLA_BOND_SLAVE_PERM_HWADDR)
        member = self.slave(b"bond\0", attribute(MODE, bytes(range(6))))
        assert self.decode(attribute(KIND, b"veth\0"), *member).bridge_port is None

    def test_bridge_netfilter_of_a_bridge(self) -> None:
        bridge = attribute(KIND, b"bridge\0")
        for own, expected in ((ON, True), (OFF, False)):
            settings = attribute(NF_CALL_IPTABLES, ON) + attribute(NF_CALL_IP6TABLES, own)
            settings += attribute(NF_CALL_ARPTABLES, ON)
            assert self.decode(bridge, attribute(DATA, settings)).bridge_netfilter is expected

    def test_a_value_that_looks_like_the_attribute_is_ignored(self) -> None:
        timer = attribute(30, attribute(NF_CALL_IP6TABLES, ON))
        data = attribute(DATA, timer + attribute(NF_CALL_IP6TABLES, OFF))
        assert not self.decode(attribute(KIND, b"bridge\0"), data).bridge_netfilter

    def test_the_same_attribute_of_another_kind_is_ignored(self) -> None:
        data = attribute(DATA, attribute(NF_CALL_IP6TABLES, ON))
        assert not self.decode(attribute(KIND, b"vxlan\0"), data).bridge_netfilter

    def test_settings_without_a_value_are_off(self) -> None:
        settings = attribute(NF_CALL_IP6TABLES, b"") + attribute(MODE, b"")
        assert self.decode(attribute(KIND, b"bridge\0"), attribute(DATA, settings)) == LinkInfo("bridge")
        assert self.decode(*self.slave(b"bridge\0", attribute(MODE, b""))) == LinkInfo("", BridgePort())

    @given(st.binary(max_size=64))
    def test_any_input_is_decoded(self, garbage: bytes) -> None:
        assert isinstance(decode_link_info(garbage, 0, len(garbage)), LinkInfo)


class TestSettings:
    def changed(self, family: int, *parts: bytes, flags: int = 0, mask: int = 0) -> bytes:
        return struct.pack("=BxHiII", family, 0, BR0, flags, mask) + b"".join(parts)

    def test_only_the_flag_up_is_changed(self, kernel: Kernel) -> None:
        links.set_link_up("br0")
        assert kernel.commands == [(0, NEWLINK, 0, self.changed(socket.AF_UNSPEC, flags=1, mask=1))]

    @pytest.mark.parametrize(("on", "value"), [(True, ON), (False, OFF)])
    def test_hairpin_is_a_setting_of_the_port(self, kernel: Kernel, value: bytes, *, on: bool) -> None:
        links.set_hairpin("br0", on=on)
        payload = self.changed(socket.AF_BRIDGE, attribute(NESTED | 12, attribute(MODE, value)))
        assert kernel.commands == [(0, SETLINK, 0, payload)]

    @pytest.mark.parametrize(("on", "value"), [(True, ON), (False, OFF)])
    def test_a_setting_of_a_bridge_is_sent_with_its_kind(self, kernel: Kernel, value: bytes, *, on: bool) -> None:
        links.set_bridge_netfilter("br0", on=on)
        info = attribute(KIND, b"bridge") + attribute(NESTED | DATA, attribute(NF_CALL_IP6TABLES, value))
        payload = self.changed(socket.AF_UNSPEC, attribute(NESTED | 18, info))
        assert kernel.commands == [(0, NEWLINK, 0, payload)]
