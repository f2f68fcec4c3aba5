"""``dockerv6 edit``: edit the file of a resource, which is only written if it is valid."""

import os
import shlex
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockerv6.cli.namespaces import without_namespaces
from dockerv6.cli.options import ExampleCommand, setting_option
from dockerv6.cli.selection import complete, full_name, not_found, parse_references
from dockerv6.daemon.settings import Settings

if TYPE_CHECKING:
    from dockerv6.source.model import Diagnostic
    from dockerv6.source.resource_files import Definition

EDITORS = ("KUBE_EDITOR", "VISUAL", "EDITOR")
"""Variables with the command of the editor, in the order of precedence. kubectl has the first and the last."""

DEFAULT_EDITOR = "vi"

_MARK = "#| dockerv6: "
"""Starts the lines that are added on top, and removed again."""

_ATTEMPTS = 100
"""How often an invalid file is opened again: an editor that is no terminal's could go on for ever."""


@click.command(
    "edit",
    cls=ExampleCommand,
    short_help="Edit the file of a resource.",
    examples=("dockerv6 edit v6net blog", "KUBE_EDITOR='code --wait' dockerv6 edit ipv6network/blog"),
)
@click.argument("wanted", metavar="KIND NAME", nargs=-1, required=True, shell_complete=complete)
@setting_option("config_dirs")
@setting_option("state_dir")
@without_namespaces
def command(*, wanted: tuple[str, ...], config_dirs: tuple[str, ...], state_dir: str) -> None:
    """Open the file of a resource in an editor, and write it if it is valid; otherwise the editor is opened again.

    The editor is $KUBE_EDITOR, $VISUAL, $EDITOR or vi. Nothing is changed if the file is saved unchanged or empty.
    Other resources and comments in the file stay. A file in a Git repository or behind a link of git-sync is refused.
    """
    from dockerv6.cli.writing import note_effect  # noqa: PLC0415 - loads the models
    from dockerv6.source.resource_files import EditRefusedError, ResourceFiles  # noqa: PLC0415 - as above

    references = parse_references(wanted)
    if len(references) != 1 or references[0].name is None:
        raise click.UsageError("name one resource: KIND NAME or KIND/NAME")
    info, name = references[0].info, references[0].name
    files = ResourceFiles(config_dirs)
    known = files.definition(info.kind, name)
    if known is None:
        raise not_found(info, name)
    before = known.path.read_bytes()
    if not os.access(known.path.parent, os.W_OK):
        raise click.ClickException(
            f"{known.path.parent} can't be written: try again as root, or change it at its source"
        )
    after = _edited(known, before)
    if after is None:
        click.echo("Edit cancelled, no changes made.", err=True)
        return
    try:
        files.replace(known, before, after)
    except (EditRefusedError, OSError) as error:
        kept = _keep(known.path, after)
        raise click.ClickException(f"{error}; what you wrote is in {kept}") from error
    click.echo(f"{full_name(info.kind, name)} edited")
    note_effect(Settings(config_dirs=config_dirs, state_dir=state_dir))


def _edited(known: "Definition", before: bytes) -> bytes | None:
    """The content as edited and valid; None when nothing is to be changed."""
    introduction = [
        f"{known.position.file}; these lines are removed. An empty file cancels, an invalid one is opened again.",
    ]
    content, rejected = before, None
    with tempfile.TemporaryDirectory(prefix="dockerv6-edit-") as directory:
        file = Path(directory, known.path.name)
        for _ in range(_ATTEMPTS):
            file.write_bytes(_marked(introduction) + content)
            _run_editor(file)
            content = _without_marks(file.read_bytes())
            if not content.strip() or content == before:
                return None
            if content == rejected:
                kept = _keep(known.path, content)
                raise click.ClickException(f"it is still invalid: nothing was changed; what you wrote is in {kept}")
            errors = _errors(known, content)
            if not errors:
                return content
            rejected = content
            introduction = ["Invalid; correct it, or empty the file to cancel:", *errors]
    raise click.ClickException("the editor returned invalid content again and again: nothing was changed")


def _errors(known: "Definition", content: bytes) -> list[str]:
    """What is wrong with the content. Lines count from the first one in the editor."""
    from dockerv6.source.documents import load_text  # noqa: PLC0415 - loads the models
    from dockerv6.source.resource_files import validate_text  # noqa: PLC0415 - as above

    problems: tuple[Diagnostic, ...] = validate_text(known.position.file, content)
    if problems:
        added = 1 + len(problems)
        moved = [replace(each.position, line=each.position.line + added) for each in problems]
        return [str(replace(each, position=where)) for each, where in zip(problems, moved, strict=True)]
    names = [(str(each.resource.kind), each.resource.metadata.name) for each in load_text("", content).resources]
    if (known.kind, known.name) in names:
        return []
    return [f"{known.kind} {known.name} is missing; `dockerv6 delete` deletes it, and `apply -f` makes another one"]


def _run_editor(file: Path) -> None:
    """Raises `click.ClickException`."""
    command = next((os.environ[name] for name in EDITORS if os.environ.get(name, "").strip()), DEFAULT_EDITOR)
    try:
        arguments = [*shlex.split(command), str(file)]
        code = subprocess.run(arguments, check=False).returncode
    except (OSError, ValueError) as error:
        raise click.ClickException(
            f"the editor {command!r} can't be started ({error}); set {EDITORS[0]} to another one"
        ) from error
    if code:
        raise click.ClickException(f"the editor {command!r} failed with exit code {code}: nothing was changed")


def _marked(lines: list[str]) -> bytes:
    return "".join(f"{_MARK}{line}\n" for line in lines).encode()


def _without_marks(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    while lines and lines[0].startswith(_MARK.strip().encode()):
        del lines[0]
    return b"".join(lines)


def _keep(path: Path, content: bytes) -> Path:
    """Save what would be lost, in a file that the daemon does not read."""
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".rejected")
    with open(descriptor, "wb") as file:  # noqa: PTH123 - it is open already
        file.write(content)
    return Path(name)
