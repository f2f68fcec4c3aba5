"""``dockerv6 import``: write resources for networks that exist."""

import os
import sys
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockerv6.cli.options import ExampleCommand, setting_option
from dockerv6.daemon.settings import Settings

if TYPE_CHECKING:
    from dockerv6.daemon.importing import ImportResult
    from dockerv6.planning.importing.model import Import

_MODE = 0o644


@click.command(
    "import",
    cls=ExampleCommand,
    short_help="Write resources for Docker networks and Compose files.",
    examples=(
        "dockerv6 import",
        "dockerv6 import blog_default --output-dir /etc/dockerv6.d",
        "dockerv6 import --project blog --manage",
        "docker compose config | dockerv6 import -f -",
    ),
)
@click.argument("names", metavar="[NETWORK]...", nargs=-1)
@click.option(
    "-f",
    "--file",
    "files",
    metavar="FILE",
    multiple=True,
    type=click.Path(allow_dash=True),
    help="Import the networks of this Compose file instead, without an engine. Repeatable, for several projects.",
)
@click.option(
    "--project",
    metavar="NAME",
    default="",
    help="Only the networks of this Compose project; with --file, the name of its project.",
)
@click.option(
    "--manage/--observe",
    "manage",
    default=False,
    help="--observe: the networks stay unchanged, and dockerv6 adds rules for them. --manage: dockerv6 creates them "
    "again; prints which containers that disconnects.  [default: --observe]",
)
@click.option(
    "-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="Output format."
)
@click.option(
    "--output-dir",
    metavar="DIRECTORY",
    type=click.Path(file_okay=False),
    help="Write one file for each resource into this directory. No file is overwritten.",
)
@setting_option("docker_host")
@setting_option("config_dirs")
@setting_option("trusted_uids")
@setting_option("instance")
def command(
    *,
    names: tuple[str, ...],
    files: tuple[str, ...],
    project: str,
    manage: bool,
    output: str,
    output_dir: str | None,
    docker_host: str,
    config_dirs: tuple[str, ...],
    trusted_uids: tuple[int, ...],
    instance: str,
) -> None:
    """Print resources for the Docker networks of this host, for all or for those given by name or id.

    Nothing on the host is changed. By default, the resources observe the networks: applying them creates, changes and
    removes no Docker network. With --manage, dockerv6 creates each network again after you have removed the present
    one. On a host with docker-ipv6nat, one IPv6Policy replaces it. Comments above each resource, and standard error,
    list settings that are not carried over. Networks that dockerv6 already manages or observes are left out.

    For a Compose project, use the output of `docker compose config`. A plain Compose file is refused if only Compose
    can resolve it (variables, extends, include). See docs/import.md.
    """
    from dockerv6.cli.printers.imported import import_text, summary  # noqa: PLC0415 - loads the planning floor

    if files and names:
        raise click.UsageError("name either networks of the engine or Compose files, not both")
    settings = Settings(docker_host=docker_host, config_dirs=config_dirs, trusted_uids=trusted_uids, instance=instance)
    result = _imported(settings, names, files, project, manage=manage)
    if output_dir is not None:
        for path in _write(result.found, Path(output_dir), output):
            click.echo(path)
    elif result.found.resources or output == "json" or result.found.networks:
        click.echo(import_text(result.found, output))
    for line in (*summary(result.found, examples=output_dir is not None or output == "json"), *result.remarks):
        click.echo(line, err=True)


def _imported(
    settings: Settings, names: tuple[str, ...], files: tuple[str, ...], project: str, *, manage: bool
) -> "ImportResult":
    from dockerv6.api.network import ManagementPolicy  # noqa: PLC0415 - loads the models
    from dockerv6.cli.printers.diagnostics import diagnostic_line  # noqa: PLC0415 - as above
    from dockerv6.daemon import importing  # noqa: PLC0415 - loads the daemon

    policy = ManagementPolicy.MANAGE if manage else ManagementPolicy.OBSERVE
    if "-" in files and sys.stdin is None:
        raise click.UsageError("standard input is closed: redirect a file to it, or name the file")
    try:
        if files:
            stdin = sys.stdin.buffer if sys.stdin is not None else BytesIO()
            return importing.import_files(settings, files, stdin, project, policy)
        return importing.import_host(settings, names, project, policy)
    except importing.NotFoundError as error:
        raise click.ClickException(str(error)) from error
    except importing.ComposeFileError as error:
        for diagnostic in error.diagnostics:
            click.echo(diagnostic_line(diagnostic), err=True)
        raise click.ClickException(
            "nothing was imported. Compose may understand what dockerv6 does not: `docker compose config | dockerv6 "
            "import -f -`"
        ) from error


def _write(found: "Import", directory: Path, form: str) -> list[str]:
    """Write a file for each resource; give their paths. No file is overwritten, and none is seen half-written.

    Raises:
        ClickException: a file exists. Nothing was written.
        OSError: a file can't be written.
    """
    from dockerv6.cli.printers.imported import resource_texts  # noqa: PLC0415 - loads the planning floor
    from dockerv6.cli.printers.outputs import encode  # noqa: PLC0415 - as above

    suffix = "json" if form == "json" else "yaml"
    texts = resource_texts(found) if form == "yaml" else [encode(each.document, "json") for each in found.resources]
    paths = [directory / f"{each.name}.{suffix}" for each in found.resources]
    existing = [path for path in paths if os.path.lexists(path)]
    if existing:
        raise _exists(*existing)
    directory.mkdir(parents=True, exist_ok=True)
    for path, text in zip(paths, texts, strict=True):
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            unfinished.write_text(f"{text}\n", encoding="utf-8")
            unfinished.chmod(_MODE)
            os.link(unfinished, path)  # fails where a file appeared meanwhile, unlike a rename
        except FileExistsError as error:
            raise _exists(path) from error
        finally:
            unfinished.unlink(missing_ok=True)
    return list(map(str, paths))


def _exists(*paths: Path) -> click.ClickException:
    return click.ClickException(f"{', '.join(map(str, paths))} exists; remove it, or choose another --output-dir")
