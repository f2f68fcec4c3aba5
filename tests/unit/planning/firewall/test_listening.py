"""Published ports that lead to a process which listens over IPv4 only (libredb/libredb-studio#432)."""

from ipaddress import IPv6Address

from dockerv6.firewall.model import PortIntent
from dockerv6.hostnet.model import ContainerSockets
from dockerv6.lib.networking import TransportProtocol
from dockerv6.planning.firewall.listening import (
    Service,
    ipv4_only_findings,
    ipv4_only_services,
    published_services,
)
from tests.unit.planning.scene import end, live, running

ADDRESS = "fd12:3456:789a:1::5"
WEB = running("web", end(live(), ADDRESS))
PORT = PortIntent("blog", TransportProtocol.TCP, 8080, IPv6Address(ADDRESS), 80)
SERVICE = Service(WEB.id, "tcp", 80)
TCP_80 = frozenset({("tcp", 80)})


def test_services_are_found_by_the_address_that_a_port_leads_to() -> None:
    gone = PortIntent("blog", TransportProtocol.TCP, 8081, IPv6Address("fd00::1"), 80)
    assert published_services((PORT, gone), (WEB,)) == {SERVICE: frozenset({"blog"})}


def test_only_a_process_that_waits_over_ipv4_alone_counts() -> None:
    def found(sockets: ContainerSockets) -> frozenset[Service]:
        return ipv4_only_services([SERVICE], {WEB.id: sockets})

    assert found(ContainerSockets(ipv4=TCP_80)) == {SERVICE}
    assert found(ContainerSockets(ipv4=TCP_80, ipv6=TCP_80)) == frozenset()
    assert found(ContainerSockets(ipv6=TCP_80)) == frozenset()
    assert found(ContainerSockets()) == frozenset()  # it may not have started yet
    assert ipv4_only_services([SERVICE], {}) == frozenset()  # its processes can't be seen


def test_the_finding_names_the_port_the_container_and_the_remedy() -> None:
    (found,) = ipv4_only_findings((PORT,), (WEB,), {SERVICE})
    assert (str(found.condition), found.reason, found.blocks, found.unknown) == (
        "PortsPublished",
        "IPv4Only",
        False,
        False,
    )
    assert "tcp port 8080 on [::] leads to port 80 of container web" in found.message
    assert "listen on [::]" in found.message
    assert ipv4_only_findings((PORT,), (WEB,), ()) == ()
