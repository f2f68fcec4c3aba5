"""Each example of manifests/examples is applied to real engines, and does what its comments say.

Examples that use `wan0` find a provider there that delegates a prefix to the host.
"""

from __future__ import annotations

import json
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import eventually, has_condition, network_id, resource, subnet_of
from tests.e2e.provider import UPLINK, Premises, suffix, unbroken
from tests.e2e.registry import ROOT
from tests.e2e.site import reach_as
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, HOST_ADDRESS_V4, NEIGHBOUR_ADDRESS, deadline_for, ping
from tests.lab.probe import Port, assert_closed, reach
from tests.lab.provider import ROUTER, Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.lab.cells import Cell
    from tests.lab.engine import Engine
    from tests.lab.lab import Lab
    from tests.lab.operator import Operator
    from tests.lab.session import Session

_EXAMPLES = {path.name: path.read_text() for path in sorted((ROOT / "manifests" / "examples").iterdir())}
_ULA = IPv6Network("fd00::/8")
_DELEGATED, _NEXT = "2001:db8:a00::/56", "2001:db8:c00::/56"


def _subnet(operator: Operator, name: str) -> IPv6Network:
    operator.wait_ready(f"v6net/{name}")
    return IPv6Network(resource(operator, name)["status"]["subnet"])


def _address(engine: Engine, container: str, network: str) -> IPv6Address:
    return IPv6Address(engine.container_addresses(container, network)["6"])


def _assert_translated(lab: Lab, container: str) -> None:
    assert ping(lab.engine, container, FAR_ADDRESS)
    assert lab.neighbour.seen_as(lab.engine, container) == HOST_ADDRESS


def _minimal(_cell: Cell, lab: Lab, operator: Operator) -> None:
    subnet = _subnet(operator, "minimal")
    assert subnet.subnet_of(_ULA)
    assert subnet.prefixlen == 64
    container = lab.engine.run("one", "minimal")
    assert _address(lab.engine, container, "minimal") in subnet
    _assert_translated(lab, container)


def _fixed_subnet(_cell: Cell, lab: Lab, operator: Operator) -> None:
    subnet = _subnet(operator, "guide")
    assert str(subnet) == "fd12:3456:789a:1::/64"
    network = lab.engine.client().inspect_network("guide")
    assert network["Labels"]["purpose"] == "guide"
    ipv6 = next(each for each in network["IPAM"]["Config"] if ":" in each["Subnet"])
    assert "fd12:3456:789a:1::ffff" in ipv6["AuxiliaryAddresses"].values()
    assert lab.engine.netexec("ip", "link", "show", "br-guide").stdout
    container = lab.engine.run("one", "guide")
    link = json.loads(lab.engine.container_netns_exec(container, "ip", "-json", "link", "show", "eth0").stdout)
    assert link[0]["mtu"] == 1400
    _assert_translated(lab, container)


def _pool(_cell: Cell, _lab: Lab, operator: Operator) -> None:
    shop, jobs = _subnet(operator, "shop"), _subnet(operator, "shop-jobs")
    pool, taken = IPv6Network("fd12:3456:789a:a000::/52"), IPv6Network("fd12:3456:789a:a000::/60")
    assert (shop.prefixlen, jobs.prefixlen) == (64, 80)
    assert not shop.overlaps(jobs)
    for subnet in (shop, jobs):
        assert subnet.subnet_of(pool)
        assert not subnet.overlaps(taken)


def _observe(cell: Cell, lab: Lab, operator: Operator) -> None:
    eventually(has_condition(operator, "observed", "Ready", "False", "NetworkNotFound"), "it waits for the network")
    subnet = "fd12:3456:789a:4::/64"
    lab.engine.docker("network", "create", "--ipv6", "--subnet", subnet, "existing")
    network = network_id(lab.engine, "existing")
    assert str(_subnet(operator, "observed")) == subnet
    container = lab.engine.run("one", "existing")
    _assert_translated(lab, container)
    operator.remove_yaml("04-observe-existing-network.yaml")
    operator.wait_deleted("v6net/observed")
    assert network_id(lab.engine, "existing") == network
    # only the engine's own behaviour remains
    deadline = deadline_for(expected=cell.ipv6_rules)
    assert ping(lab.engine, container, FAR_ADDRESS, deadline=deadline) == cell.ipv6_rules


def _internal(_cell: Cell, lab: Lab, operator: Operator) -> None:
    _subnet(operator, "backend")
    one, two = (lab.engine.run(name, "backend") for name in ("one", "two"))
    assert ping(lab.engine, one, str(_address(lab.engine, two, "backend")))
    assert not ping(lab.engine, one, FAR_ADDRESS, deadline=1)


def _ipv6_only(cell: Cell, lab: Lab, operator: Operator) -> None:
    if not cell.settings.version.startswith("28."):
        eventually(
            has_condition(operator, "six", "Ready", "False", "EngineTooOld"), "the status names the required engine"
        )
        assert network_id(lab.engine, "six") is None
        return
    _subnet(operator, "six")
    container = lab.engine.run("one", "six")
    assert lab.engine.container_addresses(container, "six")["4"] == ""
    _assert_translated(lab, container)


def _egress(_cell: Cell, lab: Lab, operator: Operator) -> None:
    subnet = _subnet(operator, "uplinked")
    lab.neighbour.add_route(str(subnet))
    try:
        container = lab.engine.run("one", "uplinked")
        assert ping(lab.engine, container, FAR_ADDRESS)
        own = str(_address(lab.engine, container, "uplinked"))
        assert lab.neighbour.seen_as(lab.engine, container, target=FAR_ADDRESS) == own
        assert lab.neighbour.seen_as(lab.engine, container, target=NEIGHBOUR_ADDRESS) == HOST_ADDRESS
    finally:
        lab.neighbour.remove_route(str(subnet))


def _recreate(_cell: Cell, lab: Lab, operator: Operator) -> None:
    _subnet(operator, "changing")
    engine, name = lab.engine, "08-recreate.yaml"
    container = engine.run("one", "changing", aliases=["www"])
    before, address = network_id(engine, "changing"), _address(engine, container, "changing")
    text = _EXAMPLES[name]
    operator.apply_yaml(name, text.replace("icc: true", "icc: false"))
    eventually(lambda: network_id(engine, "changing") not in (None, before), "the network is recreated")
    operator.wait_ready("v6net/changing")
    assert _address(engine, container, "changing") == address
    endpoint = engine.client().inspect_container(container)["NetworkSettings"]["Networks"]["changing"]
    assert "www" in endpoint["Aliases"]
    _assert_translated(lab, container)
    operator.remove_yaml(name)
    operator.wait_deleted("v6net/changing")
    assert network_id(engine, "changing") is not None
    assert ping(engine, container, "fd12:3456:789a:8::1")


def _reached(lab: Lab, number: int, name: str, *, protocol: str = "tcp") -> None:
    port = Port(protocol, HOST_ADDRESS, number)
    reach_as(lab.neighbour.namespace.path, port, name, NEIGHBOUR_ADDRESS)


def _published(_cell: Cell, lab: Lab, operator: Operator) -> None:
    _subnet(operator, "shopfront")
    lab.engine.run("web", "shopfront", command=("responder", "tcp/80-81"), ports={"80/tcp": 8080})
    lab.engine.run("dns", "shopfront", command=("responder", "udp/80"), labels={"role": "dns"})
    _reached(lab, 8080, "web")
    _reached(lab, 9443, "web")
    assert_closed(lab.neighbour.namespace.path, Port("tcp", HOST_ADDRESS, 9443), source=FAR_ADDRESS)
    _reached(lab, 8053, "dns", protocol="udp")


def _policy(_cell: Cell, lab: Lab, operator: Operator) -> None:
    operator.wait_ready("v6pol/unique-local")
    subnet = "fd12:3456:789a:10::/64"
    lab.engine.docker("network", "create", "--ipv6", "--subnet", subnet, "foreign")
    container = lab.engine.run("web", "foreign", command=("responder", "tcp/80"), ports={"80/tcp": 8080})
    _reached(lab, 8080, "web")
    _assert_translated(lab, container)


def _members(_cell: Cell, lab: Lab, operator: Operator) -> None:
    _subnet(operator, "wordpress")
    lab.engine.docker("network", "create", "wordpress_default")
    labels = {"com.docker.compose.project": "wordpress"}
    command = ("responder", "tcp/80")
    web = lab.engine.run("web", "wordpress_default", command=command, labels=labels, ports={"80/tcp": 8080})
    _reached(lab, 8080, "web")
    _assert_translated(lab, web)
    address = Port("tcp", HOST_ADDRESS_V4, 8080)
    assert reach(lab.neighbour.namespace.path, address).name == "web"


def _vps(_cell: Cell, lab: Lab, operator: Operator) -> None:
    subnet = _subnet(operator, "vps-web")
    assert subnet.subnet_of(IPv6Network("2001:db8:0:1:1::/80"))
    lab.engine.run("www", "vps-web", command=("responder", "tcp/80-81"))
    address = str(_address(lab.engine, "www", "vps-web"))
    place = lab.neighbour.namespace.path
    assert str(reach(place, Port("tcp", address, 80), name="www").client) == NEIGHBOUR_ADDRESS
    assert lab.neighbour.ping(address)
    assert_closed(place, Port("tcp", address, 81))
    assert lab.neighbour.seen_as(lab.engine, "www") == address


def _office(_cell: Cell, lab: Lab, operator: Operator) -> None:
    prefix = IPv6Network("2001:db8:b00::/56")
    public, tools = _subnet(operator, "public"), _subnet(operator, "tools")
    assert public.subnet_of(prefix)
    assert tools.subnet_of(prefix)
    lab.neighbour.add_route(str(prefix))
    try:
        command = ("responder", "tcp/80", "tcp/443", "udp/53")
        lab.engine.run("web", "public", command=command, labels={"role": "web"})
        lab.engine.run("other", "public", command=command)
        lab.engine.run("wiki", "tools", command=command)
        web, other = (str(_address(lab.engine, name, "public")) for name in ("web", "other"))
        wiki = str(_address(lab.engine, "wiki", "tools"))
        place = lab.neighbour.namespace.path
        for source in (NEIGHBOUR_ADDRESS, FAR_ADDRESS):
            assert str(reach(place, Port("tcp", web, 443), name="web", source=source).client) == source
            assert_closed(place, Port("tcp", web, 80), Port("tcp", other, 443), source=source)
        for port in (Port("tcp", wiki, 80), Port("tcp", wiki, 443), Port("udp", wiki, 53)):
            reach(place, port, name="wiki", source=NEIGHBOUR_ADDRESS)
        for port in (Port("tcp", wiki, 443), Port("udp", wiki, 53)):
            reach(place, port, name="wiki", source=FAR_ADDRESS)
        assert_closed(place, Port("tcp", wiki, 80), source=FAR_ADDRESS)
        assert lab.neighbour.seen_as(lab.engine, "wiki") == wiki
    finally:
        lab.neighbour.remove_route(str(prefix))


def _moved(address: str, prefix: str) -> str:
    """The address in another /56, with the same remaining bits."""
    return str(IPv6Network(prefix)[suffix(address, 56)])


def _home(premises: Premises) -> None:
    premises.ready("home")
    inside = "fd12:3456:789a:13::80"
    premises.lab.engine.run("nas", "home", command=("responder", "tcp/80", "tcp/443"), address=inside)
    first, second = _moved(inside, _DELEGATED), _moved(inside, _NEXT)
    assert first == "2001:db8:a00:13::80"
    premises.wait_source_address("nas", first)
    premises.assert_reachable(premises.internet, first, "nas", port=443)
    premises.assert_refused(premises.internet, first, 80)
    with premises.open_connection("nas") as stream:
        premises.deprecate_prefix(_DELEGATED, 100)
        premises.delegate_prefix(_NEXT)
        premises.wait_source_address("nas", second)
        premises.assert_reachable(premises.internet, second, "nas", port=443)
        tally = stream.stop()
    assert unbroken(tally), tally
    assert premises.address("nas", "home") == inside


def _renumbered(premises: Premises) -> None:
    engine = premises.engine
    premises.ready("renumbered")
    before = subnet_of(engine, "renumbered")
    assert IPv6Network(before).subnet_of(IPv6Network("2001:db8:a00:20::/60"))
    container = premises.run("www", "renumbered")
    address = premises.address("www", "renumbered")
    premises.assert_reachable(premises.internet, address, "www")
    started = engine.client().inspect_container(container)["State"]["StartedAt"]
    premises.remove_prefix(_DELEGATED)
    premises.delegate_prefix(_NEXT)
    eventually(lambda: premises.address("www", "renumbered") == _moved(address, _NEXT), "it is renumbered")
    premises.ready("renumbered")
    premises.assert_reachable(premises.internet, _moved(address, _NEXT), "www")
    assert engine.client().inspect_container(container)["State"]["StartedAt"] == started


def _several_uplinks(premises: Premises) -> None:
    premises.ready("anywhere", "mail", "backup")
    lab, internal = premises.lab, "fd12:3456:789a:15::/64"
    for name in ("anywhere", "mail", "backup"):
        lab.engine.run(name, name)
    for name in ("anywhere", "mail"):
        assert lab.neighbour.seen_as(lab.engine, name) == HOST_ADDRESS
    premises.ip("route", "add", "default", "via", ROUTER, "dev", UPLINK, "table", "100")
    premises.ip("rule", "add", "from", internal, "lookup", "100")
    try:
        premises.wait_source_address("backup", _moved(premises.address("backup", "backup"), _DELEGATED))
    finally:
        premises.ip("rule", "del", "from", internal, "lookup", "100")


def _macvlan(_cell: Cell, lab: Lab, operator: Operator) -> None:
    assert str(_subnet(operator, "lan")) == "fd12:3456:789a:17::/64"
    router = "fd12:3456:789a:17::1"
    lab.neighbour.exec("ip", "address", "add", f"{router}/64", "dev", "eth0", "nodad")
    try:
        lab.engine.run("tv", "lan", command=("responder", "tcp/80"))
        address = str(_address(lab.engine, "tv", "lan"))
        assert address == "fd12:3456:789a:17::3"
        place = lab.neighbour.namespace.path
        assert str(reach(place, Port("tcp", address, 80), name="tv", source=router).client) == router
        assert lab.neighbour.seen_as(lab.engine, "tv", target=router) == address
    finally:
        lab.neighbour.exec("ip", "address", "del", f"{router}/64", "dev", "eth0")


def _lan1(lab: Lab) -> None:
    """Give the host an interface without a peer. Traffic on it is covered by another test."""
    lab.engine.netexec("ip", "link", "add", "lan1", "up", "type", "veth", "peer", "name", "lan1-far")
    lab.engine.netexec("ip", "link", "set", "lan1-far", "up")


def _ipvlan(_cell: Cell, lab: Lab, operator: Operator) -> None:
    eventually(
        has_condition(operator, "behind-lan1", "NetworkReady", "False", "ParentNotReady"),
        "it reports that lan1 is missing",
    )
    assert network_id(lab.engine, "behind-lan1") is None
    _lan1(lab)
    assert str(_subnet(operator, "behind-lan1")) == "fd12:3456:789a:18::/64"
    options = lab.engine.client().inspect_network("behind-lan1")["Options"]
    assert options == {"parent": "lan1", "ipvlan_mode": "l3"}


def _labels(_cell: Cell, lab: Lab, operator: Operator) -> None:
    _subnet(operator, "joined")
    chosen, member = ("--label", "dockerv6.io/policy=chosen"), {"dockerv6.io/network": "joined"}
    lab.engine.docker("network", "create", "--ipv6", "--subnet", "fd12:3456:789a:19::/64", *chosen, "choosing")
    lab.engine.docker("network", "create", "shop_default")
    one = lab.engine.run("one", "choosing")
    web = lab.engine.run("web", "shop_default", labels={**member, "com.docker.compose.project": "shop"})
    stranger = lab.engine.run("stranger", "shop_default", labels=member)
    for container in (one, web):
        eventually(partial(ping, lab.engine, container, FAR_ADDRESS, deadline=1), "it reaches the outside")
        _assert_translated(lab, container)
    assert not ping(lab.engine, stranger, FAR_ADDRESS, deadline=1)
    eventually(lambda: resource(operator, "chosen", "ipv6policy")["status"]["networks"] == 1, "the policy applies")


_AT_HOME: Mapping[str, Callable[[Premises], None]] = {"13-home.yaml": _home, "16-renumbered.yaml": _renumbered}
_CHECKS: Mapping[str, Callable[[Cell, Lab, Operator], None]] = {
    "01-minimal.yaml": _minimal,
    "02-fixed-subnet.yaml": _fixed_subnet,
    "03-pool.yaml": _pool,
    "04-observe-existing-network.yaml": _observe,
    "05-internal.yaml": _internal,
    "06-ipv6-only.yaml": _ipv6_only,
    "07-egress.yaml": _egress,
    "08-recreate.yaml": _recreate,
    "09-published-ports.yaml": _published,
    "10-policy.yaml": _policy,
    "11-members.yaml": _members,
    "12-vps.yaml": _vps,
    "14-office.yaml": _office,
    "17-macvlan.yaml": _macvlan,
    "18-ipvlan.yaml": _ipvlan,
    "19-labels.yaml": _labels,
}
_WITH_TWO_UPLINKS: Mapping[str, Callable[[Premises], None]] = {"15-several-uplinks.yaml": _several_uplinks}


@pytest.fixture
def two_uplinks(lab: Lab, lab_session: Session) -> Iterator[Premises]:
    """The lab's host with a second uplink, `wan0`, which has an address in the prefix that its provider delegates."""
    provider = Provider.join(lab_session, lab.engine.namespace)
    try:
        provider.delegate(_DELEGATED)
        premises = Premises(lab, lab.operator(), provider)
        premises.ip("address", "add", "2001:db8:a00::2/64", "dev", UPLINK, "nodad")
        premises.ip("route", "add", "unreachable", _DELEGATED, "proto", "dhcp")
        premises.ip("route", "add", "default", "via", ROUTER, "dev", UPLINK, "metric", "2048")
        yield premises
    finally:
        lab.close()
        provider.remove()
        lab.engine.netexec("ip", "-6", "route", "flush", "proto", "dhcp")


def test_every_example_is_applied() -> None:
    assert set(_EXAMPLES) == {*_CHECKS, *_AT_HOME, *_WITH_TWO_UPLINKS}


@pytest.mark.cells("28.5")
@pytest.mark.parametrize("name", _CHECKS)
def test_example_does_what_its_comment_says(name: str, cell: Cell, lab: Lab) -> None:
    operator = lab.operator()
    operator.apply_yaml(name, _EXAMPLES[name])
    operator.start()
    _CHECKS[name](cell, lab, operator)


@pytest.mark.cells("28.5")
@pytest.mark.parametrize("name", _AT_HOME)
def test_example_for_homes_does_what_its_comment_says(name: str, premises: Premises) -> None:
    premises.add_default_route()
    premises.delegate_prefix(_DELEGATED)
    premises.operator.apply_yaml(name, _EXAMPLES[name])
    premises.start()
    _AT_HOME[name](premises)


@pytest.mark.cells("28.5")
@pytest.mark.parametrize("name", _WITH_TWO_UPLINKS)
def test_example_for_several_uplinks_does_what_its_comment_says(name: str, two_uplinks: Premises) -> None:
    two_uplinks.operator.apply_yaml(name, _EXAMPLES[name])
    two_uplinks.start()
    _WITH_TWO_UPLINKS[name](two_uplinks)


@pytest.mark.cells("28.5")
def test_all_examples_work_together(lab: Lab, two_uplinks: Premises) -> None:
    lab.engine.docker("network", "create", "--ipv6", "--subnet", "fd12:3456:789a:4::/64", "existing")
    _lan1(lab)
    operator = two_uplinks.operator
    for name, text in _EXAMPLES.items():
        operator.apply_yaml(name, text)
    operator.cli("apply", "--timeout=60s", timeout=120)
    operator.cli("plan")
    operator.cli("uninstall", "--yes")
    networks = {each["Name"] for each in lab.engine.client().networks()}
    assert networks == {"bridge", "host", "none", "existing"}
