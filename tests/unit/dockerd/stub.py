"""An HTTP server on a unix socket that sends the responses that a test defines, in place of an engine."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

PING_DATE = "Mon, 23 Nov 2026 03:00:11 GMT"


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    body: object = None


@dataclass(frozen=True, slots=True)
class Reply:
    """`body` is sent as JSON unless it is bytes; with `then_close` the connection is closed after it, as in a crash."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    then_close: bool = False

    def encode(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        framing = {} if "Transfer-Encoding" in self.headers else {"Content-Length": str(len(body))}
        lines = [f"{name}: {value}" for name, value in {**framing, **self.headers}.items()]
        return "\r\n".join([f"HTTP/1.1 {self.status} Some Reason", *lines, "", ""]).encode() + body


Handler = "Callable[[Request], Reply | None]"


class Stub:
    """Records requests. A handler that returns None leaves the request without a response."""

    def __init__(self, socket: Path, handler: Callable[[Request], Reply | None]) -> None:
        self.socket = socket
        self.url = f"unix://{socket}"
        self.handler = handler
        self.requests: list[Request] = []
        self.connections: set[asyncio.StreamWriter] = set()
        self.idle = asyncio.Event()
        self.idle.set()

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def crash(self) -> None:
        for connection in self.connections:
            connection.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        self.idle.clear()
        try:
            while request := await _read(reader):
                self.requests.append(request)
                reply = self.handler(request)
                if reply is None:
                    continue
                writer.write(reply.encode())
                await writer.drain()
                if reply.then_close:
                    return
        except ConnectionError:
            pass
        finally:
            self.connections.discard(writer)
            writer.close()
            if not self.connections:
                self.idle.set()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, json.loads(body) if body else None)


def ping(api: str = "1.51", version: str = "28.5.2") -> Reply:
    return Reply(body=b"OK", headers={**versions(api, version), "Date": PING_DATE})


def versions(api: str = "1.51", version: str = "28.5.2") -> dict[str, str]:
    return {"Api-Version": api, "Server": f"Docker/{version} (linux)"}


@asynccontextmanager
async def serving(socket: Path, handler: Callable[[Request], Reply | None]) -> AsyncIterator[Stub]:
    stub = Stub(socket, handler)
    server = await asyncio.start_unix_server(stub.serve, str(socket))
    try:
        yield stub
    finally:
        server.close()
        for _ in range(5):  # iterations of the loop until serve() runs for a connection that was accepted just now
            await asyncio.sleep(0)
        stub.crash()
        # wait for serve(), whose task would otherwise outlive the test's loop
        await stub.idle.wait()
        await server.wait_closed()
