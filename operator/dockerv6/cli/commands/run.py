"""``dockerv6 run``: run the daemon."""

import click

from dockerv6.cli.options import ExampleCommand, with_settings
from dockerv6.daemon.settings import Settings


@click.command(
    "run",
    cls=ExampleCommand,
    short_help="Run the daemon.",
    examples=(
        "dockerv6 run",
        "DOCKERV6_LOG_FORMAT=json dockerv6 run --config-dir /etc/dockerv6.d --config-dir /srv/gitops",
    ),
)
@with_settings
@click.pass_context
def command(ctx: click.Context, settings: Settings) -> None:
    """Run the daemon in the foreground: apply the resources and repair drift until SIGTERM or Ctrl-C.

    Stopping the daemon changes nothing on the host: networks and rules stay in place.
    """
    from dockerv6.daemon.heap import no_encoding_guesses  # noqa: PLC0415 - loads the daemon

    with no_encoding_guesses():
        from dockerv6.daemon.process import run  # noqa: PLC0415 - as above

    code = run(settings)
    ctx.exit(code)
