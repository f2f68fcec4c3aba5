"""Health and metrics over real sockets."""

import http.client
import json
import socket
import stat
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from dockerv6.daemon.http import ListenError, serve
from dockerv6.telemetry.health import Health, Probe
from dockerv6.telemetry.metrics import Metrics


class UnixConnection(http.client.HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


def get(address: str, path: str, **headers: str) -> tuple[int, str, str]:
    """Status, content type and body."""
    if address.startswith("unix:"):
        connection: http.client.HTTPConnection = UnixConnection(address.removeprefix("unix:"))
    else:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        connection = http.client.HTTPConnection(host.strip("[]") or "127.0.0.1", int(port), timeout=10)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, response.headers["Content-Type"], body


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/run/http.sock"


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), "1.2.3")


def free_port(family: socket.AddressFamily, host: str) -> int:
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("family", "host", "written"),
    [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET, "127.0.0.1", ""), (socket.AF_INET6, "::1", "[::1]")],
)
def test_http_over_tcp(family: socket.AddressFamily, host: str, written: str, health: Health, metrics: Metrics) -> None:
    address = f"{written}:{free_port(family, host)}"
    with serve(address, health, metrics):
        assert get(address, "/healthz")[0] == 200
    with pytest.raises(OSError, match="refused"):
        get(address, "/healthz")


@pytest.mark.parametrize(
    ("path", "probe"),
    [
        ("/healthz", Probe.LIVENESS),
        ("/livez", Probe.LIVENESS),
        ("/readyz", Probe.READINESS),
        ("/readyz?x", Probe.READINESS),
    ],
)
def test_a_probe_reports_its_problems(path: str, probe: Probe, address: str, health: Health, metrics: Metrics) -> None:
    problem = ""
    health.add(probe, "engine", lambda: problem)
    with serve(address, health, metrics):
        status, kind, body = get(address, path)
        assert (status, kind, json.loads(body)) == (
            200,
            "application/json",
            {"ok": True, "problems": {}, "passed": ["engine"]},
        )
        problem = "no answer"
        status, _, body = get(address, path)
        assert (status, json.loads(body)) == (503, {"ok": False, "problems": {"engine": "no answer"}, "passed": []})


def test_metrics_are_in_the_format_that_is_accepted(address: str, health: Health, metrics: Metrics) -> None:
    with serve(address, health, metrics):
        status, kind, body = get(address, "/metrics")
        assert (status, kind.partition(";")[0]) == (200, "text/plain")
        assert 'dockerv6_build_info{version="1.2.3"} 1.0' in body
        _, kind, _ = get(address, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert kind.startswith("application/openmetrics-text")


def test_any_other_path_is_not_found(address: str, health: Health, metrics: Metrics) -> None:
    with serve(address, health, metrics):
        assert get(address, "/")[0] == 404


def test_the_unix_socket_is_for_root_only_and_goes_with_the_server(
    address: str, health: Health, metrics: Metrics
) -> None:
    path = Path(address.removeprefix("unix:"))
    with serve(address, health, metrics):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_a_socket_of_a_killed_process_is_replaced(address: str, health: Health, metrics: Metrics) -> None:
    path = Path(address.removeprefix("unix:"))
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with serve(address, health, metrics):
        assert get(address, "/healthz")[0] == 200


@pytest.mark.parametrize("wrong", ["nowhere", "127.0.0.1:http", "unix:/proc/x/http.sock"])
def test_an_invalid_address_is_an_error_with_a_remedy(wrong: str, health: Health, metrics: Metrics) -> None:
    with pytest.raises(ListenError, match="choose another with --listen"), serve(wrong, health, metrics):
        pass


def test_an_address_in_use_is_an_error(health: Health, metrics: Metrics) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ListenError, match="in use"), serve(f":{other.getsockname()[1]}", health, metrics):
            pass


def test_without_an_address_nothing_is_served(health: Health, metrics: Metrics, tmp_path: Path) -> None:
    with serve("", health, metrics):
        assert not list(tmp_path.iterdir())
