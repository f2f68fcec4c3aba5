"""`dockerv6 import`: what is on a host becomes resources, and nothing on the host is touched."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.cluster import eventually, network_id, wait_no_changes
from tests.e2e.site import RESPONDER, published, reach_as
from tests.e2e.test_ipv6nat import recorded
from tests.e2e.test_ipv6nat import stack as ipv6nat_stack
from tests.lab.compose import Stack
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, NEIGHBOUR_ADDRESS, UPLINK, ping
from tests.lab.probe import Port, reach

if TYPE_CHECKING:
    from tests.lab.cells import Cell
    from tests.lab.engine import Engine
    from tests.lab.lab import Lab
    from tests.lab.operator import Operator

pytestmark = pytest.mark.cells("20.10-off", "28.5")

_BRIDGE = "com.docker.network.bridge"
_NETWORKS = {
    "plain": ("--ipv6", "--subnet", "fd12:3456:789a:1::/64"),
    "Odd_Name.2": (
        *("--ipv6", "--subnet", "fd12:3456:789a:2::/64", "--gateway", "fd12:3456:789a:2::9"),
        *("--ip-range", "fd12:3456:789a:2::8000/113", "--aux-address", "router=fd12:3456:789a:2::5"),
        *("-o", "com.docker.network.driver.mtu=1400", "-o", f"{_BRIDGE}.name=br-odd", "--label", "team=web"),
    ),
    "apart": ("--ipv6", "--subnet", "fd12:3456:789a:3::/64", "-o", f"{_BRIDGE}.enable_icc=false", "--attachable"),
    "inside": ("--ipv6", "--subnet", "fd12:3456:789a:4::/64", "--internal"),
    "both": (
        *("--ipv6", "--subnet", "fd12:3456:789a:5::/64"),
        *("--subnet", "192.0.2.0/28", "--gateway", "192.0.2.9"),
    ),
    "four": ("--subnet", "192.0.2.16/28"),
    "unused6": ("--subnet", "fd12:3456:789a:7::/64", "--subnet", "192.0.2.32/28"),
    "lan": ("--driver", "macvlan", "--ipv6", "--subnet", "fd12:3456:789a:8::/64", "-o", f"parent={UPLINK}"),
}
_STACK = """
services:
  web:
    image: busybox:test
    hostname: web
    command: [responder, tcp/80]
    ports: ["8080:80"]
    networks: [front]
  db:
    image: busybox:test
    command: [sleep, "3600"]
    networks: [back]
networks:
  front:
    enable_ipv6: true
    driver_opts: {com.docker.network.container_iface_prefix: net}
    labels: {tier: front}
    ipam: {config: [{subnet: "fd12:3456:789a:11::/64"}]}
  back: {}
"""


def _state(engine: Engine) -> dict[str, Any]:
    """Everything that an import must not touch: networks, and containers with the time of their start."""
    client = engine.client()
    networks = {each["Id"]: each for each in (client.inspect_network(n["Id"]) for n in client.networks())}
    containers = [client.inspect_container(c["Id"]) for c in client.containers(all=True)]
    return {
        "networks": networks,
        "containers": {c["Id"]: (c["State"]["StartedAt"], c["NetworkSettings"]["Networks"]) for c in containers},
    }


def _actions_on_the_engine(operator: Operator) -> list[str]:
    """What a run would do to Docker networks and containers, beside rules and host settings."""
    planned = operator.cli("plan", "-o", "json", check=False)
    assert planned.returncode in {0, 2}, planned.stderr
    actions = [step["action"] for plan in json.loads(planned.stdout)["plans"] for step in plan["steps"]]
    assert "UpdateFirewall" in actions
    return [each for each in actions if any(part in each for part in ("Network", "Endpoint", "Member", "Subnet"))]


def _imports(operator: Operator, *arguments: str) -> str:
    """Import into the configuration directory; return the summary."""
    return operator.cli("import", "--output-dir", str(operator.config_dir), *arguments).stderr


def test_networks_and_stacks_are_imported_without_a_change(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    for name, options in _NETWORKS.items():
        engine.docker("network", "create", *options, name)
    for number, name in enumerate(("plain", "Odd_Name.2", "apart", "both"), start=1):
        engine.run(name, name, command=RESPONDER, ports={"80/tcp": 8000 + number})
    engine.run("inside", "inside")
    stack = Stack(engine, lab.directory / "shop", "shop")
    stack.write(_STACK)
    stack.up()
    before = _state(engine)

    summary = _imports(operator)
    written = sorted(path.name for path in operator.config_dir.iterdir())
    assert written == [f"{n}.yaml" for n in ("apart", "both", "inside", "lan", "odd-name-2", "plain", "shop-front")]
    assert "Odd_Name.2: IPv6Network/odd-name-2 (Observe)" in summary
    for name in ("four", "unused6", "shop_back", "host", "none", "bridge"):
        assert f"{name}: not imported: " in summary
    assert "com.docker.compose.project: shop" in summary  # the resource that the project's containers could join
    assert "no Docker network is created, changed or removed" in summary
    again = operator.cli("import", "--output-dir", str(operator.config_dir))
    assert sorted(path.name for path in operator.config_dir.iterdir()) == written
    assert "IPv6Network odd-name-2 is for this network already" in again.stderr

    assert _actions_on_the_engine(operator) == []
    operator.cli("apply")
    assert operator.cli("plan").returncode == 0
    operator.start()
    operator.wait_ready("ipv6network/shop-front")
    outside = lab.neighbour.namespace.path
    for number, name in enumerate(("plain", "Odd_Name.2", "apart", "both"), start=1):
        reach_as(outside, published(8000 + number), name, NEIGHBOUR_ADDRESS)
        assert ping(engine, name, FAR_ADDRESS)
        assert lab.neighbour.seen_as(engine, name) == HOST_ADDRESS
    reach_as(outside, published(8080), "web", NEIGHBOUR_ADDRESS)
    assert ping(engine, stack.container("web"), FAR_ADDRESS)
    stack.up()
    assert _state(engine) == before


@pytest.mark.core_cells("28.5")
def test_what_is_imported_and_applied_is_no_change_for_plan_and_diff(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    engine.docker("network", "create", *_NETWORKS["plain"], "plain")
    engine.run("web", "plain", command=RESPONDER, ports={"80/tcp": 8001})
    printed = operator.cli("import").stdout
    assert operator.cli("diff", "-f", "-", stdin=printed, check=False).returncode == 1  # the rules
    assert operator.cli("plan").returncode == 0  # nothing was written
    operator.cli("apply", "-f", "-", stdin=printed)
    assert operator.cli("plan", check=False).returncode == 2
    operator.cli("apply")
    assert operator.cli("plan").returncode == 0
    operator.start()
    operator.wait_ready("ipv6network/plain")
    wait_no_changes(operator)
    assert operator.cli("diff", "-f", "-", stdin=printed).returncode == 0


def test_the_example_for_a_stack_without_ipv6_works_when_it_is_pasted(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    stack = Stack(engine, lab.directory / "old", "old")
    stack.write('services: {web: {image: "busybox:test", command: [sleep, "3600"]}}')
    stack.up()
    printed = operator.cli("import", "--project", "old").stdout
    commented = [line.removeprefix("# ") for line in printed.splitlines()]
    operator.apply_yaml("old.yaml", "\n".join(commented[commented.index("apiVersion: dockerv6.io/v1alpha1") :]))
    operator.cli("apply")
    operator.start()
    eventually(lambda: ping(engine, stack.container("web"), FAR_ADDRESS, deadline=1), "the stack has IPv6")


def test_a_network_is_managed_once_the_present_one_is_removed(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    engine.docker("network", "create", *_NETWORKS["Odd_Name.2"], "Odd_Name.2")
    engine.run("web", "Odd_Name.2", command=RESPONDER, ports={"80/tcp": 8001})
    before = _state(engine)
    summary = _imports(operator, "--manage", "Odd_Name.2")
    assert "This disconnects web" in summary
    assert "label dockerv6.io/managed-by is unset, should be dockerv6" in summary
    blocked = operator.cli("plan", check=False)
    assert (blocked.returncode, "dockerv6 did not create it" in blocked.stdout) == (1, True)
    assert _state(engine) == before

    address = engine.container_addresses("web", "Odd_Name.2")["6"]
    (original,) = (n for n in before["networks"].values() if n["Name"] == "Odd_Name.2")
    engine.docker("network", "disconnect", "Odd_Name.2", "web")
    engine.docker("network", "rm", "Odd_Name.2")
    operator.cli("apply")
    assert operator.cli("plan").returncode == 0
    engine.docker("network", "connect", "--ip6", address, "Odd_Name.2", "web")
    created = engine.client().inspect_network("Odd_Name.2")
    assert created["Options"] == original["Options"]
    assert created["Labels"]["team"] == "web"
    ours, theirs = (
        {
            (each["Subnet"], each.get("IPRange"), each.get("Gateway"))
            for each in of["IPAM"]["Config"]
            if ":" in each["Subnet"]
        }
        for of in (created, original)
    )
    assert ours == theirs
    operator.start()
    operator.wait_ready("ipv6network/odd-name-2")
    reach_as(lab.neighbour.namespace.path, published(8001), "web", NEIGHBOUR_ADDRESS)


def test_the_networks_of_a_compose_file_are_imported_before_it_runs(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    stack = Stack(engine, lab.directory / "shop", "shop")
    stack.write(_STACK.replace("fd12:3456:789a:11::/64", "${PREFIX:-fd12:3456:789a:12}::/64"))
    file = lab.directory / "shop" / "compose.yaml"
    refused = operator.cli("import", "-f", str(file), check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "compose.yaml:" in refused.stderr
    resolved = stack.compose("config").stdout
    for form in ((), ("--format", "json")):
        text = stack.compose("config", *form).stdout
        printed = operator.cli("import", "-f", "-", stdin=text)
        assert "networkName: shop_front" in printed.stdout
        assert "shop_back: not imported" in printed.stderr
    operator.cli("import", "-f", "-", "--manage", "--output-dir", str(operator.config_dir), stdin=resolved)
    operator.cli("apply")
    assert operator.cli("plan").returncode == 0
    made = network_id(engine, "shop_front")
    stack.write(
        _STACK.partition("networks:\n  front:")[0] + "networks: {front: {external: true, name: shop_front}, back: {}}"
    )
    stack.up()
    assert network_id(engine, "shop_front") == made
    assert engine.container_addresses(stack.container("web"), "shop_front")["6"].startswith("fd12:3456:789a:12:")
    operator.start()
    operator.wait_ready("ipv6network/shop-front")
    reach_as(lab.neighbour.namespace.path, published(8080), "web", NEIGHBOUR_ADDRESS)
    stack.compose("down")


@pytest.mark.cells("20.10-off-nft-noproxy", "20.10-off-legacy-proxy")
def test_a_host_of_docker_ipv6nat_gets_one_policy(lab: Lab, cell: Cell) -> None:
    engine, operator = lab.engine, lab.operator()
    ipv6nat_stack(engine)
    engine.docker("network", "create", "--ipv6", "--subnet", "2001:db8:7::/64", "public")
    engine.exec("ip6tables-restore", stdin=recorded(f"20.10-off-{'proxy' if cell.proxy else 'noproxy'}-beside"))
    before = _state(engine)
    summary = _imports(operator)
    assert sorted(path.name for path in operator.config_dir.iterdir()) == ["docker-ipv6nat.yaml", "public.yaml"]
    assert "a, i, n: IPv6Policy/docker-ipv6nat" in summary
    assert "docs/docker-ipv6nat.md" in summary
    assert _actions_on_the_engine(operator) == []
    operator.cli("apply", check=False)
    operator.cli("cleanup", "docker-ipv6nat")
    operator.cli("apply")
    assert operator.cli("plan").returncode == 0
    operator.start()
    operator.wait_ready("ipv6policy/docker-ipv6nat")
    outside = lab.neighbour.namespace.path
    for port, container in ((8080, "web"), (8081, "web2")):
        assert str(reach(outside, Port("tcp", HOST_ADDRESS, port), name=container).client) == NEIGHBOUR_ADDRESS
    assert ping(engine, "web", FAR_ADDRESS)
    assert _state(engine) == before
