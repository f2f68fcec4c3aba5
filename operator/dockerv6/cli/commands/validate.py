"""``dockerv6 validate``: check resource files without a daemon or an engine."""

import sys
from io import BytesIO

import click

from dockerv6.cli.options import ExampleCommand, setting_option
from dockerv6.cli.printers.outputs import encode


@click.command(
    "validate",
    cls=ExampleCommand,
    short_help="Check resource files offline.",
    examples=(
        "dockerv6 validate manifests/ --strict",
        "dockerv6 validate --as-daemon",
        "cat blog.yaml | dockerv6 validate -",
        "dockerv6 validate -o json",
        "dockerv6 validate -o github networks/",
        "dockerv6 validate -o gitlab networks/ > gl-code-quality-report.json",
    ),
)
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(allow_dash=True))
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "github", "gitlab", "sarif"]),
    default="text",
    show_default=True,
    help="Output format. github, gitlab and sarif are for continuous integration.",
)
@click.option("--strict", is_flag=True, help="Fail on warnings too.")
@click.option(
    "--as-daemon",
    is_flag=True,
    help="Also refuse files that the daemon, run by root, refuses because of their owner or mode.",
)
@setting_option("config_dirs")
@setting_option("trusted_uids")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    paths: tuple[str, ...],
    output: str,
    strict: bool,
    as_daemon: bool,
    config_dirs: tuple[str, ...],
    trusted_uids: tuple[int, ...],
) -> None:
    """Check resource files and directories. "-" is standard input; the default is the configuration directories.

    Only the files are checked, not their owners, unless --as-daemon is given; `dockerv6 plan` also checks against the
    networks of the host. Diagnostics go to standard output as FILE:LINE:COLUMN: SEVERITY: FIELD: MESSAGE; REMEDY, and a
    summary goes to standard error. The exit code is 1 if there are errors.
    """
    from dockerv6.cli.printers.annotations import FORMATS  # noqa: PLC0415 - loads the models
    from dockerv6.cli.printers.diagnostics import ValidationReport, diagnostic_line  # noqa: PLC0415 - loads the models
    from dockerv6.source.files import FileOwnership  # noqa: PLC0415 - as above
    from dockerv6.source.load import load_paths  # noqa: PLC0415 - as above

    if "-" in paths and sys.stdin is None:
        raise click.UsageError("standard input is closed: redirect a file to it, or name the file")
    stdin = sys.stdin.buffer if sys.stdin is not None else BytesIO()
    ownership = FileOwnership.of_root(trusted_uids) if as_daemon else None
    report = ValidationReport(load_paths(paths or config_dirs, stdin, ownership), strict=strict)
    if output == "json":
        click.echo(encode(report.mapping(), "json"))
    elif output in FORMATS:
        click.echo(FORMATS[output](report.snapshot.diagnostics), nl=False)
        click.echo(report.summary(), err=True)
    else:
        for diagnostic in report.snapshot.diagnostics:
            click.echo(diagnostic_line(diagnostic))
        click.echo(report.summary(), err=True)
    ctx.exit(0 if report.valid else 1)
