"""``dockerv6 healthcheck``: for a container's HEALTHCHECK and for monitoring."""

import socket
from typing import NamedTuple

import click

from dockerv6.cli import options
from dockerv6.cli.verb import Verb

OK = 200


class Answer(NamedTuple):
    """What the daemon said."""

    status: int
    body: str


@click.command(
    "healthcheck",
    cls=Verb,
    short_help="Ask the running daemon whether it is well.",
    examples=(
        "dockerv6 healthcheck",
        "dockerv6 healthcheck --ready --listen 127.0.0.1:9153",
    ),
)
@click.option("--ready", is_flag=True, help="Ask whether it does its work (/readyz), not only whether it lives.")
@click.option(
    "--timeout",
    type=options.duration,
    metavar="DURATION",
    default="5s",
    show_default=True,
    help="How long an answer may take.",
)
@options.run_dir
@options.listen
def command(*, ready: bool, timeout: float, run_dir: str, listen: str) -> None:
    """Ask the running daemon whether it is well: exit code 0 when it is, 1 when not or when it gives no answer."""
    if listen == "none":
        raise click.UsageError("the daemon listens nowhere (--listen none), so it can't be asked")
    address = listen or f"unix:{run_dir}/http.sock"
    try:
        answer = ask(address, "/readyz" if ready else "/healthz", timeout)
    except (OSError, ValueError) as error:
        raise click.ClickException(
            f"no answer from {address}: {error}; is `dockerv6 run` running with this --run-dir or --listen?"
        ) from error
    if answer.status != OK:
        raise click.ClickException(f"{address} says {answer.status}: {answer.body}")
    click.echo("ok")


def ask(address: str, path: str, timeout: float) -> Answer:
    """Get a path from ``unix:PATH``, ``HOST:PORT`` or ``[V6]:PORT``; of a wildcard address, from this machine.

    Raises:
        OSError: no answer.
        ValueError: no such address, or the answer is no HTTP.
    """
    from http.client import HTTPConnection, HTTPException  # noqa: PLC0415 - twice the import time of all else here

    with _connect(address, timeout) as channel:
        connection = HTTPConnection("localhost", timeout=timeout)
        connection.sock = channel
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Answer(response.status, response.read().decode(errors="replace").strip())
        except HTTPException as error:
            raise ValueError(f"the answer is no HTTP ({error!r})") from error


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
