"""``dockerv6 run``: run the daemon."""

import click
from click.core import ParameterSource

from dockerv6.cli.options import ExampleCommand, with_settings
from dockerv6.daemon.settings import OPTIONS, Settings


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

    Stopping the daemon changes nothing on the host: networks and rules stay in place. At SIGHUP it reads settings and
    resources again.
    """
    from dockerv6.daemon.heap import no_encoding_guesses  # noqa: PLC0415 - loads the daemon

    with no_encoding_guesses():
        from dockerv6.daemon.environment import EnvironmentFile  # noqa: PLC0415 - as above
        from dockerv6.daemon.process import run  # noqa: PLC0415 - as above

    file = EnvironmentFile()

    def reread() -> Settings:
        file.apply()
        return _settings_again(ctx)

    code = run(settings, reread)
    ctx.exit(code)


def _settings_again(ctx: click.Context) -> Settings:
    """The settings of the command line and of the environment as it is now.

    Raises:
        ValueError: a variable has a wrong value.
    """
    try:
        fresh = ctx.command.make_context(ctx.info_name, [], parent=ctx.parent)
    except click.ClickException as error:
        raise ValueError(error.format_message()) from error
    given = (name for name in OPTIONS if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE)
    values = {name: fresh.params[name] for name in OPTIONS} | {name: ctx.params[name] for name in given}
    return Settings(**values)
