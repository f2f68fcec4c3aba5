"""The entry point: a group that loads only the command that was asked for, and prints expected errors as one line."""

import errno
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from io import TextIOWrapper

import click

from dockerv6.cli.namespaces import explain_namespaces

VERBS: Mapping[str, str] = {
    "run": "run",
    "apply": "apply",
    "plan": "plan",
    "diff": "diff",
    "validate": "validate",
    "get": "get",
    "describe": "describe",
    "events": "events",
    "wait": "wait",
    "delete": "delete",
    "edit": "edit",
    "reconcile": "reconcile",
    "suspend": "suspend",
    "resume": "resume",
    "doctor": "doctor",
    "import": "import_",
    "prune": "prune",
    "cleanup": "cleanup",
    "uninstall": "uninstall",
    "explain": "explain",
    "api-resources": "api_resources",
    "crds": "crds",
    "version": "version",
    "healthcheck": "healthcheck",
    "completion": "completion",
}
"""Every verb and its module in ``cli.commands``, in the order of ``--help``."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as of shells: 128 + SIGINT."""

EXPECTED = frozenset(
    {
        "dockerv6.cli.printers.jsonpath_parts:JSONPathError",
        "dockerv6.daemon.engine_process:EngineProcessError",
        "dockerv6.daemon.http:ListenError",
        "dockerv6.dockerd.address:DockerHostError",
        "dockerv6.dockerd.port:EngineError",
        "dockerv6.firewall.port:FirewallError",
        "dockerv6.hostnet.port:HostNetError",
        "dockerv6.ipam.ledger:LedgerError",
        "dockerv6.lib.statefile:StateFileError",
        "dockerv6.daemon.process:SourcesTooSlow",
        "dockerv6.planning.saved_plan:PlanRefused",
        "dockerv6.source.resource_files:EditRefusedError",
        "dockerv6.store.lock:AlreadyRunning",
        "dockerv6.store.port:StoreError",
    }
)
"""Base classes of the errors whose message is for users. By name: importing them would load the whole daemon."""

_NO_STATE = "dockerv6.lib.statefile:StateFileMissingError"


class CommandGroup(click.Group):
    """Imports the module of a command when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All verbs in the order of the help."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command of a verb, or None."""
        module = VERBS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = import_module(f"dockerv6.cli.commands.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command; for an unknown verb an error with a suggestion."""
        if args[0] not in VERBS and not args[0].startswith("-"):
            from dockerv6.api.errors import did_you_mean  # noqa: PLC0415 - only for misspelled verbs
            from dockerv6.cli import foreign_words  # noqa: PLC0415 - as above

            if args[0] in foreign_words.VERBS:
                raise click.ClickException(f"`{args[0]}` {foreign_words.VERBS[args[0]]}")
            ctx.fail(f"unknown command {args[0]!r}; {did_you_mean(args[0], VERBS)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. An expected error leaves no traceback."""
        try:
            result: object = super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # click ends quietly when the reader of the output has gone
            expected = as_click_error(error)
            if expected is None:
                raise
            raise expected from error
        return result


if "_DOCKERV6_COMPLETE" in os.environ:
    import dockerv6.cli.completion  # noqa: F401 - a shell asks for completions


def as_click_error(error: Exception) -> click.ClickException | None:
    """The error as click prints it (``Error: …``, exit code 1), on one line; None for an unexpected one."""
    from dockerv6.cli.printers.table import plain  # noqa: PLC0415 - start-up is budgeted

    message = _message(error)
    return None if message is None else click.ClickException(plain(message))


def _message(error: Exception) -> str | None:
    if isinstance(error, OSError):
        return _os_error(error)
    bases = {f"{base.__module__}:{base.__qualname__}" for base in type(error).__mro__}
    if _NO_STATE in bases:
        return f"{error}; start the daemon with `dockerv6 run`, or select its directory with --state-dir"
    if bases & EXPECTED:
        return f"{error}{_permission_hint(error.__cause__)}"
    return None


def _os_error(error: OSError) -> str:
    message = error.strerror or str(error)
    file = f"{error.filename}: " if error.filename else ""
    return f"{file}{message}{_permission_hint(error)}"


def _permission_hint(error: BaseException | None) -> str:
    if isinstance(error, PermissionError) and os.geteuid() != 0:
        return "; you are not root: try again with sudo"
    return ""


@click.command(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Run a command with --help for its options and examples. Exit codes: 0 success, 1 error, 2 wrong usage "
    "(`plan`: 2 changes to make).",
)
@click.version_option(package_name="dockerv6", message="dockerv6 %(version)s")
@click.option("-n", "--namespace", expose_value=False, hidden=True, callback=explain_namespaces)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Manage IPv6 networks of a Docker host with YAML resources."""
    if sys.stdout is None and ctx.invoked_subcommand != "run":
        raise click.ClickException("standard output is closed: redirect it to a file, or to /dev/null")
    for stream in (sys.stdout, sys.stderr):  # a terminal that can't show a character must not end the command
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        ctx.color = False
