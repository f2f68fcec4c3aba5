"""What `dockerv6 import` prints, for a host with a network of every kind."""

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from dockerv6.api.network import ManagementPolicy
from dockerv6.cli.printers.imported import import_text, summary
from dockerv6.dockerd.model import COMPOSE_PROJECT, Network, SubnetConfig
from dockerv6.planning.importing.model import Import, ImportContext
from dockerv6.planning.importing.networks import import_ipv6nat, import_networks
from tests.golden.files import GOLDEN, check
from tests.unit.planning.importing.test_networks import BRIDGE, NO_IPV6, full, on
from tests.unit.planning.scene import ENGINE_20_10, ENGINE_28, foreign

FOLDER = GOLDEN / "import"
HOST = (
    Network("0" * 64, "host", "host"),
    Network("1" * 64, "bridge", "bridge", ipam=(SubnetConfig(IPv4Network("172.17.0.0/16")),)),
    foreign("Blog_default", "fd11::/64", 2, **{COMPOSE_PROJECT: "blog"}),
    replace(NO_IPV6, name="shop_default", labels={COMPOSE_PROJECT: "shop"}),
    replace(foreign("lan", "2001:db8:4::/64", 4), driver="macvlan", options={"parent": "eth0"}),
    replace(foreign("plain", "fd15::/64", 5), options={f"{BRIDGE}.enable_ip_masquerade": "false"}),
    foreign("public", "2001:db8:6::/64", 6),
    foreign("managed", "fd17::/64", 7, **{"dockerv6.io/managed-by": "dockerv6", "dockerv6.io/name": "mine"}),
    full(),
)
CONTEXTS = {
    "observe": ImportContext(engine=ENGINE_28),
    "manage": ImportContext(ManagementPolicy.MANAGE, ENGINE_28),
    "ipv6nat": ImportContext(engine=ENGINE_20_10, translates=False),
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_the_import_is_printed_as_it_was(name: str) -> None:
    containers = (on(full(), "web"), on(full(), "db"))
    if name == "ipv6nat":
        found = import_ipv6nat(HOST, containers, CONTEXTS[name], named=False)
    else:
        found = Import(import_networks(HOST, containers, CONTEXTS[name]))
    lines = [import_text(found, "yaml"), "--- standard error", *summary(found, examples=False)]
    check(FOLDER / f"{name}.txt", "\n".join([*lines, ""]))
