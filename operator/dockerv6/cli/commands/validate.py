"""``dockerv6 validate``: what is wrong in files, without a daemon or an engine."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockerv6.cli import options
from dockerv6.cli.verb import Verb

if TYPE_CHECKING:
    from dockerv6.source.model import Diagnostic, Snapshot

STDIN = "-"
STDIN_NAME = "<stdin>"


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
def command(*, paths: tuple[str, ...], output: str, strict: bool, config_dirs: tuple[str, ...]) -> None:
    """Check files and directories of resources; "-" is standard input, and without PATH it is the config directories.

    Nothing but the files is looked at: overlaps with live networks are for `dockerv6 plan`. Findings go to standard
    output as FILE:LINE:COLUMN: SEVERITY: FIELD: MESSAGE; REMEDY, the summary goes to standard error. Exit code 1 when
    there is an error.
    """
    from dockerv6.cli.printers.validation import Verdict, as_mapping, summary  # noqa: PLC0415 - loads the models

    verdict = Verdict(_read(paths or tuple(config_dirs)), strict=strict)
    if output == "json":
        from dockerv6.cli.printers.machine import text  # noqa: PLC0415 - only for -o json

        click.echo(text(as_mapping(verdict), "json"))
    else:
        from dockerv6.cli.printers.diagnostics import line  # noqa: PLC0415 - loads the models

        for diagnostic in verdict.diagnostics:
            click.echo(line(diagnostic))
        click.echo(summary(verdict), err=True)
    sys.exit(0 if verdict.valid else 1)


def _read(paths: Sequence[str]) -> "Snapshot":
    from dockerv6.source.load import load_paths  # noqa: PLC0415 - loads the models, which --help need not

    if STDIN not in paths:
        return load_paths(paths)
    with _kept(sys.stdin.buffer.read()) as file:
        found = load_paths([file if path == STDIN else path for path in paths])
    return replace(
        found,
        roots=tuple(replace(root, path=_renamed(root.path, file)) for root in found.roots),
        diagnostics=tuple(_moved(diagnostic, file) for diagnostic in found.diagnostics),
        resources=tuple(
            replace(r, position=replace(r.position, file=_renamed(r.position.file, file))) for r in found.resources
        ),
    )


@contextmanager
def _kept(content: bytes) -> Iterator[str]:
    """Standard input as a file, for a loader that reads files."""
    from tempfile import TemporaryDirectory  # noqa: PLC0415 - only for standard input

    with TemporaryDirectory(prefix="dockerv6-") as directory:
        file = Path(directory, "stdin.yaml")
        file.write_bytes(content)
        file.chmod(0o600)
        yield str(file)


def _moved(diagnostic: "Diagnostic", file: str) -> "Diagnostic":
    """The finding as one about standard input, where it is; other findings may name it, too."""
    return replace(
        diagnostic,
        position=replace(diagnostic.position, file=_renamed(diagnostic.position.file, file)),
        message=diagnostic.message.replace(file, STDIN_NAME),
        remedy=diagnostic.remedy.replace(file, STDIN_NAME),
    )


def _renamed(path: str, file: str) -> str:
    return STDIN_NAME if path == file else path
