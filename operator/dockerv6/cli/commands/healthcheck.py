"""``dockerv6 healthcheck``: query the daemon's health, for HEALTHCHECK in a container and for monitoring."""

import socket
from typing import NamedTuple

import click

from dockerv6.cli.options import DURATION, ExampleCommand, setting_option
from dockerv6.cli.printers.table import plain
from dockerv6.daemon.settings import Settings

OK = 200

_SHORTEST = 0.001  # seconds; with 0, a socket does not wait at all, and connecting fails for another reason


class HealthResponse(NamedTuple):
    """The daemon's HTTP response."""

    status: int
    body: str


@click.command(
    "healthcheck",
    cls=ExampleCommand,
    short_help="Query the health of the running daemon.",
    examples=(
        "dockerv6 healthcheck",
        "dockerv6 healthcheck --ready --listen 127.0.0.1:9153",
    ),
)
@click.option("--ready", is_flag=True, help="Query readiness (/readyz) instead of liveness (/healthz).")
@click.option(
    "--timeout",
    type=DURATION,
    metavar="DURATION",
    default="5s",
    show_default=True,
    help="Maximum time to wait for the response.",
)
@setting_option("run_dir")
@setting_option("listen")
def command(*, ready: bool, timeout: float, run_dir: str, listen: str) -> None:
    """Query the health of the running daemon. Exit codes: 0 healthy, 1 unhealthy or no response."""
    address = Settings(run_dir=run_dir, listen=listen).address
    if not address:
        raise click.UsageError("with --listen none the daemon has no HTTP address to query")
    try:
        response = query(address, "/readyz" if ready else "/healthz", max(timeout, _SHORTEST))
    except (OSError, ValueError) as error:
        raise click.ClickException(
            f"no response from {address}: {error}; is `dockerv6 run` running with the same --run-dir and --listen?"
        ) from error
    if response.status != OK:
        raise click.ClickException(f"{address} returned {response.status}: {plain(response.body)}")
    click.echo("ok")


def query(address: str, path: str, timeout: float) -> HealthResponse:
    """GET a path from ``unix:PATH``, ``HOST:PORT`` or ``[V6]:PORT``. A wildcard address means the local host.

    Raises:
        OSError: no response.
        ValueError: the address is invalid, or the response is not HTTP.
    """
    from http.client import HTTPConnection, HTTPException  # noqa: PLC0415 - doubles the import time of this module

    with _connect(address, timeout) as channel:
        connection = HTTPConnection("localhost", timeout=timeout)
        connection.sock = channel
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return HealthResponse(response.status, response.read().decode(errors="replace").strip())
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
