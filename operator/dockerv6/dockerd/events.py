"""The engine's event stream, read by the event loop: it needs no thread and can be cancelled at once.

The docker SDK can't read it well enough (ADR 0029): its stream has either no timeout, not even while connecting, or one
that ends it when no event comes for a minute. Here connecting and the response headers have a timeout, and the stream
has none. A dead engine closes a unix socket at once; the kernel's keepalive probes detect a dead host behind TCP.
"""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from dockerv6.dockerd import api_errors, decode
from dockerv6.dockerd.model import EngineEvent, EventKind
from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.dockerd.transport import CONNECT_TIMEOUT, READ_TIMEOUT, explain
from dockerv6.lib.text import json_value

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from dockerv6.dockerd.address import EngineAddress

_ACTIONS = (
    *("create", "connect", "disconnect", "destroy", "remove", "update"),
    *("start", "die", "stop", "rename", "pause", "unpause"),
)
"""All actions that can change what a reconcile observes. Health checks, for example, are excluded: they would wake the
daemon twice a minute for each container.

"die" comes before the container leaves its networks (20.10) or after (26.1, 28.5). "stop" may be the last event (20.10)
or not, and is not sent for every end of a container.
"""

_OK = 200
_LONGEST_LINE = 1 << 20  # bytes of headers
_LONGEST_EVENT = 8 << 20  # bytes; an event has all labels of its container, and an image may bring any
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))  # dead after a minute


class EventStreams:
    """Opens event streams of one engine, and can close them all."""

    def __init__(self, address: EngineAddress) -> None:
        """Take the engine's address."""
        self._address = address
        self._open: set[asyncio.StreamWriter] = set()

    async def open(self) -> AsyncGenerator[EngineEvent, None]:
        """Connect and yield events; the first is of kind CONNECTED.

        Raises:
            EngineUnavailable: no connection, or the stream has ended.
            EngineApiError: an error response.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                reader, writer = await self._connect()
        except OSError as error:  # TimeoutError is one
            raise self._unavailable(error) from error
        self._open.add(writer)
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                messages = await _subscribe(reader, writer)
            yield EngineEvent(EventKind.CONNECTED, "connected")
            while True:
                if (event := decode.event(await messages.read())) is not None:
                    yield event
        except (OSError, EOFError, ValueError, RecursionError, asyncio.LimitOverrunError) as error:
            raise self._unavailable(error) from error
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    def close(self) -> None:
        """Close all open streams; their readers get `EngineUnavailable`."""
        for writer in self._open:
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._address.socket is not None:
            return await asyncio.open_unix_connection(self._address.socket, limit=_LONGEST_LINE)
        reader, writer = await asyncio.open_connection(
            self._address.host, self._address.port, ssl=self._address.ssl_context(), limit=_LONGEST_LINE
        )
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        return reader, writer

    def _unavailable(self, error: Exception) -> EngineUnavailable:
        match error:
            case TimeoutError():
                reason = "no response in time"
            case OSError():
                reason = explain(error)
            case EOFError():
                reason = "the event stream has ended"
            case _:
                reason = f"the event stream can't be read: {error}"
        return EngineUnavailable(f"Docker Engine at {self._address.url}: {reason}")


async def _subscribe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Messages:
    """Request events; return once the engine sends them.

    The engine sends the response headers shortly before it subscribes the client (20.10 to 28.5), so an event in
    between would be lost. It keeps its last 256 events, however: requesting those since the previous response, by the
    engine's own clock, closes the gap. The header `Date` of every response has that clock.
    """
    await _request(writer, "/_ping")
    headers = await _read_headers(reader)
    size = int(headers.get("content-length", "0"))
    if size > _LONGEST_LINE:
        raise ValueError(f"a response to a ping of {size} bytes")
    await reader.readexactly(size)
    query = {"filters": json.dumps({"type": ["network", "container"], "event": list(_ACTIONS)})}
    with suppress(ValueError, OverflowError):
        query["since"] = str(int(parsedate_to_datetime(headers.get("date", "")).timestamp()))
    # unversioned: the fields that we read have been the same since API 1.22
    await _request(writer, f"/events?{urlencode(query)}")
    headers = await _read_headers(reader)
    return _Messages(reader, chunked=headers.get("transfer-encoding") == "chunked")


async def _request(writer: asyncio.StreamWriter, path: str) -> None:
    writer.write(f"GET {path} HTTP/1.1\r\nHost: docker\r\nUser-Agent: dockerv6\r\nAccept: */*\r\n\r\n".encode())
    await writer.drain()


async def _read_headers(reader: asyncio.StreamReader) -> dict[str, str]:
    """Read a response's status line and headers; names in lower case.

    Raises:
        EngineApiError: the status is not 200.
        ValueError: it is not an HTTP response.
        EOFError: the connection ended.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    protocol, _, rest = head[0].partition(" ")
    if not protocol.startswith("HTTP/"):
        raise ValueError("this is not an HTTP response")
    status = int(rest.partition(" ")[0])
    if status != _OK:
        body = await reader.read(_LONGEST_LINE)
        try:
            message = decode.error_message(json_value(body))
        except ValueError:
            message = ""
        text = message or body.decode(errors="replace")
        raise api_errors.from_response(status, text, from_engine=bool(message))
    return headers


class _Messages:
    """Reads JSON values, one per line, from a response body. Chunks may end anywhere."""

    def __init__(self, reader: asyncio.StreamReader, *, chunked: bool) -> None:
        self._reader = reader
        self._read_piece = self._read_chunk if chunked else self._read_some
        self._rest = b""

    async def read(self) -> object:
        """Wait for the next value.

        Raises:
            EOFError: the body has ended.
            ValueError: a line is not JSON.
        """
        line = b""
        while not line.strip():
            while b"\n" not in self._rest:
                if len(self._rest) > _LONGEST_EVENT:
                    raise ValueError(f"an event of more than {_LONGEST_EVENT} bytes")
                self._rest += await self._read_piece()
            line, _, self._rest = self._rest.partition(b"\n")
        return json_value(line)

    async def _read_chunk(self) -> bytes:
        """Decode the chunked transfer coding (RFC 9112, section 7.1)."""
        size = int((await self._reader.readline()).partition(b";")[0] or b"0", 16)
        if not size:
            raise EOFError
        if size > _LONGEST_EVENT:
            raise ValueError(f"a chunk of {size} bytes, of at most {_LONGEST_EVENT}")
        piece = await self._reader.readexactly(size)
        await self._reader.readexactly(len(b"\r\n"))
        return piece

    async def _read_some(self) -> bytes:
        piece = await self._reader.read(_LONGEST_LINE)
        if not piece:
            raise EOFError
        return piece
