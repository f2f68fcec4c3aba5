"""One IPv6Policy gives existing networks NAT66, published ports and isolation, and removes them again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.cluster import eventually, network_id, network_yaml, our_table, policy_yaml
from tests.e2e.site import Site, exclusive_site, published, reach_as
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, NEIGHBOUR_ADDRESS, UPLINK, ping
from tests.lab.probe import Port, assert_closed, reach, wait_closed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.cells import Cell
    from tests.lab.lab import EnginePool, Lab

_PREFIX = "fd12:3456:789a::/48"
_SECOND_ADDRESS = "2001:db8:0:1::3"
# deprecated, so that the host does not use it as a source address
_NOT_A_SOURCE = ("nodad", "preferred_lft", "0", "valid_lft", "forever")
_DEFAULT_BRIDGE = {"ipv6": True, "fixed-cidr-v6": "fd12:3456:789a:d::/64"}
_GWBRIDGE = (
    *("-o", "com.docker.network.bridge.name=docker_gwbridge"),
    *("-o", "com.docker.network.bridge.enable_icc=false"),
    *("-o", "com.docker.network.bridge.enable_ip_masquerade=true"),
)
_COMPOSE = ("--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.network=default")
_ALL = "all-local"


pytestmark = pytest.mark.cells("20.10-off", "28.5")


def _subnet(number: int) -> str:
    return f"fd12:3456:789a:{number:x}::/64"


@pytest.fixture(scope="module")
def site(cell: Cell, engine_pool: EnginePool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A host with networks that were created before and after a policy for all unique local prefixes."""
    settings = replace(cell.settings, config={**cell.settings.config, **_DEFAULT_BRIDGE})
    with exclusive_site(engine_pool, settings, tmp_path_factory.mktemp("site")) as site:
        site.lab.neighbour.add_route(_PREFIX)
        site.engine.netexec("ip", "address", "add", f"{_SECOND_ADDRESS}/64", "dev", UPLINK, *_NOT_A_SOURCE)
        site.create_network("shop_default", _subnet(1), *_COMPOSE)
        site.create_network("docker_gwbridge", _subnet(2), *_GWBRIDGE)
        site.run("shop-web-1", "shop_default", ports={"80/tcp": 8001})
        site.operator.apply_yaml("all.yaml", policy_yaml(_ALL, {"selector": {"prefixes": ["fc00::/7"]}}))
        site.start()
        site.operator.wait_ready(f"ipv6policy/{_ALL}")
        site.create_network("late", _subnet(3), "-o", "com.docker.network.bridge.name=br-late")
        site.run("gw", "docker_gwbridge", ports={"80/tcp": 8002})
        site.run("late", "late", ports={"80/tcp": 8003, "80/udp": 8003})
        site.run("plain", None, ports={"80/tcp": 8004})
        yield site
        site.engine.netexec("ip", "address", "del", f"{_SECOND_ADDRESS}/64", "dev", UPLINK)
        site.lab.neighbour.remove_route(_PREFIX)


@pytest.fixture(autouse=True)
def _logs(site: Site, report_logs_of: Callable[[Lab], None]) -> None:
    report_logs_of(site.lab)


@pytest.fixture
def network(site: Site) -> Iterator[Callable[..., str]]:
    """Create networks for one test."""
    made: list[str] = []

    def make(name: str, subnet: str, *options: str) -> str:
        site.create_network(name, subnet, *options)
        made.append(name)
        return name

    yield make
    for name in made:
        attached = site.engine.client().containers(all=True, filters={"network": name})
        site.remove(*(each["Id"] for each in attached)) if attached else None
        site.engine.docker("network", "rm", name)


def _matched(site: Site, policy: str) -> list[str]:
    return [each["name"] for each in site.status(policy).get("matched", [])]


def _wait_matched(site: Site, policy: str, *networks: str) -> None:
    eventually(lambda: _matched(site, policy) == sorted(networks), f"{policy} matches {networks}")


_CONTAINERS = (("shop-web-1", "shop_default", 8001), ("gw", "docker_gwbridge", 8002), ("late", "late", 8003))
_EVERYWHERE = (*_CONTAINERS, ("plain", "bridge", 8004))


def _another(name: str) -> str:
    return next(each for each, _, _ in _EVERYWHERE if each != name)


def test_networks_of_every_origin_are_published_with_the_clients_address(site: Site) -> None:
    for name, _, number in _EVERYWHERE:
        for client in (NEIGHBOUR_ADDRESS, FAR_ADDRESS):
            reach_as(site.neighbour, published(number), name, client, source=client)
        reach(site.host, published(number), name=name)
    reach_as(site.neighbour, published(8003, "udp"), "late", NEIGHBOUR_ADDRESS)


def test_networks_of_every_origin_reach_the_internet_as_the_host(site: Site) -> None:
    for name, _, _ in _EVERYWHERE:
        assert ping(site.engine, name, FAR_ADDRESS)
        assert site.lab.neighbour.seen_as(site.engine, name) == HOST_ADDRESS


def test_networks_of_every_origin_are_closed_to_others(site: Site) -> None:
    for name, network, number in _EVERYWHERE:
        reach(site.neighbour, published(number), name=name)
        internal = [Port("tcp", site.address(name, network), port) for port in (80, 81)]
        assert_closed(site.neighbour, *internal)
        assert_closed(site.inside(_another(name)), *internal)


def test_networks_of_every_origin_reach_each_others_published_ports(site: Site) -> None:
    for name, _, number in _EVERYWHERE:
        reach(site.inside(_another(name)), published(number), name=name)


def test_status_lists_networks_and_ports(site: Site) -> None:
    _wait_matched(site, _ALL, "bridge", "docker_gwbridge", "late", "shop_default")
    status = site.status(_ALL)
    assert status["networks"] == 4
    assert {each["name"]: (each["bridge"], each["subnets"]) for each in status["matched"]} == {
        "bridge": ("docker0", [_subnet(0xD)]),
        "docker_gwbridge": ("docker_gwbridge", [_subnet(2)]),
        "late": ("br-late", [_subnet(3)]),
        "shop_default": (next(e["bridge"] for e in status["matched"] if e["name"] == "shop_default"), [_subnet(1)]),
    }
    ports = {(each["protocol"], each["port"]): each for each in status["publishedPorts"]}
    assert sorted(ports) == [("tcp", 8001), ("tcp", 8002), ("tcp", 8003), ("tcp", 8004), ("udp", 8003)]
    assert ports["tcp", 8001] == {
        "protocol": "tcp",
        "hostAddress": "::",
        "port": 8001,
        "container": "shop-web-1",
        "address": site.address("shop-web-1", "shop_default"),
        "targetPort": 80,
    }
    reported = {each["type"]: each for each in status["conditions"]}
    assert reported["Ready"]["status"] == "True"
    assert reported["Ready"]["message"] == "4 Docker networks"
    assert reported["PortsPublished"]["message"] == "5 ports published"
    table = site.operator.cli("get", "v6pol").stdout
    assert _ALL in table
    assert "shop_default" in site.operator.cli("describe", "ipv6policy", _ALL).stdout


def test_ports_are_bound_to_the_binding_address_of_the_network(site: Site, network: Callable[..., str]) -> None:
    option = f"com.docker.network.bridge.host_binding_ipv6={_SECOND_ADDRESS}"
    network("bound", _subnet(4), "-o", option)
    site.run("bound", "bound", ports={"80/tcp": 8005})
    reach_as(site.neighbour, published(8005, address=_SECOND_ADDRESS), "bound", NEIGHBOUR_ADDRESS)

    def reported() -> list[str]:
        return [each["hostAddress"] for each in site.status(_ALL)["publishedPorts"] if each["port"] == 8005]

    eventually(lambda: reported() == [_SECOND_ADDRESS], "the status has the port")


def test_ports_on_all_of_ipv4_are_opened_on_ipv6_where_the_policy_says_so(
    site: Site, network: Callable[..., str]
) -> None:
    network("wild", "2001:db8:1:3::/64", "--label", "wild=yes")
    site.run("wild", "wild", ports={"80/tcp": ("0.0.0.0", 8030)})
    selector = {"selector": {"matchLabels": {"wild": "yes"}}}
    site.operator.apply_yaml("wild.yaml", policy_yaml("wild", selector))
    _wait_matched(site, "wild", "wild")
    assert_closed(site.neighbour, published(8030))
    site.operator.apply_yaml("wild.yaml", policy_yaml("wild", {**selector, "publish": {"ipv4Wildcard": "Both"}}))
    reach_as(site.neighbour, published(8030), "wild", NEIGHBOUR_ADDRESS)
    site.operator.remove_yaml("wild.yaml")
    wait_closed(site.neighbour, published(8030))


def test_networks_with_strange_bridges_have_their_rules_like_others(site: Site, network: Callable[..., str]) -> None:
    started = site.operator.pid
    strange = {"star": "*", "at": "@networks", "not": "!eth0", "all": "br-+"}
    for number, (name, bridge) in enumerate(strange.items()):
        network(name, _subnet(0xA0 + number), "-o", f"com.docker.network.bridge.name={bridge}")
        site.run(name, name, ports={"80/tcp": 8011 + number})
    network("fine", _subnet(0xB0))
    site.run("fine", "fine", ports={"80/tcp": 8010})
    for port, name in enumerate(("fine", *strange), start=8010):
        reach_as(site.neighbour, published(port), name, NEIGHBOUR_ADDRESS)
        assert site.lab.neighbour.seen_as(site.engine, name) == HOST_ADDRESS
    assert site.operator.pid == started


def test_a_network_without_icc_isolates_its_containers(site: Site, network: Callable[..., str]) -> None:
    network("apart", _subnet(5), "-o", "com.docker.network.bridge.enable_icc=false")
    site.run("one", "apart", ports={"80/tcp": 8006})
    site.run("two", "apart")
    reach(site.inside("two"), published(8006), name="one")
    assert_closed(site.inside("two"), Port("tcp", site.address("one", "apart"), 80))
    assert ping(site.engine, "two", FAR_ADDRESS)


def test_a_network_without_masquerade_is_not_translated(site: Site, network: Callable[..., str]) -> None:
    # by default, engines from 28.2 on drop replies to packets that were not translated
    trusted = ("-o", f"com.docker.network.bridge.trusted_host_interfaces={UPLINK}")
    network("routed", _subnet(6), "-o", "com.docker.network.bridge.enable_ip_masquerade=false", *trusted)
    site.run("routed", "routed")
    own = site.address("routed", "routed")
    assert ping(site.engine, "routed", FAR_ADDRESS)
    assert site.lab.neighbour.seen_as(site.engine, "routed") == own


def test_a_network_that_is_removed_leaves_no_rules(site: Site, network: Callable[..., str]) -> None:
    network("brief", _subnet(7))
    site.run("brief", "brief", ports={"80/tcp": 8007})
    reach(site.neighbour, published(8007), name="brief")
    _wait_matched(site, _ALL, "bridge", "brief", "docker_gwbridge", "late", "shop_default")
    site.remove("brief")
    site.engine.docker("network", "rm", "brief")
    eventually(lambda: "789a:7:" not in our_table(site.engine), "its rules are removed")
    wait_closed(site.neighbour, published(8007))
    _wait_matched(site, _ALL, "bridge", "docker_gwbridge", "late", "shop_default")
    site.create_network("brief", _subnet(7))


def _apply(site: Site, name: str, selector: dict[str, Any]) -> None:
    spec = {"selector": selector, "publish": {"fromContainers": False}}
    site.operator.apply_yaml(f"{name}.yaml", policy_yaml(name, spec))


def test_selectors_choose_by_label_name_prefix_and_driver(site: Site, network: Callable[..., str]) -> None:
    network("red", "2001:db8:1:1::/64", "--label", "colour=red", "--label", "size=big")
    network("blue", "2001:db8:1:2::/64", "--label", "colour=blue")
    network("far", "2001:db8:2:1::/64", "--label", "colour=red")
    network("four", "", "--label", "colour=red")  # IPv4 only: no policy matches it
    _wait_matched(site, _ALL, "bridge", "docker_gwbridge", "late", "shop_default")
    _apply(site, "by-label", {"matchLabels": {"colour": "red", "size": "big"}})
    _apply(site, "by-name", {"names": ["blue", "absent"]})
    _apply(site, "by-prefix", {"prefixes": ["2001:db8:2::/48"]})
    _apply(site, "zz-driver", {"drivers": ["bridge"], "prefixes": ["2001:db8::/32"]})
    _wait_matched(site, "by-label", "red")
    _wait_matched(site, "by-name", "blue")
    _wait_matched(site, "by-prefix", "far")
    # the first policy by name gets a network
    _wait_matched(site, "zz-driver")
    claimed = {"red": "IPv6Policy/by-label", "blue": "IPv6Policy/by-name", "far": "IPv6Policy/by-prefix"}

    def reported() -> dict[str, str]:
        return {each["name"]: each["by"] for each in site.status("zz-driver").get("claimed", [])}

    eventually(lambda: reported() == claimed, "the other policies have their networks")
    _apply(site, "by-name", {"names": ["absent"]})
    _wait_matched(site, "zz-driver", "blue")
    site.run("red", "red", ports={"80/tcp": 8008})
    eventually(lambda: ping(site.engine, "red", FAR_ADDRESS, deadline=1), "it is translated")
    assert site.lab.neighbour.seen_as(site.engine, "red") == HOST_ADDRESS
    assert site.status("by-label")["publishedPorts"] == []


def test_a_policy_does_not_match_an_observed_network(site: Site, network: Callable[..., str]) -> None:
    network("claimed", _subnet(8))
    site.run("claimed", "claimed", ports={"80/tcp": 8009})
    reach(site.neighbour, published(8009), name="claimed")
    spec = {"managementPolicy": "Observe", "networkName": "claimed", "publish": {"fromContainers": False}}
    site.operator.apply_yaml("mine.yaml", network_yaml("mine", spec))
    site.operator.wait_ready("ipv6network/mine")
    _wait_matched(site, _ALL, "bridge", "docker_gwbridge", "late", "shop_default")
    assert {"name": "claimed", "by": "IPv6Network/mine"} in site.status(_ALL)["claimed"]
    assert 8009 not in [each["port"] for each in site.status(_ALL)["publishedPorts"]]
    assert site.lab.neighbour.seen_as(site.engine, "claimed") == HOST_ADDRESS
    site.operator.apply_yaml("mine.yaml", network_yaml("mine", {**spec, "networkName": "another"}))
    _wait_matched(site, _ALL, "bridge", "claimed", "docker_gwbridge", "late", "shop_default")
    reach_as(site.neighbour, published(8009), "claimed", NEIGHBOUR_ADDRESS)


def test_a_deleted_policy_removes_its_rules_and_keeps_the_networks(site: Site, cell: Cell) -> None:
    networks = {name: network_id(site.engine, name) for name in ("bridge", "docker_gwbridge", "late", "shop_default")}
    text = (site.operator.config_dir / "all.yaml").read_text()
    site.operator.remove_yaml("all.yaml")
    site.operator.wait_deleted(f"ipv6policy/{_ALL}")
    eventually(lambda: "789a:" not in our_table(site.engine), "its rules are removed")
    assert {name: network_id(site.engine, name) for name in networks} == networks
    # only the engine's own behaviour remains
    seen = HOST_ADDRESS if cell.ipv6_rules else site.address("late", "late")
    assert site.lab.neighbour.seen_as(site.engine, "late") == seen
    site.operator.apply_yaml("all.yaml", text)
    for name, _, number in _EVERYWHERE:
        reach_as(site.neighbour, published(number), name, NEIGHBOUR_ADDRESS)
