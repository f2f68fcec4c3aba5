"""``dockerv6 validate``: what is wrong in files, without a daemon or an engine."""

import sys

import click

from dockerv6.cli import options
from dockerv6.cli.verb import Verb


@click.command(
    "validate",
    cls=Verb,
    short_help="Check files, offline.",
    examples=(
        "dockerv6 validate manifests/ --strict",
        "cat blog.yaml | dockerv6 validate -",
        "dockerv6 validate -o json",
    ),
)
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(allow_dash=True))
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How it is told."
)
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
@options.config_dir
@click.pass_context
def command(
    ctx: click.Context, *, paths: tuple[str, ...], output: str, strict: bool, config_dirs: tuple[str, ...]
) -> None:
    """Check files and directories of resources; "-" is standard input, and without PATH it is the config directories.

    Nothing but the files is looked at: overlaps with live networks are for `dockerv6 plan`. Findings go to standard
    output as FILE:LINE:COLUMN: SEVERITY: FIELD: MESSAGE; REMEDY, the summary goes to standard error. Exit code 1 when
    there is an error.
    """
    from dockerv6.cli.printers.validation import Verdict, as_mapping, summary  # noqa: PLC0415 - loads the models
    from dockerv6.source.load import load_paths  # noqa: PLC0415 - as above

    verdict = Verdict(load_paths(paths or config_dirs, sys.stdin.buffer), strict=strict)
    if output == "json":
        from dockerv6.cli.printers.machine import text  # noqa: PLC0415 - only for -o json

        click.echo(text(as_mapping(verdict), "json"))
    else:
        from dockerv6.cli.printers.diagnostics import line  # noqa: PLC0415 - loads the models

        for diagnostic in verdict.diagnostics:
            click.echo(line(diagnostic))
        click.echo(summary(verdict), err=True)
    ctx.exit(0 if verdict.valid else 1)
