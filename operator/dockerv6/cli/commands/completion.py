"""``dockerv6 completion``: what a shell needs to complete commands, kinds and names."""

import os

import click

from dockerv6.cli.verb import Verb

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    cls=Verb,
    short_help="Print a shell's completion script.",
    examples=(
        "source <(dockerv6 completion bash)",
        'dockerv6 completion zsh > "${fpath[1]}/_dockerv6"',
        "dockerv6 completion fish > ~/.config/fish/completions/dockerv6.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.pass_context
def command(ctx: click.Context, *, shell: str | None) -> None:
    """Print the completion script of a shell; without SHELL, of the one that is in use."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - click itself loads it only when asked

    name = shell or os.path.basename(os.environ.get("SHELL", ""))  # noqa: PTH119 - a name, not a file to be used
    if name not in SHELLS:
        raise click.UsageError(f"which shell? Write one of {', '.join(SHELLS)}")
    maker = get_completion_class(name)
    if maker is None:
        raise click.ClickException(f"this version of click has no completion for {name}")
    click.echo(maker(ctx.find_root().command, {}, "dockerv6", "_DOCKERV6_COMPLETE").source())
