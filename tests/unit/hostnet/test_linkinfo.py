from hypothesis import given
from hypothesis import strategies as st

from dockerv6.hostnet.linkinfo import NO_LINK_INFO, LinkInfo, link_info
from dockerv6.hostnet.model import BridgePort
from tests.unit.lib.test_netlink import attribute

KIND, DATA, SLAVE_KIND, SLAVE_DATA = 1, 2, 4, 5
STATE, MODE, GUARD = 1, 4, 5
NF_CALL_IPTABLES, NF_CALL_IP6TABLES, NF_CALL_ARPTABLES = 36, 37, 38
ON, OFF = b"\1", b"\0"


def decoded(*parts: bytes) -> LinkInfo:
    value = b"".join(parts)
    return link_info(b"junk" + value + b"junk", 4, 4 + len(value))


def slave(kind: bytes, *settings: bytes) -> tuple[bytes, bytes]:
    return attribute(SLAVE_KIND, kind), attribute(0x8000 | SLAVE_DATA, b"".join(settings))


def test_a_link_may_tell_no_more_than_its_kind() -> None:
    assert decoded(attribute(KIND, b"veth\0")) == LinkInfo("veth")


def test_a_bridges_port_tells_its_mode() -> None:
    veth = attribute(KIND, b"veth\0")
    for mode, hairpin in ((ON, True), (OFF, False)):
        port = slave(b"bridge\0", attribute(STATE, b"\3"), attribute(MODE, mode), attribute(GUARD, ON))
        assert decoded(veth, *port) == LinkInfo("veth", BridgePort(hairpin=hairpin))


def test_a_physical_link_has_no_kind_but_may_be_a_port() -> None:
    assert decoded(*slave(b"bridge\0", attribute(MODE, OFF))) == LinkInfo("", BridgePort())


def test_a_bonds_member_is_no_bridges_port() -> None:
    # attribute 4 of a bond's member is something else (IFLA_BOND_SLAVE_PERM_HWADDR)
    assert decoded(attribute(KIND, b"veth\0"), *slave(b"bond\0", attribute(MODE, bytes(range(6))))).bridge_port is None


def test_a_bridge_tells_whether_it_shows_its_packets_to_ip6tables() -> None:
    bridge = attribute(KIND, b"bridge\0")
    for own, expected in ((ON, True), (OFF, False)):
        settings = (
            attribute(NF_CALL_IPTABLES, ON) + attribute(NF_CALL_IP6TABLES, own) + attribute(NF_CALL_ARPTABLES, ON)
        )
        assert decoded(bridge, attribute(DATA, settings)).bridge_netfilter is expected


def test_a_value_that_looks_like_the_attribute_is_not_taken_for_it() -> None:
    bridge = attribute(KIND, b"bridge\0")
    timer = attribute(30, attribute(NF_CALL_IP6TABLES, ON))
    assert not decoded(bridge, attribute(DATA, timer + attribute(NF_CALL_IP6TABLES, OFF))).bridge_netfilter


def test_the_data_of_other_kinds_mean_something_else() -> None:
    assert not decoded(attribute(KIND, b"vxlan\0"), attribute(DATA, attribute(NF_CALL_IP6TABLES, ON))).bridge_netfilter


def test_settings_without_a_value_are_off() -> None:
    settings = attribute(NF_CALL_IP6TABLES, b"") + attribute(MODE, b"")
    assert decoded(attribute(KIND, b"bridge\0"), attribute(DATA, settings)) == LinkInfo("bridge")
    assert decoded(*slave(b"bridge\0", attribute(MODE, b""))) == LinkInfo("", BridgePort())


@given(st.binary(max_size=64))
def test_whatever_arrives_it_is_decoded(garbage: bytes) -> None:
    assert isinstance(link_info(garbage, 0, len(garbage)), LinkInfo)


def test_nothing_is_no_link_info() -> None:
    assert decoded() == NO_LINK_INFO
