"""The bare engine: the operator's create requests, sent by a minimal program."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING
from urllib.parse import quote

from benchmarks import resources
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.scheme import decode
from dockerv6.dockerd import encode
from dockerv6.planning.docker.network_spec import network_spec
from dockerv6.planning.inputs import Identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_CREATED = 201
_TIMEOUT = 300.0


class _Connection(http.client.HTTPConnection):
    """HTTP through an engine's socket, kept open between requests."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT)
        self.sock.connect(self._path)


@dataclass(frozen=True, slots=True)
class Event:
    """One event, and the time of its arrival (`time.monotonic`)."""

    at: float
    action: str
    subject: str  # the container's or network's identifier
    about: Mapping[str, str]  # further attributes, such as a network's name and the attached container


class BareEngine:
    """An engine's API without a client library."""

    def __init__(self, path: str) -> None:
        """Query the API version of the engine behind the socket."""
        self._path = path
        connection = _Connection(path)
        connection.request("GET", "/_ping")
        answer = connection.getresponse()
        answer.read()
        api = encode.api_from_headers(dict(answer.headers))
        connection.close()
        if api is None:
            raise RuntimeError(f"{path}: no Docker Engine answers")
        self._api = api

    def body(self, number: int) -> bytes:
        """The operator's request for the network of that number, except for the digits of the subnet."""
        resource = decode(resources.network(number)).resource
        assert isinstance(resource, NetworkResource)  # noqa: S101 - for the type checker
        prefix = resources.foreign_prefix(number)
        return json.dumps(encode.network(network_spec(resource, prefix, Identity()), self._api)).encode()

    def foreign_body(self, number: int) -> bytes:
        """The same network without labels, as a foreign network."""
        return json.dumps({**json.loads(self.body(number)), "Labels": {}}).encode()

    def create(self, bodies: Sequence[bytes], *, clients: int) -> float:
        """Send all creates with that many clients in parallel; return the seconds until the last answer."""
        work, lock = iter(bodies), threading.Lock()
        failures: list[Exception] = []

        def client() -> None:
            try:
                self._create_all(work, lock)
            except Exception as error:  # noqa: BLE001 - raised below
                failures.append(error)

        started = time.monotonic()
        crowd = [threading.Thread(target=client) for _ in range(clients)]
        for each in crowd:
            each.start()
        for each in crowd:
            each.join()
        took = time.monotonic() - started
        if failures:
            raise failures[0]
        return took

    def create_one(self, body: bytes) -> None:
        """Send one create."""
        self._create_all(iter((body,)), threading.Lock())

    @contextmanager
    def events(self, **filters: str) -> Iterator[SimpleQueue[Event]]:
        """Yield the engine's matching events, such as `type="container", event="start"`, for the block."""
        connection = _Connection(self._path)
        wanted = quote(json.dumps({name: [value] for name, value in filters.items()}))
        connection.request("GET", f"/v{encode.format_api_version(self._api.version)}/events?filters={wanted}")
        answer = connection.getresponse()
        found: SimpleQueue[Event] = SimpleQueue()
        reader = threading.Thread(target=_read_events, args=(answer, found), daemon=True)
        reader.start()
        try:
            yield found
        finally:
            connection.sock.shutdown(socket.SHUT_RDWR)
            reader.join()
            connection.close()

    def _create_all(self, work: Iterable[bytes], lock: threading.Lock) -> None:
        bodies, connection = iter(work), _Connection(self._path)
        path = f"/v{encode.format_api_version(self._api.version)}/networks/create"
        while True:
            with lock:
                body = next(bodies, None)
            if body is None:
                connection.close()
                return
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            reply = answer.read()
            if answer.status != _CREATED:
                raise RuntimeError(f"the engine answered {answer.status}: {reply.decode(errors='replace')}")


def _read_events(answer: http.client.HTTPResponse, found: SimpleQueue[Event]) -> None:
    with suppress(http.client.HTTPException, OSError, ValueError):  # closed at the end of the block
        while line := answer.readline():
            now = time.monotonic()
            event = json.loads(line)
            found.put(Event(now, event["Action"], event["Actor"]["ID"], event["Actor"]["Attributes"]))
