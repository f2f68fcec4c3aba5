"""Health and metrics over real sockets."""

import asyncio
import http.client
import json
import logging
import os
import socket
import stat
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from importlib.metadata import version
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from dockerv6.daemon import http as http_server
from dockerv6.daemon.http import CONNECTIONS, REQUEST_LIMIT, ListenError, ResourceName, serve
from dockerv6.store.port import StoreConflict, StoreError
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


SLOW = 200


def connect(address: str) -> socket.socket:
    """A connection that sends nothing yet."""
    if address.startswith("unix:"):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(60)
        client.connect(address.removeprefix("unix:"))
        return client
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=60)


@pytest.fixture(params=["unix", "tcp"])
def any_address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "unix":
        return f"unix:{tmp_path}/http.sock"
    return f"127.0.0.1:{free_port(socket.AF_INET, '127.0.0.1')}"


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: ", b"GET /metrics HTTP/1.1\r\n\r\n"])
def test_slow_clients_cost_no_threads_and_delay_nobody(
    any_address: str, sent: bytes, health: Health, metrics: Metrics
) -> None:
    """Clients that send nothing, half a request, or do not read the response."""
    with serve(any_address, health, metrics):
        threads, files = threading.active_count(), open_files()
        with ExitStack() as clients:
            for count in range(SLOW):
                client = clients.enter_context(closing(connect(any_address)))
                client.sendall(sent)
                if count % 20 == 0:
                    assert get(any_address, "/healthz")[0] == 200
            assert get(any_address, "/readyz")[0] == 200
            assert threading.active_count() == threads
            # the clients' ends, and of the server's those that are served or not closed yet
            assert open_files() - files - SLOW <= 2 * CONNECTIONS


def test_the_oldest_of_too_many_connections_is_closed(any_address: str, health: Health, metrics: Metrics) -> None:
    with serve(any_address, health, metrics), ExitStack() as clients:
        first, *others = (clients.enter_context(closing(connect(any_address))) for _ in range(CONNECTIONS))
        assert get(any_address, "/healthz")[0] == 200
        assert ended(first)
        last = others[-1]
        last.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert last.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_connection_ends_at_its_deadline_however_slowly_bytes_come(
    any_address: str, health: Health, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dockerv6.daemon.http.DEADLINE", 0.3)
    with serve(any_address, health, metrics), closing(connect(any_address)) as client:
        with pytest.raises(OSError, match=r"reset|[Bb]roken"):  # noqa: PT012 - which byte meets it, is not known
            while True:
                client.sendall(b"x")
                time.sleep(0.01)
        assert get(any_address, "/healthz")[0] == 200


@pytest.mark.parametrize("length", [REQUEST_LIMIT, 50 * REQUEST_LIMIT])
def test_a_longer_request_is_refused(length: int, any_address: str, health: Health, metrics: Metrics) -> None:
    with serve(any_address, health, metrics), closing(connect(any_address)) as client:
        with suppress(OSError):  # the server does not read all of it
            client.sendall(b"GET /healthz HTTP/1.1\r\nX: " + b"x" * length + b"\r\n\r\n")
        assert ended(client, b"HTTP/1.1 431 ")
        assert get(any_address, "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /healthz HTTP/1.1\r\naccept:x\r\nnothing\r\n\r\n", b"200"),
        (b"POST /healthz HTTP/1.1\r\n\r\n", b"405"),
        (b"PUT /healthz HTTP/1.1\r\n\r\n", b"501"),
        (b"GET /healthz\r\n\r\n", b"400"),
        (b"\xff\x00\r\n\r\n", b"400"),
        (b"\x16\x03\x01\r\n\r\n", b"400"),
    ],
)
def test_only_a_get_request_is_answered(
    sent: bytes, status: bytes, address: str, health: Health, metrics: Metrics
) -> None:
    with serve(address, health, metrics), closing(connect(address)) as client:
        client.sendall(sent)
        assert client.recv(100).startswith(b"HTTP/1.1 " + status)


def test_a_client_that_goes_away_is_no_error(
    any_address: str, health: Health, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(any_address, health, metrics):
        for sent in (b"", b"GET /metr", b"GET /metrics HTTP/1.1\r\n\r\n"):
            with closing(connect(any_address)) as client:
                client.sendall(sent)
        assert get(any_address, "/healthz")[0] == 200
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == []


def ended(client: socket.socket, beginning: bytes = b"") -> bool:
    """Whether the server ended the connection after a response that begins so, or reset it."""
    received = b""
    try:
        while piece := client.recv(4096):
            received += piece
    except ConnectionResetError:
        return True
    return received.startswith(beginning)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


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


class FakeRequests:
    """Knows two resources, which are pending once they were asked for."""

    def __init__(self) -> None:
        self.asked: list[ResourceName] = []

    async def reconcile(self, resources: Sequence[ResourceName]) -> tuple[ResourceName, ...]:
        known = [each for each in resources if each in (("IPv6Network", "blog"), ("IPv6Pool", "blog"))]
        self.asked += known
        return tuple(each for each in resources if each not in known)

    async def pending(self, resources: Sequence[ResourceName]) -> bool:
        return any(each in self.asked for each in resources)


class FailingRequests(FakeRequests):
    """Fails, or with None never answers, as a daemon whose loop hangs."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self._error = error

    async def reconcile(self, resources: Sequence[ResourceName]) -> tuple[ResourceName, ...]:
        assert resources
        if self._error is None:
            await asyncio.Event().wait()
        raise self._error or AssertionError

    async def pending(self, resources: Sequence[ResourceName]) -> bool:
        return bool(await self.reconcile(resources))


def request(address: str, method: str, path: str) -> tuple[int, object]:
    with closing(connect(address)) as client:
        client.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        head, _, body = b"".join(iter(lambda: client.recv(4096), b"")).partition(b"\r\n\r\n")
    text = body.decode()
    return int(head.split()[1]), json.loads(text) if text.startswith("{") else text.strip()


def test_a_reconcile_is_requested_on_a_unix_socket(address: str, health: Health, metrics: Metrics) -> None:
    requests = FakeRequests()
    with serve(address, health, metrics, requests):
        path = "/v1/reconcile/IPv6Network/blog"
        assert request(address, "GET", path) == (200, {"pending": False})
        assert request(address, "POST", path) == (202, {"accepted": True})
        assert request(address, "GET", path) == (200, {"pending": True})
        assert request(address, "POST", "/v1/reconcile/IPv6Network/nope")[0] == 404
        assert request(address, "POST", "/v1/reconcile/")[0] == 404
        assert request(address, "POST", "/healthz")[0] == 405
        assert request(address, "DELETE", path)[0] == 501
    assert requests.asked == [("IPv6Network", "blog")]


def test_a_request_may_name_several_resources(address: str, health: Health, metrics: Metrics) -> None:
    requests = FakeRequests()
    with serve(address, health, metrics, requests):
        both = "/v1/reconcile/IPv6Network/blog,IPv6Pool/blog"
        assert request(address, "POST", both) == (202, {"accepted": True})
        assert request(address, "GET", "/v1/reconcile/IPv6Network/shop,IPv6Pool/blog") == (200, {"pending": True})
        assert request(address, "POST", f"{both},IPv6Network/shop") == (404, "there is no IPv6Network/shop")
    assert requests.asked == [("IPv6Network", "blog"), ("IPv6Pool", "blog")] * 2


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (StoreError("the disk is full: free space"), 503, "the disk is full: free space"),
        (StoreConflict("IPv6Network/blog"), 503, "IPv6Network/blog was modified concurrently: read it again"),
        (None, 504, "the daemon has not answered within 0 s: see its log, and /healthz"),
        (RuntimeError("a bug"), 500, "internal error: see the log"),
    ],
)
def test_a_daemon_that_fails_or_hangs_is_an_answer(
    address: str,
    health: Health,
    metrics: Metrics,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    error: Exception | None,
    status: int,
    message: str,
) -> None:
    monkeypatch.setattr(http_server, "ANSWER_LIMIT", 0.1 if error is None else 5.0)
    with serve(address, health, metrics, FailingRequests(error)):
        assert request(address, method, "/v1/reconcile/IPv6Network/blog") == (status, message)
        assert get(address, "/healthz")[0] == 200


def test_a_request_over_tcp_is_refused(health: Health, metrics: Metrics) -> None:
    requests = FakeRequests()
    address = f"127.0.0.1:{free_port(socket.AF_INET, '127.0.0.1')}"
    with serve(address, health, metrics, requests):
        for method in ("GET", "POST"):
            status, message = request(address, method, "/v1/reconcile/IPv6Network/blog")
            assert status == 403
            assert message == "requests are answered on a Unix socket only: see --listen"
    assert requests.asked == []


def test_the_version_is_reported(any_address: str, health: Health, metrics: Metrics) -> None:
    with serve(any_address, health, metrics):
        status, about = request(any_address, "GET", "/version")
        assert (status, about) == (200, {"version": version("dockerv6"), "pid": os.getpid()})
