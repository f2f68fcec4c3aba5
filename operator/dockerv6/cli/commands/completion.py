"""``dockerv6 completion``: shell completion of commands, kinds and names."""

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
    """Print the completion script of SHELL. Default: the shell of the environment variable SHELL."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - click loads it lazily too

    name = shell or os.path.basename(os.environ.get("SHELL", ""))  # noqa: PTH119 - only the name matters
    if name not in SHELLS:
        raise click.UsageError(f"unknown shell; write one of {', '.join(SHELLS)}")
    maker = get_completion_class(name)
    if maker is None:
        raise click.ClickException(f"this version of click does not support {name}")
    click.echo(maker(ctx.find_root().command, {}, "dockerv6", "_DOCKERV6_COMPLETE").source())
