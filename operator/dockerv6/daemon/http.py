"""Health and metrics over HTTP, by default on a Unix socket: a daemon in the host's network opens no port."""

import json
import logging
import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from dockerv6.telemetry.health import Health, Probe
from dockerv6.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

PROBES = {"/healthz": Probe.LIVENESS, "/livez": Probe.LIVENESS, "/readyz": Probe.READINESS}
"""Paths as in Kubernetes."""


class ListenError(Exception):
    """The address can't be listened on; the message has the remedy."""


@contextmanager
def serve(address: str, health: Health, metrics: Metrics) -> Iterator[None]:
    """Serve ``/healthz``, ``/livez``, ``/readyz`` and ``/metrics`` on a thread, until the block ends.

    Args:
        address: ``unix:/path``, ``host:port`` or ``[v6]:port``; "" serves nothing.
        health: the checks.
        metrics: the numbers.

    Raises:
        ListenError: the address is in use, not permitted, or invalid.
    """
    if not address:
        yield
        return
    handler = _handler(health, metrics)
    try:
        server = _server(address, handler)
    except (OSError, ValueError) as error:
        raise ListenError(f"can't listen on {address}: {error}; choose another with --listen, or `none`") from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 3600}, name="http", daemon=True)
    thread.start()
    logger.info("listening on %s", address)
    try:
        yield
    finally:
        _stop(server, thread)
        if address.startswith("unix:"):
            with suppress(OSError):
                Path(address.removeprefix("unix:")).unlink()


def _stop(server: socketserver.TCPServer, thread: threading.Thread) -> None:
    """End the server's loop, which sleeps in poll(2): a closed socket goes on listening until poll returns."""
    stopping = threading.Thread(target=server.shutdown)
    stopping.start()
    with suppress(OSError):
        server.socket.shutdown(socket.SHUT_RDWR)  # wakes it
    stopping.join()
    thread.join()
    server.server_close()


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False


class _TcpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True


class _Tcp6Server(_TcpServer):
    address_family = socket.AF_INET6


def _server(address: str, handler: type[BaseHTTPRequestHandler]) -> socketserver.TCPServer:
    if address.startswith("unix:"):
        path = Path(address.removeprefix("unix:"))
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if path.is_socket():  # of a process that was killed: we hold the lock of the state directory
            path.unlink()
        before = os.umask(0o177)
        try:
            return _UnixServer(str(path), handler)
        finally:
            os.umask(before)
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    if host.startswith("["):
        return _Tcp6Server((host.strip("[]"), int(port)), handler)
    return _TcpServer((host or "127.0.0.1", int(port)), handler)


def _handler(health: Health, metrics: Metrics) -> type[BaseHTTPRequestHandler]:
    class RequestHandler(BaseHTTPRequestHandler):
        """GET only."""

        server_version = "dockerv6"
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path in PROBES:
                report = health.report(PROBES[path])
                body = json.dumps({"ok": report.ok, "problems": report.problems, "passed": list(report.passed)})
                self._send(200 if report.ok else 503, body.encode() + b"\n", "application/json")
            elif path == "/metrics":
                body_, kind = metrics.exposition(self.headers.get("Accept", ""))
                self._send(200, body_, kind)
            else:
                self._send(404, b"try /healthz, /readyz or /metrics\n", "text/plain")

        def _send(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
            logger.debug(format, *args)

        def address_string(self) -> str:
            return "client"  # a Unix socket's peer has no address

    return RequestHandler
