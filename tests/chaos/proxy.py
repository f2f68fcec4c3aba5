"""A Unix socket before the engine's, which passes everything on, or disturbs it as it is set to."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from pathlib import Path

_CHUNK = 65536
_LONGEST_DELAY = 1.0
_LONGEST_START = 600
_BODY = b'{"message":"a disturbance of the test"}'
_ERROR = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: " + str(len(_BODY)).encode() + b"\r\n\r\n" + _BODY
)


class Disturbance(Enum):
    """What happens to connections."""

    NONE = "passed on"
    DELAY = "each chunk of an answer is late by up to a second"
    DROP = "closed before the request reaches the engine, or before the answer reaches the client"
    TRUNCATE = "closed within the answer"
    ERROR = "each request is answered with status 500"


class EngineProxy:
    """Listens at `path`, and connects to `target` for each client. Starts at once; `close` ends it."""

    def __init__(self, path: Path, target: Path, rng: random.Random) -> None:
        self.path = path
        self._target = target
        self._rng = rng
        self._disturbance = Disturbance.NONE
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._acceptor = threading.Thread(target=self._accept, name="engine-proxy")
        self._acceptor.start()

    def set(self, disturbance: Disturbance) -> None:
        """Disturb all connections from now on; those that are open are closed, unless they are only delayed."""
        self._disturbance = disturbance
        if disturbance not in (Disturbance.NONE, Disturbance.DELAY):
            self._shut_all()

    def close(self) -> None:
        """Stop listening and close all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        self._shut_all()
        for thread in self._threads:
            thread.join()

    def _shut_all(self) -> None:
        with self._lock:
            for each in self._sockets:
                _shut(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            thread = threading.Thread(target=self._serve, args=(client,), name="engine-proxy-client")
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        engine = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with client, engine:
            with self._lock:
                self._sockets |= {client, engine}
            try:
                if self._disturbance is Disturbance.ERROR:
                    client.recv(_CHUNK)
                    client.sendall(_ERROR)
                elif self._disturbance is not Disturbance.DROP or self._rng.random() < 0.5:
                    engine.connect(str(self._target))
                    self._pass_on(client, engine)
            except OSError:
                pass  # the client or the engine has gone
            finally:
                with self._lock:
                    self._sockets -= {client, engine}

    def _pass_on(self, client: socket.socket, engine: socket.socket) -> None:
        requests = threading.Thread(target=_copy, args=(client, engine), name="engine-proxy-requests")
        requests.start()
        try:
            self._answer(engine, client)
        finally:
            _shut(client)
            _shut(engine)
            requests.join()

    def _answer(self, engine: socket.socket, client: socket.socket) -> None:
        while chunk := engine.recv(_CHUNK):
            disturbance = self._disturbance
            if disturbance is Disturbance.DROP:
                return  # the engine has done what was asked, and the client doesn't know
            if disturbance is Disturbance.TRUNCATE:
                client.sendall(chunk[: self._rng.randrange(_LONGEST_START)])
                return
            if disturbance is Disturbance.DELAY:
                time.sleep(self._rng.uniform(0, _LONGEST_DELAY))
            client.sendall(chunk)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)


def _shut(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
