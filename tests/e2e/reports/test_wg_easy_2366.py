"""wg-easy/wg-easy#2366: services on the host must see the addresses of VPN clients, not of the VPN's container."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published
from tests.lab.probe import assert_closed, reach

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host
    from tests.lab.namespace import Namespace
    from tests.lab.session import Session

_NETWORK, _GATEWAY, _SERVER = "fdcc:ad94:bacf:61a3::/64", "fdcc:ad94:bacf:61a3::1", "fdcc:ad94:bacf:61a3::2a"
_CLIENTS, _TUNNEL, _CLIENT = "fdcc:ad94:bacf:61a4::/112", "fdcc:ad94:bacf:61a4::1", "fdcc:ad94:bacf:61a4::2"

_SYSCTLS = {f"net.ipv6.conf.{key}": value for key, value in (("all.disable_ipv6", "0"), ("all.forwarding", "1"))}


def _connect_client(host: Host, client: Namespace) -> None:
    """A client at the other end of the tunnel of the VPN's container; a veth stands for WireGuard's interface."""
    container = host.engine.container_netns("wg-easy")
    client.exec(*f"ip link add wg0 type veth peer name wg0 netns {container}".split())
    for run, address in ((client.exec, _CLIENT), (partial(host.engine.container_netns_exec, "wg-easy"), _TUNNEL)):
        run("ip", "address", "add", f"{address}/112", "dev", "wg0", "nodad")
        run("ip", "link", "set", "wg0", "up")
    client.exec("ip", "-6", "route", "add", "default", "via", _TUNNEL)


@pytest.mark.core_cells("28.5")
def test_services_see_the_addresses_of_vpn_clients(host: Host, lab_session: Session) -> None:
    client = lab_session.namespace("v")
    addressing = {"subnet": _NETWORK, "gateway": _GATEWAY}
    host.network("wg", {"addressing": addressing, "firewall": {"sourceValidation": False}})
    host.network("adguard")
    host.run("adguard-2366", "adguard", ports={"80/tcp": 853, "80/udp": 53})
    host.run("wg-easy", "wg", address=_SERVER, host_config={"Sysctls": _SYSCTLS})
    _connect_client(host, client)
    host.engine.netexec("ip", "-6", "route", "add", _CLIENTS, "via", _SERVER)

    for number, protocol in ((853, "tcp"), (53, "udp")):
        assert str(reach(client.path, published(number, protocol), name="adguard-2366").client) == _CLIENT
    assert_closed(client.path, published(81))
    client.remove()
