"""Requests to the engine through the docker SDK's client, with the API version negotiated as late as possible.

The SDK's `APIClient` is a `requests.Session` that can also speak HTTP through a unix socket. Its own methods can't
say all that we need (``EnableIPv4``, ``EnableIPv6: false``), so requests are made with the session's public methods.
Its own version negotiation happens once, in the constructor, and fails for good when the engine is down.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests
from docker.api import APIClient
from docker.errors import DockerException
from requests.adapters import HTTPAdapter

from dockerv6.dockerd import decode, dialect, refusal
from dockerv6.dockerd.port import EngineApiError, EngineTooOld, EngineUnavailable
from dockerv6.dockerd.unix import UnixAdapter
from dockerv6.dockerd.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dockerv6.dockerd.address import Address
    from dockerv6.dockerd.dialect import Dialect

CONNECT_TIMEOUT = 5.0
"""Seconds to wait for a connection."""

READ_TIMEOUT = 60.0
"""Seconds to wait for an answer to a question. dockerd accepts connections before it answers."""

CHANGE_TIMEOUT = 600.0
"""Seconds to wait for a change: with hundreds of networks the engine's iptables calls take long, and they queue."""

_ERROR = 400
_HINTS = {
    FileNotFoundError: "is Docker running?",
    ConnectionRefusedError: "is Docker running?",
    PermissionError: "this needs root or membership in the socket's group",
}


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    text: str  # of an error, as it came
    content: object  # decoded JSON; None where there is none


class Transport:
    """Sends requests to one engine; safe for parallel use on one event loop."""

    def __init__(self, address: Address, *, parallel: int) -> None:
        """Prepare. Nothing is sent before the first request.

        Args:
            address: where the engine listens.
            parallel: how many requests may be under way at a time, each on its own connection and thread.

        Raises:
            ValueError: the SDK's own configuration (``~/.docker/config.json``) can't be read.
        """
        self._address = address
        self._workers = Workers(parallel, "dockerd")
        self._dialect: Dialect | None = None
        self._negotiating = asyncio.Lock()
        try:
            self._client = APIClient(
                base_url=address.url,
                # never used: paths carry the version that was negotiated. Given, it keeps the constructor offline
                version=dialect.format_api(dialect.HIGHEST),
                tls=address.tls or False,
            )
        except (DockerException, ValueError) as error:
            raise ValueError(f"Docker host {address.url!r}: the docker SDK's configuration: {error}") from error
        # proxy variables and .netrc are for the web, not for the engine; reading them costs time in every request
        self._client.trust_env = False
        self._client.mount(
            self._client.base_url,
            HTTPAdapter(pool_maxsize=parallel) if address.socket is None else UnixAdapter(address.socket, parallel),
        )

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> object:
        """Ask a question.

        Raises:
            EngineUnavailable: no answer.
            EngineApiError: or one of its kinds, as the engine says.
        """
        return await self._versioned("GET", path, params=params)

    async def post(self, path: str, encode: Callable[[Dialect], object]) -> object:
        """Send a change whose body depends on what the engine understands.

        Raises:
            EngineTooOld: from `encode`, for an engine that was just asked for its version.
            EngineUnavailable: no answer; the change may have been made all the same.
            EngineApiError: or one of its kinds, as the engine says.
        """
        return await self._versioned("POST", path, encode=encode)

    async def delete(self, path: str) -> object:
        """Send a removal. Errors as in `post`."""
        return await self._versioned("DELETE", path)

    async def get_unversioned(self, path: str) -> object:
        """Ask a question whose answer is the same in every API version. Errors as in `get`."""
        return (await self._send("GET", path, None, None)).content

    async def close(self) -> None:
        """Close idle connections. Those in use are closed when their answer has come."""
        self._client.close()

    async def _versioned(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        encode: Callable[[Dialect], object] | None = None,
    ) -> object:
        known = self._dialect
        if known is not None:
            try:
                return await self._in(known, method, path, params, encode)
            except EngineTooOld:
                pass  # by what was negotiated; the engine may have been upgraded since
            except EngineApiError as error:
                if not refusal.says_wrong_api(error):
                    raise
        return await self._in(await self._negotiate(known), method, path, params, encode)

    async def _in(
        self,
        spoken: Dialect,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        encode: Callable[[Dialect], object] | None,
    ) -> object:
        body = encode(spoken) if encode is not None else None
        answer = await self._send(method, f"/v{dialect.format_api(spoken.spoken)}{path}", params, body)
        return answer.content

    async def _negotiate(self, stale: Dialect | None) -> Dialect:
        """Ask for the engine's version, unless another task has just done so."""
        async with self._negotiating:
            if self._dialect is not None and self._dialect is not stale:
                return self._dialect
            answer = await self._send("GET", "/_ping", None, None)
            spoken = dialect.from_headers(answer.headers)
            if spoken is None:
                raise EngineApiError(f"{self._address.url} is no Docker Engine: it names no API version", answer.status)
            return spoken

    async def _send(self, method: str, path: str, params: Mapping[str, str] | None, body: object) -> _Answer:
        try:
            answer = await self._workers.run(lambda: self._exchange(method, path, params, body))
        except EngineUnavailable:
            # whoever answers next may be another engine
            self._dialect = None
            raise
        spoken = dialect.from_headers(answer.headers)
        if spoken is not None and spoken != self._dialect:
            self._dialect = spoken
        if answer.status >= _ERROR:
            message = decode.error_message(answer.content)
            raise refusal.from_answer(answer.status, message or answer.text, told_by_engine=bool(message))
        return answer

    def _exchange(self, method: str, path: str, params: Mapping[str, str] | None, body: object) -> _Answer:
        """Send one request and read its answer whole. Blocks; runs on a thread."""
        patience = READ_TIMEOUT if method == "GET" else CHANGE_TIMEOUT
        try:
            response = self._client.request(
                method,
                f"{self._client.base_url}{path}",
                params=params,
                json=body,
                timeout=(CONNECT_TIMEOUT, patience),
                allow_redirects=False,
            )
        except requests.exceptions.ConnectTimeout as error:
            raise self._unavailable(f"no connection in {CONNECT_TIMEOUT:.0f} s") from error
        except requests.exceptions.Timeout as error:
            raise self._unavailable(f"no answer in {patience:.0f} s") from error
        except requests.exceptions.RequestException as error:
            raise self._unavailable(_reason(error)) from error
        try:
            # not response.json(), which guesses at the encoding first; JSON is UTF-8 (RFC 8259)
            content = json.loads(response.content)
        except ValueError:
            content = None
        text = response.text if response.status_code >= _ERROR else ""
        return _Answer(response.status_code, response.headers, text, content)

    def _unavailable(self, reason: str) -> EngineUnavailable:
        return EngineUnavailable(f"Docker Engine at {self._address.url}: {reason}")


def _reason(error: BaseException) -> str:
    """Find, under the layers of requests and urllib3, what the operating system said."""
    inner: BaseException | None = error
    seen: set[int] = set()
    while inner is not None and id(inner) not in seen:
        seen.add(id(inner))
        if isinstance(inner, OSError) and inner.strerror and inner.errno is not None:
            return explain(inner)
        inner = inner.__cause__ or inner.__context__
    return "the connection was closed before the answer was complete"


def explain(error: OSError) -> str:
    """Say what an operating system's error means for a way to an engine, with a remedy where there is one."""
    for kind, hint in _HINTS.items():
        if isinstance(error, kind):
            return f"{os.strerror(error.errno)}: {hint}" if error.errno else hint
    return error.strerror or str(error) or type(error).__name__
