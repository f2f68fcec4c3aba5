"""The running daemon over HTTP, as commands talk to it."""

import socket
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import click

from dockerv6.daemon.settings import Settings
from dockerv6.store.model import StoredObject

_RECONCILE = "/v1/reconcile/"
_LONGEST_PATH = 4096  # characters of names: half of what the server takes


class DaemonResponse(NamedTuple):
    """The daemon's HTTP response."""

    status: int
    body: str


def query(address: str, path: str, timeout: float, method: str = "GET") -> DaemonResponse:
    """Request a path from ``unix:PATH``, ``HOST:PORT`` or ``[V6]:PORT``. A wildcard address means the local host.

    Raises:
        OSError: no response.
        ValueError: the address is invalid, or the response is not HTTP.
    """
    from http.client import HTTPConnection, HTTPException  # noqa: PLC0415 - takes as long as all of `get`

    with _connect(address, timeout) as channel:
        connection = HTTPConnection("localhost", timeout=timeout)
        connection.sock = channel
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return DaemonResponse(response.status, response.read().decode(errors="replace").strip())
        except HTTPException as error:
            raise ValueError(f"the response is not HTTP ({error!r})") from error


def _connect(address: str, timeout: float) -> socket.socket:
    if address.startswith("unix:"):
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        channel.settimeout(timeout)
        try:
            channel.connect(address.removeprefix("unix:"))
        except BaseException:
            channel.close()
            raise
        return channel
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        raise ValueError("the address is neither unix:PATH nor HOST:PORT")
    name = host.removeprefix("[").removesuffix("]")
    name = {"": "localhost", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)
    return socket.create_connection((name, int(port)), timeout)


def daemon_address(settings: Settings) -> str:
    """The address of the daemon.

    Raises:
        click.UsageError: it has none.
    """
    if not settings.address:
        raise click.UsageError("with --listen none the daemon has no address, and can't be asked")
    return settings.address


def reconcile_paths(resources: Iterable[StoredObject]) -> Iterator[str]:
    """The paths of requests about resources, see `daemon.http`: each has as many of them as a request may have."""
    names: list[str] = []
    for each in resources:
        name = f"{each.kind}/{each.name}"
        if names and sum(map(len, names)) + len(names) + len(name) > _LONGEST_PATH:
            yield f"{_RECONCILE}{','.join(names)}"
            names = []
        names.append(name)
    if names:
        yield f"{_RECONCILE}{','.join(names)}"
