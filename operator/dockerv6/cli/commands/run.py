"""``dockerv6 run``: the daemon."""

from typing import TYPE_CHECKING

import click

from dockerv6.cli.errors import unusable_settings
from dockerv6.cli.options import with_settings
from dockerv6.cli.verb import Verb

if TYPE_CHECKING:
    from dockerv6.daemon.settings import Settings


@click.command(
    "run",
    cls=Verb,
    short_help="Be the daemon: converge, watch, repair.",
    examples=(
        "dockerv6 run",
        "DOCKERV6_LOG_FORMAT=json dockerv6 run --config-dir /etc/dockerv6.d --config-dir /srv/gitops",
    ),
)
@with_settings
@click.pass_context
def command(ctx: click.Context, settings: "Settings") -> None:
    """Be the daemon: keep the host converged on the resources until SIGTERM or Ctrl-C.

    Stopping it changes nothing on the host: networks and rules stay as they are.
    """
    from dockerv6.daemon.heap import no_encoding_guesses  # noqa: PLC0415 - the daemon's imports, which --help need not

    with no_encoding_guesses():
        from dockerv6.daemon.process import run  # noqa: PLC0415 - as above

    with unusable_settings():
        code = run(settings)
    ctx.exit(code)
