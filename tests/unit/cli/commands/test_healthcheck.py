import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import BaseServer, TCPServer, UnixStreamServer

import pytest

from tests.unit.cli.harness import run


class StatusHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"response of {self.path}\x1b".encode()
        self.send_response(200 if self.path == "/healthz" else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def address_string(self) -> str:
        return "client"


@contextmanager
def serving(server: BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    with serving(UnixStreamServer(str(tmp_path / "http.sock"), StatusHandler)):
        yield tmp_path


def test_a_healthy_daemon_returns_0(directory: Path) -> None:
    result = run(["healthcheck", "--run-dir", str(directory)])
    assert (result.exit_code, result.stdout) == (0, "ok\n")
    assert run(["healthcheck"], env={"DOCKERV6_LISTEN": f"unix:{directory}/http.sock"}).exit_code == 0


def test_an_unhealthy_daemon_returns_1_and_the_reason(directory: Path) -> None:
    result = run(["healthcheck", "--ready", "--run-dir", str(directory)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: unix:{directory}/http.sock returned 503: response of /readyz\\x1b\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_tcp_addresses_are_queried(host: str) -> None:
    server = TCPServer(("127.0.0.1", 0), StatusHandler)
    with serving(server):
        assert run(["healthcheck", "--listen", f"{host}:{server.server_address[1]}"]).exit_code == 0


def test_no_response_returns_1_and_a_remedy(tmp_path: Path) -> None:
    result = run(["healthcheck", "--run-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: no response from unix:{tmp_path}/http.sock: ")
    assert "is `dockerv6 run` running with the same --run-dir and --listen?" in result.stderr


@pytest.mark.parametrize("address", ["9153", "host:", "host:http"])
def test_an_invalid_address_is_an_error(address: str) -> None:
    assert "neither unix:PATH nor HOST:PORT" in run(["healthcheck", "--listen", address]).stderr


def test_a_daemon_without_an_address_is_wrong_usage() -> None:
    assert run(["healthcheck", "--listen", "none"]).exit_code == 2
