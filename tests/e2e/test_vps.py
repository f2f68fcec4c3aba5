"""A VPS with one on-link /64, which is not routed to the host. Its containers have public addresses nevertheless.

The provider's router sends neighbour solicitations for each address and has only the on-link route. The host answers
for its containers (NDP proxy) and accepts the connections in `firewall.ingress`.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.cluster import eventually, network_id
from tests.e2e.provider import UPLINK, suffix
from tests.lab.provider import SERVER
from tests.lab.radvd import Advertised

if TYPE_CHECKING:
    from tests.e2e.provider import Premises

_LINK = "2001:db8:1::/64"
_ROUTER = "2001:db8:1::1"
_POOL = {"fromInterface": {"name": UPLINK, "prefixLength": 80, "offset": 1}, "allocationLength": 112}
_PART = "2001:db8:1:0:1::/80"
_WEB: dict[str, Any] = {
    "addressing": {"poolRef": {"name": "vps"}},
    "egress": {"mode": "Routed"},
    "ndpProxy": {"enabled": True},
    "firewall": {"ingress": [{"ports": [{"port": 80}]}]},
}


def _with_public_addresses(premises: Premises, *, advertised: bool = False) -> str:
    """Set up a host with a network in the on-link prefix and a web server; return the server's address.

    The host's own address is static, or from a router advertisement.
    """
    if advertised:
        premises.provider.advertise(_LINK)
        eventually(lambda: premises.ip("route", "show", "default"), "the uplink is configured")
    else:
        premises.configure_static_uplink(_LINK)
    premises.start()
    premises.apply_pool("vps", _POOL)
    premises.network("web", _WEB)
    premises.run("www", "web")
    return premises.address("www", "web")


@pytest.mark.core_cells("20.10-off", "28.5")
def test_neighbours_reach_containers_that_they_have_no_route_to(premises: Premises) -> None:
    address = _with_public_addresses(premises)
    assert IPv6Address(address) in IPv6Network(_PART)
    assert "via" not in premises.provider.exec("ip", "-6", "route", "get", address).stdout
    assert premises.assert_reachable(premises.router, address, "www") == _ROUTER
    assert premises.provider.ping(address)
    premises.assert_refused(premises.router, address, 81)
    assert premises.assert_reachable(premises.internet, address, "www") == SERVER
    premises.wait_source_address("www", address)
    assert premises.proxy_entries() == {address}
    assert premises.sysctl("proxy_ndp") == "1"

    premises.run("blog", "web")
    second = premises.address("blog", "web")
    premises.assert_reachable(premises.router, second, "blog")
    premises.remove("www")
    eventually(lambda: premises.proxy_entries() == {second}, "the entry of the removed container is removed")
    premises.assert_reachable(premises.router, second, "blog")


@pytest.mark.cells("28.5")
def test_stale_entries_are_swept_after_a_crash_and_all_entries_after_the_deletion(premises: Premises) -> None:
    address = _with_public_addresses(premises, advertised=True)
    premises.assert_reachable(premises.router, address, "www")
    premises.operator.kill()
    assert premises.proxy_entries() == {address}
    # existing containers are reachable without the operator
    premises.assert_reachable(premises.router, address, "www")
    premises.run("blog", "web")
    second = premises.address("blog", "web")
    premises.remove("www")
    premises.start()
    eventually(lambda: premises.proxy_entries() == {second}, "only existing containers have an entry")
    premises.assert_reachable(premises.router, second, "blog")

    premises.remove("blog")
    premises.operator.remove_yaml("web.yaml")
    eventually(lambda: network_id(premises.engine, "web") is None, "the network is gone")
    eventually(lambda: premises.proxy_entries() == set(), "no entry is left")
    eventually(lambda: premises.sysctl("proxy_ndp") == "0", "the setting is restored")


@pytest.mark.cells("28.5")
def test_a_foreign_proxy_entry_is_not_removed(premises: Premises) -> None:
    address = _with_public_addresses(premises)
    eventually(lambda: premises.proxy_entries() == {address}, "it has an entry")
    theirs = "2001:db8:1:0:1::beef"
    premises.ip("neigh", "add", "proxy", theirs, "dev", UPLINK)
    premises.run("blog", "web")
    second = premises.address("blog", "web")
    eventually(lambda: premises.proxy_entries() == {address, second, theirs}, "the new container has an entry")
    premises.remove("www", "blog")
    eventually(lambda: premises.proxy_entries() == {theirs}, "only the foreign entry remains")
    premises.operator.stop()
    premises.operator.cli("uninstall", "--yes")
    assert premises.proxy_entries() == {theirs}
    assert premises.sysctl("proxy_ndp") == "0"


@pytest.mark.cells("28.5")
def test_entries_that_the_kernel_dropped_with_the_interface_are_restored(premises: Premises) -> None:
    address = _with_public_addresses(premises)
    premises.assert_reachable(premises.router, address, "www")
    premises.ip("link", "set", UPLINK, "down")
    premises.ip("link", "set", UPLINK, "up")
    # the kernel also drops global addresses with the interface
    premises.ip("address", "replace", "2001:db8:1::2/64", "dev", UPLINK, "nodad")
    eventually(lambda: premises.proxy_entries() == {address}, "the entry is added again")
    premises.assert_reachable(premises.router, address, "www")


@pytest.mark.cells("28.5")
def test_translated_containers_have_addresses_on_the_link(premises: Premises) -> None:
    host = premises.configure_static_uplink(_LINK)
    premises.start()
    premises.network(
        "web",
        {
            "addressing": {"subnet": "fd12:3456:789a:7::/64"},
            "egress": {"mode": "PrefixTranslation", "prefixFrom": {"interface": UPLINK}},
            "ndpProxy": {"enabled": True},
            "firewall": {"ingress": [{"ports": [{"port": 80}]}]},
        },
    )
    premises.run("www", "web", address="fd12:3456:789a:7::77", ports={"83/tcp": 8083})
    external = str(IPv6Network(_LINK)[0x77])
    assert premises.assert_reachable(premises.router, external, "www") == _ROUTER
    assert premises.provider.ping(external)
    premises.assert_refused(premises.router, external, 81)
    # the host has an address in the same prefix
    premises.assert_reachable(premises.router, host, "www", port=8083)
    premises.wait_source_address("www", external)
    assert premises.proxy_entries() == {external}
    premises.remove("www")
    eventually(lambda: premises.proxy_entries() == set(), "the entry of the removed container is removed")


@pytest.mark.cells("28.5")
def test_networks_of_the_link_follow_another_prefix_of_it(premises: Premises) -> None:
    second = "2001:db8:2::/64"
    address = _with_public_addresses(premises, advertised=True)
    premises.apply("web", {**_WEB, "updateStrategy": "Recreate"})
    premises.assert_reachable(premises.router, address, "www")
    premises.provider.advertise(second, Advertised(_LINK, preferred=0))
    moved = str(IPv6Network(second)[suffix(address)])
    eventually(lambda: premises.address("www", "web") == moved, "it is renumbered")
    premises.assert_reachable(premises.router, moved, "www")
    premises.wait_source_address("www", moved)
    eventually(lambda: premises.proxy_entries() == {moved}, "only the new address has an entry")
