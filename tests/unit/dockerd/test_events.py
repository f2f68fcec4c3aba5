from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from dockerv6.dockerd import events as module
from dockerv6.dockerd.address import resolve
from dockerv6.dockerd.events import EventStreams
from dockerv6.dockerd.model import EngineEvent, EventKind
from dockerv6.dockerd.port import EngineApiError, EngineUnavailable
from tests.unit.dockerd.stub import Reply, Request, Stub, ping, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONNECTED = EngineEvent(EventKind.CONNECTED, "connected")
CHUNKED = {"Transfer-Encoding": "chunked"}


def message(action: str, kind: str = "network") -> bytes:
    return (
        json.dumps({"Type": kind, "Action": action, "Actor": {"ID": "n", "Attributes": {"name": "x"}}}).encode() + b"\n"
    )


def network_event(action: str) -> EngineEvent:
    return EngineEvent(EventKind.NETWORK, action, network_id="n", network_name="x")


def chunk(data: bytes) -> bytes:
    return f"{len(data):x};extension\r\n".encode() + data + b"\r\n"


def engine(stream: Reply) -> Callable[[Request], Reply]:
    return lambda request: ping() if request.path == "/_ping" else stream


def streams(stub: Stub) -> EventStreams:
    return EventStreams(resolve(stub.url, {}))


async def collect(stub: Stub) -> list[EngineEvent]:
    """Collect all events until the stream ends with `EngineUnavailable`."""
    seen: list[EngineEvent] = []

    async def listen() -> None:
        async for event in streams(stub).open():
            seen.append(event)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(EngineUnavailable):
        await listen()
    return seen


async def test_the_first_event_is_connected(tmp_path: Path) -> None:
    body = chunk(message("create")) + chunk(message("destroy")) + b"0\r\n\r\n"
    async with serving(tmp_path / "d", engine(Reply(body=body, headers=CHUNKED))) as stub:
        assert await collect(stub) == [CONNECTED, network_event("create"), network_event("destroy")]


async def test_chunks_may_end_anywhere(tmp_path: Path) -> None:
    text = message("create") + b"\n" + message("connect") + message("destroy")
    body = b"".join(chunk(text[at : at + 7]) for at in range(0, len(text), 7)) + b"0\r\n\r\n"
    async with serving(tmp_path / "d", engine(Reply(body=body, headers=CHUNKED))) as stub:
        assert await collect(stub) == [
            CONNECTED,
            network_event("create"),
            network_event("connect"),
            network_event("destroy"),
        ]


async def test_reads_a_stream_without_chunks_too(tmp_path: Path) -> None:
    body = message("create") + message("pull", kind="image") + message("destroy")
    async with serving(tmp_path / "d", engine(Reply(body=body, then_close=True))) as stub:
        assert await collect(stub) == [CONNECTED, network_event("create"), network_event("destroy")]


async def test_requests_relevant_events_since_the_previous_response(tmp_path: Path) -> None:
    async with serving(tmp_path / "d", engine(Reply(body=b"0\r\n\r\n", headers=CHUNKED))) as stub:
        await collect(stub)
        url = urlsplit(stub.requests[1].path)
        query = parse_qs(url.query)
        assert url.path == "/events"
        assert query["since"] == ["1795402811"]  # the ping's Date
        filters = json.loads(query["filters"][0])
        assert filters["type"] == ["network", "container"]
        networks = {"create", "destroy", "remove", "connect", "disconnect"}
        containers = {"create", "start", "die", "stop", "pause", "unpause", "rename", "update", "destroy"}
        assert set(filters["event"]) == networks | containers


async def test_omits_since_without_a_date_header(tmp_path: Path) -> None:
    def handler(request: Request) -> Reply:
        return Reply(body=b"OK") if request.path == "/_ping" else Reply(body=b"0\r\n\r\n", headers=CHUNKED)

    async with serving(tmp_path / "d", handler) as stub:
        assert await collect(stub) == [CONNECTED]
        assert "since" not in parse_qs(urlsplit(stub.requests[1].path).query)


@pytest.mark.parametrize(
    "garbage",
    [
        chunk(b"{nonsense}\n"),
        b"zz\r\n",
        b"5\r\nab",
        chunk(b"x" * 9) + b"-1\r\n",
        b"fffffffffffff\r\n",
        chunk(b"x" * (1 << 20)) * 3,
        chunk(b"[" * 500_000 + b"\n"),
    ],
    ids=["json", "size", "short", "sign", "huge", "endless", "nested"],
)
async def test_a_broken_stream_is_unavailable(tmp_path: Path, garbage: bytes) -> None:
    async with serving(tmp_path / "d", engine(Reply(body=garbage, headers=CHUNKED, then_close=True))) as stub:
        assert await collect(stub) == [CONNECTED]


@pytest.mark.parametrize("size", [99, 101])
@pytest.mark.parametrize("pieces", [1, 3])
async def test_an_event_that_is_too_long_breaks_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, pieces: int
) -> None:
    monkeypatch.setattr(module, "_LONGEST_EVENT", 100)
    text = message("create").strip().ljust(size) if pieces == 1 else b"x" * size + b"x" * size
    body = b"".join(chunk(text[at::pieces]) for at in range(pieces)) + chunk(b"\n") + b"0\r\n\r\n"
    async with serving(tmp_path / "d", engine(Reply(body=body, headers=CHUNKED))) as stub:
        assert await collect(stub) == [CONNECTED, *([network_event("create")] if (size, pieces) == (99, 1) else [])]


async def test_an_endless_line_is_unavailable(tmp_path: Path) -> None:
    async with serving(tmp_path / "d", engine(Reply(headers={"X": "x" * (2 << 20)}))) as stub:
        assert await collect(stub) == []


async def test_a_server_that_is_not_http_is_an_engine_error(tmp_path: Path) -> None:
    async with serving(tmp_path / "d", lambda _: Reply(400, b"nope", then_close=True)) as stub:
        with pytest.raises(EngineApiError, match="nope"):
            await anext(streams(stub).open())


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_an_error_status_is_an_error_of_the_engine(tmp_path: Path, status: int) -> None:
    async with serving(tmp_path / "d", engine(Reply(status, b"<html>"))) as stub:
        with pytest.raises(EngineApiError):
            await anext(streams(stub).open())


async def test_an_error_response_keeps_the_engines_message(tmp_path: Path) -> None:
    async with serving(tmp_path / "d", engine(Reply(400, {"message": "invalid filter"}))) as stub:
        with pytest.raises(EngineApiError, match="invalid filter"):
            await anext(streams(stub).open())


async def test_a_gateway_error_of_a_proxy_is_unavailable(tmp_path: Path) -> None:
    async with serving(tmp_path / "d", lambda _: Reply(502, b"<html>Bad gateway</html>")) as stub:
        with pytest.raises(EngineUnavailable, match="Bad gateway"):
            await anext(streams(stub).open())


async def test_a_timeout_before_the_stream_opens_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_TIMEOUT", 0.01)
    async with serving(tmp_path / "d", lambda _: None) as stub:
        with pytest.raises(EngineUnavailable, match="no response in time"):
            await anext(streams(stub).open())


async def test_an_idle_stream_stays_open_until_the_engine_crashes(tmp_path: Path) -> None:
    async with serving(tmp_path / "d", engine(Reply(body=b"", headers=CHUNKED))) as stub:
        stream = streams(stub).open()
        assert await anext(stream) == CONNECTED
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        assert not waiting.done()
        stub.crash()
        with pytest.raises(EngineUnavailable, match="the event stream has ended"):
            await waiting


async def test_cancelling_the_reader_closes_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path / "d", engine(Reply(body=b"", headers=CHUNKED))) as stub:
        stream = streams(stub).open()
        await anext(stream)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await stub.idle.wait()


async def test_close_ends_all_streams(tmp_path: Path) -> None:
    async with serving(tmp_path / "d", engine(Reply(body=b"", headers=CHUNKED))) as stub:
        opened = streams(stub)
        one, two = opened.open(), opened.open()
        assert [await anext(one), await anext(two)] == [CONNECTED, CONNECTED]
        opened.close()
        for stream in (one, two):
            with pytest.raises(EngineUnavailable):
                await anext(stream)


async def test_a_missing_socket_is_unavailable_with_a_remedy(tmp_path: Path) -> None:
    stream = EventStreams(resolve(f"unix://{tmp_path}/missing.sock", {})).open()
    with pytest.raises(EngineUnavailable, match=r"No such file or directory: is Docker running\?"):
        await anext(stream)


async def test_uses_tls_with_a_client_certificate(certificates: Path) -> None:
    stub = Stub(certificates, engine(Reply(body=chunk(message("create")), headers=CHUNKED, then_close=True)))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates / "ca.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    environment = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certificates)}
    stream = EventStreams(resolve(f"tcp://localhost:{port}", environment)).open()
    assert [await anext(stream), await anext(stream)] == [CONNECTED, network_event("create")]
    await stream.aclose()
    server.close()
    await stub.idle.wait()
    await server.wait_closed()
