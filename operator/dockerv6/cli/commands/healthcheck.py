"""``dockerv6 healthcheck``: query the daemon's health, for HEALTHCHECK in a container and for monitoring."""

import click

from dockerv6.cli.daemon_client import daemon_address, query
from dockerv6.cli.options import DURATION, ExampleCommand, setting_option
from dockerv6.cli.printers.table import plain
from dockerv6.daemon.settings import Settings

OK = 200

_SHORTEST = 0.001  # seconds; with 0, a socket does not wait at all, and connecting fails for another reason


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
    address = daemon_address(Settings(run_dir=run_dir, listen=listen))
    try:
        response = query(address, "/readyz" if ready else "/healthz", max(timeout, _SHORTEST))
    except (OSError, ValueError) as error:
        raise click.ClickException(
            f"no response from {address}: {error}; is `dockerv6 run` running with the same --run-dir and --listen?"
        ) from error
    if response.status != OK:
        raise click.ClickException(f"{address} returned {response.status}: {plain(response.body)}")
    click.echo("ok")
