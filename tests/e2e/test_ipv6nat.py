"""Migration from docker-ipv6nat, with rules that were recorded from a real one."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dockerv6.firewall.hostfilter.drops import COMMENT
from tests.e2e.cluster import eventually, policy_yaml
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, NEIGHBOUR_ADDRESS, ping
from tests.lab.probe import Port, connect, reach

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.cells import Cell
    from tests.lab.engine import Engine
    from tests.lab.lab import Lab
    from tests.lab.operator import Operator

RECORDED = Path(__file__).parents[1] / "golden" / "ipv6nat"
NAME = "docker-ipv6nat"
RESPONDER = ("responder", "tcp/80", "udp/53")
WEB = Port("tcp", HOST_ADDRESS, 8080)
BOUND = Port("tcp", HOST_ADDRESS, 8081)
BRIDGE = "com.docker.network.bridge"


def recorded(name: str) -> str:
    return (RECORDED / f"{name}.save").read_text()


def stack(engine: Engine) -> None:
    """The networks and containers that the rules were recorded with (tests/golden/ipv6nat/README.md)."""
    for name, number, options in (
        ("a", 1, ()),
        ("i", 2, ("--internal", "-o", f"{BRIDGE}.enable_icc=false")),
        (
            "n",
            3,
            (
                *("-o", f"{BRIDGE}.enable_icc=false", "-o", f"{BRIDGE}.enable_ip_masquerade=false"),
                *("-o", f"{BRIDGE}.host_binding_ipv6={HOST_ADDRESS}"),
            ),
        ),
    ):
        subnet = ("--ipv6", "--subnet", f"fd00:{number}::/64", "-o", f"{BRIDGE}.name=br-{name}")
        engine.docker("network", "create", *subnet, *options, name)
    engine.run("web", "a", command=RESPONDER, ports={"80/tcp": 8080, "53/udp": 53}, address="fd00:1::2")
    engine.run("web2", "n", command=RESPONDER, ports={"80/tcp": 8081}, address="fd00:3::2")


def rules(engine: Engine) -> dict[str, list[str]]:
    """The xtables rules, chains and policies by table, without empty tables."""
    found: dict[str, list[str]] = {}
    saved = re.sub(r" \[\d+:\d+\]", "", engine.exec("ip6tables-save").stdout)
    for table in saved.split("COMMIT\n"):
        lines = [line for line in table.splitlines() if not line.startswith("#")]
        if any(not re.match(r":\w+ ACCEPT$", line) for line in lines[1:]):
            found[lines[0]] = lines[1:]
    return found


def finding(operator: Operator) -> dict[str, Any]:
    """The doctor's check of docker-ipv6nat."""
    report = json.loads(operator.cli("doctor", "-o", "json", check=False).stdout)
    (found,) = (check for check in report["checks"] if check["name"] == NAME)
    return dict(found)


@pytest.fixture
def running(lab: Lab, tmp_path: Path) -> Iterator[None]:
    """A process named docker-ipv6nat in the host's network namespace."""
    program = tmp_path / NAME
    program.symlink_to(sys.executable)
    process = lab.engine.namespace.popen([str(program), "-S", "-c", "input()"])
    eventually(lambda: Path(f"/proc/{process.pid}/comm").read_text().strip() == NAME, "it runs")
    yield
    process.communicate("\n")


@pytest.fixture
def operator(lab: Lab) -> Operator:
    """An installation with the policy that replaces docker-ipv6nat, not started."""
    stack(lab.engine)
    operator = lab.operator()
    operator.apply_yaml("all.yaml", policy_yaml("all", {"selector": {"prefixes": ["fc00::/7"]}}))
    return operator


def serves(lab: Lab) -> None:
    """Check that published ports see the client's address from outside, and that egress works."""
    neighbour = lab.neighbour.namespace.path
    for port, container in ((WEB, "web"), (BOUND, "web2")):
        assert str(reach(neighbour, port, name=container).client) == NEIGHBOUR_ADDRESS
    assert ping(lab.engine, "web", FAR_ADDRESS)


@pytest.mark.cells("20.10-off-nft-noproxy", "20.10-off-legacy-proxy")
def test_a_host_migrates_without_interruption_and_no_rule_is_left(lab: Lab, cell: Cell, operator: Operator) -> None:
    engine = lab.engine
    before = rules(engine)
    engine.exec("ip6tables-restore", stdin=recorded(f"20.10-off-{'proxy' if cell.proxy else 'noproxy'}-beside"))
    serves(lab)
    connection = connect(lab.neighbour.namespace.path, WEB)
    operator.start()
    operator.wait_ready("ipv6policy/all")
    serves(lab)
    found = finding(operator)
    assert (found["status"], "br-a, br-i, br-n" in found["message"]) == ("warn", True)
    with_both = rules(engine)
    dry = operator.cli("cleanup", NAME, "--dry-run").stdout.splitlines()
    assert rules(engine) == with_both
    removed = operator.cli("cleanup", NAME).stdout.splitlines()
    assert [line.removeprefix("removed") for line in removed] == [line.removeprefix("would remove") for line in dry]
    assert rules(engine) == before == {}
    serves(lab)
    with connection:  # its translation rules are removed
        connection.sendall(b"who\n")
        assert connection.recv(100).startswith(b"web ")
    assert finding(operator)["status"] == "ok"
    assert operator.cli("cleanup", NAME).stdout == ""


@pytest.mark.cells("28.5-nft-proxy")
def test_cleanup_spares_the_engines_own_rules_and_an_engine_restart_restores_shared_ones(
    lab: Lab, operator: Operator
) -> None:
    engine = lab.engine
    before = rules(engine)
    engine.exec("ip6tables-restore", stdin=recorded("28.5-proxy-beside"))
    found = finding(operator)
    assert any(step.startswith("restart the engine") for step in found["remedy"])
    done = operator.cli("cleanup", NAME)
    assert "restart the engine" in done.stderr
    left = {table: set(lines) for table, lines in rules(engine).items()}
    for line in done.stdout.splitlines():
        table, rule = re.fullmatch(r"removed \S+: -t (\S+) (.*)", line).groups()  # type: ignore[union-attr]
        assert rule not in left[f"*{table}"]
    assert finding(operator)["status"] == "ok"
    engine.restart()
    engine.docker("start", "web", "web2")
    # the engine writes its networks in random order
    assert {table: Counter(lines) for table, lines in rules(engine).items()} == {
        table: Counter(lines) for table, lines in before.items()
    }
    operator.start()
    operator.wait_ready("ipv6policy/all")
    serves(lab)


@pytest.mark.cells("20.10-off-nft-noproxy")
@pytest.mark.usefixtures("running")
def test_a_running_docker_ipv6nat_is_reported_and_its_rules_are_kept(lab: Lab, operator: Operator) -> None:
    lab.engine.exec("ip6tables-restore", stdin=recorded("20.10-off-noproxy-beside"))
    before = rules(lab.engine)
    assert "is running" in finding(operator)["message"]
    refused = operator.cli("cleanup", NAME, check=False)
    assert (refused.returncode, "stop it first" in refused.stderr) == (1, True)
    assert rules(lab.engine) == before
    operator.start()
    operator.wait_ready("ipv6policy/all")
    serves(lab)
    beside = rules(lab.engine)
    assert {table: [line for line in lines if COMMENT not in line] for table, lines in beside.items()} == before


@pytest.mark.cells("28.5-nft-proxy")
def test_the_doctor_finds_no_problem_on_a_working_host(operator: Operator) -> None:
    operator.start()
    operator.wait_ready("ipv6policy/all")
    report = json.loads(operator.cli("doctor", "-o", "json").stdout)
    assert [check for check in report["checks"] if check["status"] != "ok"] == []
    assert report["status"] == "ok"


@pytest.mark.cells("20.10-off-nft-noproxy")
def test_the_doctor_works_without_an_engine(lab: Lab) -> None:
    lab.engine.kill()
    asked = lab.operator().cli("doctor", "-o", "json", check=False)
    assert asked.returncode == 1
    failed = [check["name"] for check in json.loads(asked.stdout)["checks"] if check["status"] == "fail"]
    assert failed == ["engine"]
