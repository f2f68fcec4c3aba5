from __future__ import annotations

import random
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.chaos.proxy import Disturbance, EngineProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REQUEST = b"GET /_ping HTTP/1.1\r\nHost: engine\r\n\r\n"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + bytes(2000)


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[list[bytes]]:
    """The requests that reached the engine, which gives the same answer to each connection."""
    seen: list[bytes] = []
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / "engine.sock"))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    if request := connection.recv(1000):
                        seen.append(request)
                        connection.sendall(_ANSWER)

        thread = threading.Thread(target=serve)
        thread.start()
        yield seen
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def proxy(tmp_path: Path, asked: list[bytes]) -> Iterator[EngineProxy]:
    del asked
    with closing(EngineProxy(tmp_path / "proxy.sock", tmp_path / "engine.sock", random.Random(1))) as proxy:
        yield proxy


def _ask(proxy: EngineProxy) -> bytes:
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.connect(str(proxy.path))
        parts = []
        try:
            client.sendall(_REQUEST)
            while part := client.recv(10_000):
                parts.append(part)
        except ConnectionError:
            pass  # closed before the request was sent
        return b"".join(parts)


@pytest.mark.parametrize("disturbance", [Disturbance.NONE, Disturbance.DELAY])
def test_requests_and_answers_are_passed_on(proxy: EngineProxy, asked: list[bytes], disturbance: Disturbance) -> None:
    proxy.set(disturbance)
    assert _ask(proxy) == _ANSWER
    assert asked == [_REQUEST]


def test_an_answer_is_truncated(proxy: EngineProxy, asked: list[bytes]) -> None:
    proxy.set(Disturbance.TRUNCATE)
    answer = _ask(proxy)
    assert _ANSWER.startswith(answer)
    assert len(answer) < len(_ANSWER)
    assert asked == [_REQUEST]


def test_requests_or_answers_are_lost(proxy: EngineProxy, asked: list[bytes]) -> None:
    proxy.set(Disturbance.DROP)
    assert [_ask(proxy) for _ in range(20)] == [b""] * 20
    assert 0 < len(asked) < 20


def test_every_request_is_an_error(proxy: EngineProxy, asked: list[bytes]) -> None:
    proxy.set(Disturbance.ERROR)
    assert _ask(proxy).startswith(b"HTTP/1.1 500 ")
    assert asked == []
    proxy.set(Disturbance.NONE)
    assert _ask(proxy) == _ANSWER


def test_an_open_connection_is_closed_by_a_disturbance(proxy: EngineProxy) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.connect(str(proxy.path))
        client.sendall(_REQUEST)
        assert client.recv(10)
        proxy.set(Disturbance.ERROR)
        while client.recv(10_000):
            pass
