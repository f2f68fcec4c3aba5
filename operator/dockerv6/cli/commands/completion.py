"""``dockerv6 completion``: shell completion of commands, options, kinds, names, fields and conditions."""

import os

import click

from dockerv6.cli.options import ExampleCommand

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    cls=ExampleCommand,
    short_help="Print the completion script of a shell.",
    examples=(
        "source <(dockerv6 completion bash)",
        'dockerv6 completion zsh > "${fpath[1]}/_dockerv6"',
        "dockerv6 completion fish > ~/.config/fish/completions/dockerv6.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.pass_context
def command(ctx: click.Context, *, shell: str | None) -> None:
    """Print the completion script of SHELL. Default: the shell of the environment variable SHELL.

    Commands, options, kinds, names of resources, fields of `explain`, formats of -o and conditions of `wait --for` are
    completed. The script needs bash 4.4 or newer, zsh, or fish.
    """
    from dockerv6.cli.completion import CLASSES, VARIABLE  # noqa: PLC0415 - replaces click's classes

    name = shell or os.path.basename(os.environ.get("SHELL", ""))  # noqa: PTH119 - only the name matters
    if name not in CLASSES:
        raise click.UsageError(f"unknown shell; write one of {', '.join(SHELLS)}")
    maker = CLASSES[name](ctx.find_root().command, {}, "dockerv6", VARIABLE)
    click.echo(maker.source_template % maker.source_vars(), nl=not maker.source_template.endswith("\n"))
