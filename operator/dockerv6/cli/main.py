"""The entry point: a group that loads only the verb that was asked for."""

import errno
import os
from collections.abc import Mapping
from importlib import import_module

import click

from dockerv6.cli.errors import INTERRUPTED, explained

VERBS: Mapping[str, str] = {
    "run": "run",
    "apply": "apply",
    "plan": "plan",
    "validate": "validate",
    "get": "get",
    "describe": "describe",
    "events": "events",
    "wait": "wait",
    "doctor": "doctor",
    "prune": "prune",
    "cleanup": "cleanup",
    "uninstall": "uninstall",
    "crds": "crds",
    "healthcheck": "healthcheck",
    "completion": "completion",
}
"""Every verb and its module in ``cli.commands``, in the order of ``--help``."""


class Verbs(click.Group):
    """Imports a verb's module when the verb is used, and turns expected errors into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All verbs, as a person meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The verb's command, or None."""
        module = VERBS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = import_module(f"dockerv6.cli.commands.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb; an unknown one with a suggestion."""
        if args[0] not in VERBS and not args[0].startswith("-"):
            from dockerv6.api.errors import did_you_mean  # noqa: PLC0415 - only people who mistype pay for it

            ctx.fail(f"there is no command {args[0]!r}; {did_you_mean(args[0], VERBS)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb. No expected error leaves a traceback."""
        try:
            result: object = super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # click ends quietly when the reader of our output has gone
            told = explained(error)
            if told is None:
                raise
            raise told from error
        return result


@click.command(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every command has its own --help, with examples. Exit codes: 0 success, 1 error, 2 wrong usage "
    "(`plan`: 2 changes to make).",
)
@click.version_option(package_name="dockerv6", message="dockerv6 %(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Keep a Docker host's IPv6 networks as YAML resources say."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        ctx.color = False
