"""Health, metrics and requests over HTTP, by default on a Unix socket: a daemon in the host's network opens no port.

Requests change nothing but when the daemon acts, and what is in effect of the suspensions that the state file has. They
are answered on a Unix socket only, which has mode 0600: the daemon's user and root can open it.

The server is an event loop on one thread of its own, so that it answers "no heartbeat" when the daemon's loop hangs.
Whatever clients do, it is bounded: the connections, their time, and the bytes of a request (docs/adr/0035).
"""

import asyncio
import json
import logging
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from dockerv6.store.port import StoreError
from dockerv6.telemetry.health import Health, Probe
from dockerv6.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

PROBES = {"/healthz": Probe.LIVENESS, "/livez": Probe.LIVENESS, "/readyz": Probe.READINESS}
"""Paths as in Kubernetes."""

RECONCILE = "/v1/reconcile/"
"""Followed by ``KIND/NAME[,KIND/NAME]...``: POST asks for a reconcile, GET whether it is over."""

CONNECTIONS = 32
"""How many connections are served at a time. One more closes the oldest, so that a new client is always answered."""

ANSWER_LIMIT = 5.0
"""Seconds that the daemon's loop has to answer a request; it may hang, or wait for the state file."""

DEADLINE = 10.0
"""Seconds from accepting a connection until it is closed, however slowly the client sends or reads."""

REQUEST_LIMIT = 8192
"""Bytes of the request line and the headers."""

_BACKLOG = 128  # connections that wait to be accepted; also how many asyncio accepts at once
_END = b"\r\n\r\n"


class ListenError(Exception):
    """The address can't be listened on; the message has the remedy."""


ResourceName = tuple[str, str]
"""Kind and name."""


class ReconcileRequests(Protocol):
    """What clients may ask of the daemon. Called on the server's thread. Methods raise `StoreError`."""

    async def reconcile(self, resources: Sequence[ResourceName]) -> tuple[ResourceName, ...]:
        """Have resources reconciled now. Returns those that do not exist."""

    async def pending(self, resources: Sequence[ResourceName]) -> bool:
        """Whether one of the resources waits to be reconciled, or is being reconciled."""


class _RequestError(Exception):
    """A request that gets an error response."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


@contextmanager
def serve(address: str, health: Health, metrics: Metrics, requests: ReconcileRequests | None = None) -> Iterator[None]:
    """Serve ``/healthz``, ``/livez``, ``/readyz``, ``/metrics``, ``/version`` and `RECONCILE` on a thread.

    Until the block ends.

    Args:
        address: ``unix:/path``, ``host:port`` or ``[v6]:port``; "" serves nothing.
        health: the checks.
        metrics: the numbers.
        requests: answers requests; None: there are none.

    Raises:
        ListenError: the address is in use, not permitted, or invalid.
    """
    if not address:
        yield
        return
    try:
        listener = _listen(address)
    except (OSError, ValueError) as error:
        raise ListenError(f"can't listen on {address}: {error}; choose another with --listen, or `none`") from error
    server = _Server(listener, health, metrics, requests)
    server.start()
    logger.info("listening on %s", address)
    try:
        yield
    finally:
        server.stop()
        if address.startswith("unix:"):
            with suppress(OSError):
                Path(address.removeprefix("unix:")).unlink()


def _listen(address: str) -> socket.socket:
    """Bind and listen. Raises `OSError`, `ValueError`."""
    if address.startswith("unix:"):
        path = Path(address.removeprefix("unix:"))
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if path.is_socket():  # of a process that was killed: we hold the lock of the state directory
            path.unlink()
        listener = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
        finally:
            os.umask(before)
        return listener
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    return socket.create_server((host.strip("[]") or "127.0.0.1", int(port)), family=family, backlog=_BACKLOG)


class _Server:
    """Answers one request on each connection, then closes it."""

    def __init__(
        self, listener: socket.socket, health: Health, metrics: Metrics, requests: ReconcileRequests | None
    ) -> None:
        self._listener = listener
        self._requests = requests if listener.family == socket.AF_UNIX else None
        self._health = health
        self._metrics = metrics
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._open: dict[asyncio.StreamWriter, None] = {}  # ordered by age
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Accept connections."""
        self._thread.start()

    def stop(self) -> None:
        """Close the listener and all connections."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._handle, sock=self._listener, limit=REQUEST_LIMIT, backlog=_BACKLOG)
        await self._stopping.wait()
        server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= CONNECTIONS:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.transport.abort()
        self._open[writer] = None
        # a client that goes away, is slow, or is evicted, is no error of ours
        with suppress(OSError, EOFError):
            try:
                async with asyncio.timeout(DEADLINE):
                    writer.write(await self._response(reader))
                    writer.close()
                    await writer.wait_closed()  # the client has read, or the kernel has, what was written
            finally:
                self._open.pop(writer, None)
                writer.transport.abort()

    async def _response(self, reader: asyncio.StreamReader) -> bytes:
        """Read a request and return the response. Raises `EOFError`, `OSError`."""
        try:
            head = await reader.readuntil(_END)
            method, path, accept = _parse(head)
            if path.startswith(RECONCILE):
                status, body, kind = await self._answer_request(method, path.removeprefix(RECONCILE))
            else:
                status, body, kind = self._answer(method, path, accept)
        except asyncio.LimitOverrunError:
            message = f"the request line and the headers may have {REQUEST_LIMIT} bytes\n"
            status, body, kind = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, message.encode(), "text/plain"
        except _RequestError as error:
            status, body, kind = error.status, f"{error}\n".encode(), "text/plain"
        logger.debug("%d, %d bytes", status, len(body))
        lines = (
            f"HTTP/1.1 {status.value} {status.phrase}",
            "Server: dockerv6",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        return "\r\n".join(lines).encode() + _END + body

    def _answer(self, method: str, path: str, accept: str) -> tuple[HTTPStatus, bytes, str]:
        """Status, body and content type."""
        if method != "GET":
            raise _RequestError(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is supported here")
        if path in PROBES:
            report = self._health.report(PROBES[path])
            body = json.dumps({"ok": report.ok, "problems": report.problems, "passed": list(report.passed)})
            status = HTTPStatus.OK if report.ok else HTTPStatus.SERVICE_UNAVAILABLE
            return status, body.encode() + b"\n", "application/json"
        if path == "/metrics":
            return HTTPStatus.OK, *self._metrics.exposition(accept)
        if path == "/version":
            about = {"version": version("dockerv6"), "pid": os.getpid()}
            return HTTPStatus.OK, json.dumps(about).encode() + b"\n", "application/json"
        raise _RequestError(HTTPStatus.NOT_FOUND, "try /healthz, /readyz, /metrics or /version")

    async def _answer_request(self, method: str, given: str) -> tuple[HTTPStatus, bytes, str]:
        """Status, body and content type of a request about ``KIND/NAME,KIND/NAME``."""
        if self._requests is None:
            raise _RequestError(HTTPStatus.FORBIDDEN, "requests are answered on a Unix socket only: see --listen")
        resources = [(kind, name) for kind, _, name in (each.partition("/") for each in given.split(","))]
        try:
            async with asyncio.timeout(ANSWER_LIMIT):
                if method == "GET":
                    body = json.dumps({"pending": await self._requests.pending(resources)}).encode() + b"\n"
                    return HTTPStatus.OK, body, "application/json"
                missing = await self._requests.reconcile(resources)
        except StoreError as error:
            raise _RequestError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
        except TimeoutError as error:
            message = f"the daemon has not answered within {ANSWER_LIMIT:.0f} s: see its log, and /healthz"
            raise _RequestError(HTTPStatus.GATEWAY_TIMEOUT, message) from error
        except Exception as error:
            logger.exception("a request failed")
            raise _RequestError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error: see the log") from error
        if missing:
            raise _RequestError(HTTPStatus.NOT_FOUND, f"there is no {', '.join(map('/'.join, missing))}")
        return HTTPStatus.ACCEPTED, b'{"accepted": true}\n', "application/json"


def _parse(head: bytes) -> tuple[str, str, str]:
    """The method, the path and the value of Accept of a request (RFC 9112). Raises `_RequestError`."""
    request, *headers = head.decode("latin-1").split("\r\n")
    method, _, rest = request.partition(" ")
    target, _, version = rest.partition(" ")
    if not version.startswith("HTTP/1."):
        raise _RequestError(HTTPStatus.BAD_REQUEST, "this is not an HTTP/1 request")
    if method not in ("GET", "POST"):
        raise _RequestError(HTTPStatus.NOT_IMPLEMENTED, "only GET and POST are supported")
    fields = (line.partition(":") for line in headers)
    accept = ", ".join(value.strip() for name, _, value in fields if name.lower() == "accept")
    return method, target.partition("?")[0], accept
