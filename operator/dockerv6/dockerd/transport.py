"""Requests to the engine through the docker SDK's client.

The SDK's `APIClient` is a `requests.Session` with the engine's address and TLS. What it leaves to us (ADR 0029):

- Bodies. Its methods can't send ``EnableIPv4`` or ``EnableIPv6: false``, so requests use the session's public methods.
- The API version. The SDK negotiates it once, in the constructor, which fails while the engine is down. Here it is
  negotiated on the first request, and again after an upgrade, a downgrade or a lost connection.
- Connections to a unix socket. The SDK's adapter has one pool for each URL, so nothing is reused between paths, and it
  leaves the socket of a failed connection attempt to the garbage collector.
- Threads. A call can hang for minutes. At exit the interpreter waits for the threads of every `concurrent.futures`
  pool; it does not wait for daemon threads.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import requests
from docker.api import APIClient
from docker.errors import DockerException
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from dockerv6.dockerd import api_errors, decode
from dockerv6.dockerd.address import DockerHostError
from dockerv6.dockerd.api_errors import ApiVersionRejected
from dockerv6.dockerd.encode import HIGHEST_API, api_from_headers, format_api_version
from dockerv6.dockerd.port import EngineApiError, EngineTooOld, EngineUnavailable
from dockerv6.lib.text import escaped, json_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from requests import PreparedRequest

    from dockerv6.dockerd.address import EngineAddress
    from dockerv6.dockerd.encode import EngineApi

T = TypeVar("T")

CONNECT_TIMEOUT = 5.0
"""Seconds to wait for a connection."""

READ_TIMEOUT = 60.0
"""Seconds to wait for the response to a GET. dockerd accepts connections before it can respond."""

INSPECT_TIMEOUT = 10.0
"""Seconds to wait for a response about one object, which takes milliseconds: the engine may have a problem with it."""

WRITE_TIMEOUT = 600.0
"""Seconds to wait for the response to a change: with hundreds of networks the engine's iptables calls are slow, and
they queue."""

_REDIRECT = 300
_ERROR = 400
_PING = "/_ping"
_SHOWN = 80  # characters of a response that is not the engine's
_FOREIGN = "a proxy or another server answers there, or cuts the responses"
_REMEDIES = {
    FileNotFoundError: "is Docker running?",
    ConnectionRefusedError: "is Docker running?",
    PermissionError: "this needs root or membership in the socket's group",
}


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    headers: Mapping[str, str]
    text: str  # of an error, as received
    content: object  # decoded JSON; None where the body is empty or not JSON


class Transport:
    """Sends requests to one engine. Requests may run in parallel on one event loop."""

    def __init__(self, address: EngineAddress, *, parallel: int) -> None:
        """Prepare. Nothing is sent before the first request.

        Args:
            address: of the engine.
            parallel: how many requests may be in flight, each on its own connection and thread.

        Raises:
            DockerHostError: the SDK's own configuration (``~/.docker/config.json``) can't be read.
        """
        self._address = address
        self._threads = DaemonThreads(parallel, "dockerd")
        self._api: EngineApi | None = None
        self._negotiating = asyncio.Lock()
        try:
            self._client = APIClient(
                base_url=address.url,
                # not used, because paths carry the negotiated version; it keeps the constructor offline
                version=format_api_version(HIGHEST_API),
                tls=address.tls or False,
            )
        except (DockerException, ValueError) as error:
            raise DockerHostError(f"Docker host {address.url!r}: the docker SDK's configuration: {error}") from error
        # proxy variables and .netrc are for the web, not for the engine; reading them takes time in every request
        self._client.trust_env = False
        self._client.mount(
            self._client.base_url,
            HTTPAdapter(pool_maxsize=parallel) if address.socket is None else _UnixAdapter(address.socket, parallel),
        )

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, seconds: float = READ_TIMEOUT) -> object:
        """Send a GET; return the decoded body. ``seconds``: to wait for the response.

        Raises:
            EngineUnavailable: no response, or one that is not the engine's.
            EngineApiError: or one of its subclasses: an error response.
        """
        return await self._versioned("GET", path, params=params, seconds=seconds)

    async def post(self, path: str, encode: Callable[[EngineApi], object]) -> object:
        """Send a change whose body depends on the negotiated API version: a value of JSON, or bytes as they are.

        Raises:
            EngineTooOld: from `encode`, with a version that was negotiated just now.
            EngineUnavailable: as in `get`; the engine may have made the change all the same.
            EngineApiError: or one of its subclasses: an error response.
        """
        return await self._versioned("POST", path, encode=encode, seconds=WRITE_TIMEOUT)

    async def delete(self, path: str) -> object:
        """Send a DELETE. Errors as in `post`."""
        return await self._versioned("DELETE", path, seconds=WRITE_TIMEOUT)

    async def get_unversioned(self, path: str) -> object:
        """Send a GET whose response is the same in every API version. Errors as in `get`."""
        return (await self._send("GET", path, None, None, READ_TIMEOUT)).content

    async def close(self) -> None:
        """Close idle connections. Those in use are closed after their response."""
        self._client.close()

    async def _versioned(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        encode: Callable[[EngineApi], object] | None = None,
        seconds: float,
    ) -> object:
        async def send(api: EngineApi) -> object:
            body = encode(api) if encode is not None else None
            response = await self._send(method, f"/v{format_api_version(api.version)}{path}", params, body, seconds)
            return response.content

        known = self._api
        if known is not None:
            # the engine may have been upgraded or downgraded since the version was negotiated
            with suppress(EngineTooOld, ApiVersionRejected):
                return await send(known)
        return await send(await self._negotiate(known))

    async def _negotiate(self, stale: EngineApi | None) -> EngineApi:
        """Read the engine's version, unless another task has just done so."""
        async with self._negotiating:
            if self._api is not None and self._api is not stale:
                return self._api
            response = await self._send("GET", _PING, None, None, READ_TIMEOUT)
            api = api_from_headers(response.headers)
            if api is None:
                message = f"{self._address.url} is not a Docker Engine: it reports no API version"
                raise EngineApiError(message, response.status)
            return api

    async def _send(
        self, method: str, path: str, params: Mapping[str, str] | None, body: object, seconds: float
    ) -> _Response:
        try:
            response = await self._threads.run(lambda: self._exchange(method, path, params, body, seconds))
        except EngineUnavailable:
            # another engine may answer the next request
            self._api = None
            raise
        api = api_from_headers(response.headers)
        if api is not None and api != self._api:
            self._api = api
        if response.status >= _ERROR:
            message = decode.error_message(response.content)
            raise api_errors.from_response(response.status, message or response.text, from_engine=bool(message))
        return response

    def _exchange(
        self, method: str, path: str, params: Mapping[str, str] | None, body: object, seconds: float
    ) -> _Response:
        """Send one request and read the whole response. Blocks; runs on a thread.

        Raises:
            EngineUnavailable: no response, or one that is not the engine's. Read as an empty list, it would mean that
                nothing exists.
        """
        try:
            response = self._client.request(
                method,
                f"{self._client.base_url}{path}",
                params=params,
                **({"data": body} if isinstance(body, bytes) else {"json": body}),
                timeout=(CONNECT_TIMEOUT, seconds),
                allow_redirects=False,
            )
        except requests.exceptions.ConnectTimeout as error:
            raise self._unavailable(f"no connection in {CONNECT_TIMEOUT:.0f} s") from error
        except requests.exceptions.Timeout as error:
            raise self._unavailable(f"no response in {seconds:.0f} s") from error
        except requests.exceptions.RequestException as error:
            raise self._unavailable(_root_cause(error)) from error
        # the engine redirects none of our requests, and all its responses but the one to a ping are JSON or empty
        if _REDIRECT <= response.status_code < _ERROR:
            raise self._unavailable(f"{method} {path} was redirected (HTTP {response.status_code}): {_FOREIGN}")
        try:
            # not response.json(), which first guesses the encoding; JSON is UTF-8 (RFC 8259)
            content = json_value(response.content)
        except ValueError:
            content = None
            if response.content and response.status_code < _ERROR and path != _PING:
                start = escaped(response.content[:_SHOWN].decode(errors="replace"))
                raise self._unavailable(f"the response to {method} {path} is not JSON: {start!r}; {_FOREIGN}") from None
        text = response.text if response.status_code >= _ERROR else ""
        return _Response(response.status_code, response.headers, text, content)

    def _unavailable(self, reason: str) -> EngineUnavailable:
        return EngineUnavailable(f"Docker Engine at {self._address.url}: {reason}")


def _root_cause(error: BaseException) -> str:
    """Find the operating system's error below the exceptions of requests and urllib3, and explain it."""
    cause: BaseException | None = error
    visited: set[int] = set()
    while cause is not None and id(cause) not in visited:
        visited.add(id(cause))
        if isinstance(cause, OSError) and cause.strerror and cause.errno is not None:
            return explain(cause)
        cause = cause.__cause__ or cause.__context__
    return "the connection was closed before the response was complete"


def explain(error: OSError) -> str:
    """Describe a failed connection to an engine, with a remedy where there is one."""
    for kind, remedy in _REMEDIES.items():
        if isinstance(error, kind):
            return f"{os.strerror(error.errno)}: {remedy}" if error.errno else remedy
    return error.strerror or str(error) or type(error).__name__


class DaemonThreads:
    """Runs blocking calls on daemon threads, a limited number at a time."""

    def __init__(self, limit: int, name: str) -> None:
        """Take the maximum number of threads, and their name."""
        self._slots = asyncio.Semaphore(limit)
        self._name = name

    async def run(self, call: Callable[[], T]) -> T:
        """Run the call on a thread; return its result or raise its exception.

        When the waiting task is cancelled, the call goes on and its outcome is dropped. The call keeps its slot until
        it ends, so a hanging engine can't make threads pile up.
        """
        await self._slots.acquire()
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()

        def finish(result: T | None, error: BaseException | None) -> None:
            self._slots.release()
            if outcome.cancelled():
                return
            if error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(result)  # type: ignore[arg-type]  # None is a T where the call returns None

        def work() -> None:
            result, error = None, None
            try:
                result = call()
            except BaseException as raised:  # noqa: BLE001 - re-raised in the waiting task
                error = raised
            with suppress(RuntimeError):  # the loop is closed: no task waits
                loop.call_soon_threadsafe(finish, result, error)

        try:
            threading.Thread(target=work, name=self._name, daemon=True).start()
        except RuntimeError:
            self._slots.release()
            raise
        return await outcome


class _UnixConnection(HTTPConnection):
    def __init__(self, *args: object, socket_path: str, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # the pool's arguments, passed on unchanged
        self._socket_path = socket_path

    def connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self.timeout)
            connection.connect(self._socket_path)
        except BaseException:
            connection.close()
            raise
        self.sock = connection


class _UnixPool(HTTPConnectionPool):
    ConnectionCls = _UnixConnection


class _UnixAdapter(HTTPAdapter):
    """Sends all requests of its session through one pool of connections to a unix socket."""

    def __init__(self, socket_path: str, parallel: int) -> None:
        super().__init__()
        self._socket_path = socket_path
        self._parallel = parallel
        self._pool = self._new_pool()

    def _new_pool(self) -> _UnixPool:
        return _UnixPool("localhost", maxsize=self._parallel, socket_path=self._socket_path)

    def get_connection_with_tls_context(
        self,
        request: PreparedRequest,  # noqa: ARG002 - the signature of requests (>= 2.32)
        verify: object,  # noqa: ARG002
        proxies: object = None,  # noqa: ARG002
        cert: object = None,  # noqa: ARG002
    ) -> HTTPConnectionPool:
        return self._pool

    def request_url(self, request: PreparedRequest, proxies: Mapping[str, str] | None) -> str:  # noqa: ARG002
        return request.path_url

    def close(self) -> None:
        """Close idle connections. Later requests open new ones, as with every adapter of requests."""
        self._pool.close()
        self._pool = self._new_pool()
        super().close()
