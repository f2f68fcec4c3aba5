"""Ports that can't be published are reported and affect nothing else; a second network is checked after each test."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from docker.errors import APIError

from tests.e2e.cluster import condition, eventually, network_yaml, our_table
from tests.e2e.site import Site, exclusive_site, published, reach_as
from tests.lab.net import HOST_ADDRESS, NEIGHBOUR_ADDRESS, UPLINK, tcp_server
from tests.lab.probe import assert_closed, reach, wait_closed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.cells import Cell
    from tests.lab.lab import EnginePool, Lab

pytestmark = pytest.mark.cells("28.5")

_ABSENT_ADDRESS = "2001:db8:0:1::99"
_SUBNET = {"addressing": {"subnet": "fd12:3456:789a:1::/64"}}


@pytest.fixture(scope="module")
def site(cell: Cell, engine_pool: EnginePool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A host with one network for invalid ports and one that works."""
    with exclusive_site(engine_pool, cell.settings, tmp_path_factory.mktemp("site")) as site:
        site.operator.apply_yaml("good.yaml", network_yaml("good"))
        site.operator.apply_yaml("bad.yaml", network_yaml("bad", _SUBNET))
        site.create_network("four")
        site.start()
        for name in ("good", "bad"):
            site.operator.wait_ready(f"ipv6network/{name}")
        site.run("good", "good", ports={"80/tcp": 8080})
        site.run("web", "bad", ports={"80/tcp": 8081})
        yield site


@pytest.fixture(autouse=True)
def _nothing_else_is_affected(site: Site, report_logs_of: Callable[[Lab], None]) -> Iterator[None]:
    report_logs_of(site.lab)
    yield
    reach_as(site.neighbour, published(8080), "good", NEIGHBOUR_ADDRESS)
    reach_as(site.neighbour, published(8081), "web", NEIGHBOUR_ADDRESS)
    ready = condition(site.operator, "good", "Ready")
    assert ready is not None
    assert ready["status"] == "True"
    _publish(site)
    eventually(lambda: _published(site) == [8081], "no other port is published")
    site.wait_for_reason("bad", "Accepted", "Accepted")


def _published(site: Site) -> list[int]:
    return [each["port"] for each in site.status("bad", "ipv6network")["publishedPorts"]]


def _publish(site: Site, *ports: dict[str, Any]) -> None:
    site.operator.apply_yaml("bad.yaml", network_yaml("bad", {**_SUBNET, "publish": {"ports": list(ports)}}))


def _to_web(port: int, **more: object) -> dict[str, Any]:
    return {"port": port, "targetPort": 80, "containers": {"name": "web"}, **more}


@contextmanager
def _process(site: Site, port: int) -> Iterator[None]:
    """A process of the host that listens on a port."""
    with tcp_server(site.engine.namespace, port, mode="peer"):
        yield


def _reaches_process(site: Site, port: int, timeout: float = 20) -> bool:
    """Whether the host's process answers the neighbour: it sends only the client's address. The container waits."""
    program = f"import socket; print(socket.create_connection(('{HOST_ADDRESS}', {port}), {timeout}).makefile().read())"
    return site.lab.neighbour.exec("python3", "-c", program, check=False).stdout.strip() == NEIGHBOUR_ADDRESS


def test_port_of_a_process_stays_with_it_until_it_ends(site: Site) -> None:
    with _process(site, 8090):
        _publish(site, _to_web(8090))
        reported = site.wait_for_reason("bad", "PortsPublished", "PortTaken")
        assert reported["status"] == "False"
        assert "8090" in reported["message"]
        assert _reaches_process(site, 8090)
        ready = condition(site.operator, "bad", "Ready")
        assert ready is not None
        assert (ready["status"], ready["reason"]) == ("False", "PortTaken")
    # the end of a process is not announced: the operator checks every two seconds
    reach_as(site.neighbour, published(8090), "web", NEIGHBOUR_ADDRESS)
    site.wait_for_reason("bad", "PortsPublished", "Published")


def test_process_that_starts_later_gets_its_port_back(site: Site) -> None:
    _publish(site, _to_web(8091))
    reach_as(site.neighbour, published(8091), "web", NEIGHBOUR_ADDRESS)
    with _process(site, 8091):
        eventually(lambda: _reaches_process(site, 8091, timeout=1), "the process answers")
        site.wait_for_reason("bad", "PortsPublished", "PortTaken")
    reach_as(site.neighbour, published(8091), "web", NEIGHBOUR_ADDRESS)


def test_port_of_ssh_is_taken_by_force_only(site: Site) -> None:
    _publish(site, _to_web(22), _to_web(8092))
    reported = site.wait_for_reason("bad", "PortsPublished", "PortReserved")
    assert "write force: true to take it" in reported["message"]
    reach_as(site.neighbour, published(8092), "web", NEIGHBOUR_ADDRESS)
    assert_closed(site.neighbour, published(22))
    with _process(site, 22):
        assert _reaches_process(site, 22)
        _publish(site, _to_web(22, force=True))
        reach_as(site.neighbour, published(22), "web", NEIGHBOUR_ADDRESS)


def test_engine_refuses_the_port_of_a_process_to_docker_run(site: Site) -> None:
    with _process(site, 22):
        with pytest.raises(APIError, match="address already in use"):
            site.run("greedy", "bad", ports={"80/tcp": 22})
        assert _reaches_process(site, 22)
    site.remove("greedy")


def test_selector_that_matches_nothing_waits(site: Site) -> None:
    _publish(site, _to_web(8092), {**_to_web(8093), "containers": {"name": "absent"}})
    reported = site.wait_for_reason("bad", "PortsPublished", "NoEndpoint")
    assert reported["status"] == "Unknown"
    assert "absent" in reported["message"]
    reach_as(site.neighbour, published(8092), "web", NEIGHBOUR_ADDRESS)
    assert_closed(site.neighbour, published(8093))
    ready = condition(site.operator, "bad", "Ready")
    assert ready is not None
    assert ready["status"] == "True"
    site.run("absent", "bad")
    reach_as(site.neighbour, published(8093), "absent", NEIGHBOUR_ADDRESS)
    site.remove("absent")
    wait_closed(site.neighbour, published(8093))


def test_container_without_an_ipv6_address_waits_for_one(site: Site) -> None:
    _publish(site, {**_to_web(8094), "containers": {"name": "late"}})
    site.run("late", "four")  # runs, but on a network without IPv6
    reported = site.wait_for_reason("bad", "PortsPublished", "NoEndpoint")
    assert "late" in reported["message"]
    assert_closed(site.neighbour, published(8094))
    site.engine.docker("network", "connect", "bad", "late")
    reach_as(site.neighbour, published(8094), "late", NEIGHBOUR_ADDRESS)
    site.engine.docker("network", "disconnect", "bad", "late")
    wait_closed(site.neighbour, published(8094))
    site.remove("late")


def test_containers_that_stop_at_once_leave_no_rules(site: Site) -> None:
    subnet = "fd12:3456:789a:1::"
    before = _lines_with(site, subnet)
    started = [
        site.engine.enter(["docker", "run", "--rm", "--network", "bad", "-p", f"{8100 + n}:80", "busybox:test", "true"])
        for n in range(8)
    ]
    processes = [site.lab.neighbour.namespace.popen(argv) for argv in started]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    eventually(lambda: _lines_with(site, subnet) == before, "no rule of them is left")
    assert_closed(site.neighbour, *(published(8100 + n) for n in range(8)))
    assert " ERROR " not in site.operator.log_tail()


def _lines_with(site: Site, text: str) -> list[str]:
    parts = our_table(site.engine).replace("{", ",").split(",")
    return sorted(part.strip() for part in parts if text in part)


def test_port_of_a_running_container_is_not_taken_over(site: Site) -> None:
    _publish(site, _to_web(8080))  # published by the container of the network `good`
    reported = site.wait_for_reason("bad", "PortsPublished", "PortConflict")
    assert reported["status"] == "False"
    assert "good" in reported["message"]
    reach_as(site.neighbour, published(8080), "good", NEIGHBOUR_ADDRESS)
    # `-p` of a container does not take over a port that the resource had first
    _publish(site, _to_web(8095))
    reach_as(site.neighbour, published(8095), "web", NEIGHBOUR_ADDRESS)
    site.run("rival", "good", ports={"80/tcp": 8095})
    site.wait_for_reason("good", "PortsPublished", "PortConflict")
    assert reach(site.neighbour, published(8095)).name == "web"
    site.remove("rival")
    site.wait_while_reason("good", "PortsPublished", "PortConflict")


_INVALID_PORTS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"port": 70000}, "65535"),
    ({"port": 0}, "write 1 or more"),
    ({"port": 8096, "protocol": "icmp"}, "tcp"),
    ({"port": "8096-8099"}, "8080 without quotes"),
    ({"port": 8096, "from": ["2001:db8::/129"]}, "0 to 128"),
)


def test_invalid_ports_are_refused_with_a_remedy(site: Site) -> None:
    directory = site.lab.directory / "refused"
    directory.mkdir()
    for number, (port, _) in enumerate(_INVALID_PORTS):
        spec = {"publish": {"ports": [{**_to_web(8096), **port}]}}
        (directory / f"{number}.yaml").write_text(network_yaml(f"refused-{number}", spec))
    refused = site.operator.cli("validate", str(directory), check=False)
    assert refused.returncode != 0
    reported = (refused.stdout + refused.stderr).splitlines()
    for number, (_, remedy) in enumerate(_INVALID_PORTS):
        assert [line for line in reported if f"{number}.yaml:" in line and remedy in line], reported


def test_last_valid_ports_stay_when_the_next_version_is_invalid(site: Site) -> None:
    _publish(site, _to_web(8097))
    reach_as(site.neighbour, published(8097), "web", NEIGHBOUR_ADDRESS)
    _publish(site, _to_web(70000))
    reported = site.wait_for_reason("bad", "Accepted", "InvalidSpec")
    assert reported["status"] == "False"
    assert "bad.yaml:" in reported["message"]
    assert "65535" in reported["message"]
    reach_as(site.neighbour, published(8097), "web", NEIGHBOUR_ADDRESS)


def test_address_that_the_host_does_not_have_opens_when_it_has(site: Site) -> None:
    port = published(8098, address=_ABSENT_ADDRESS)
    _publish(site, _to_web(8098, hostAddress=_ABSENT_ADDRESS))
    reported = site.wait_for_reason("bad", "PortsPublished", "AddressPending")
    assert _ABSENT_ADDRESS in reported["message"]
    assert_closed(site.neighbour, port, published(8098))
    site.engine.netexec("ip", "address", "add", f"{_ABSENT_ADDRESS}/64", "dev", UPLINK, "nodad")
    try:
        reach_as(site.neighbour, port, "web", NEIGHBOUR_ADDRESS)
        assert_closed(site.neighbour, published(8098))
        site.wait_for_reason("bad", "PortsPublished", "Published")
    finally:
        site.engine.netexec("ip", "address", "del", f"{_ABSENT_ADDRESS}/64", "dev", UPLINK)


def test_address_that_is_still_tentative_opens_when_it_is_not(site: Site) -> None:
    host = site.engine.netexec
    host("sysctl", "-q", "-w", f"net.ipv6.conf.{UPLINK}.accept_dad=1")
    port = published(8099, address=_ABSENT_ADDRESS)
    try:
        host("ip", "address", "add", f"{_ABSENT_ADDRESS}/64", "dev", UPLINK)
        _publish(site, _to_web(8099, hostAddress=_ABSENT_ADDRESS))
        reach_as(site.neighbour, port, "web", NEIGHBOUR_ADDRESS)
        site.wait_for_reason("bad", "PortsPublished", "Published")
    finally:
        host("sysctl", "-q", "-w", f"net.ipv6.conf.{UPLINK}.accept_dad=0")
        host("ip", "address", "del", f"{_ABSENT_ADDRESS}/64", "dev", UPLINK)
