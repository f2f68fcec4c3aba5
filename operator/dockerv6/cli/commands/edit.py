"""``dockerv6 edit``: edit the file of a resource, which is only written if it is valid."""

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
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

_SAVING = 2.0
"""Seconds that an editor has to save when it is ended."""

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
    from dockerv6.cli.writing import note_effect, refuse_unread  # noqa: PLC0415 - loads the models
    from dockerv6.source.resource_files import ResourceFiles  # noqa: PLC0415 - as above

    references = parse_references(wanted)
    if len(references) != 1 or references[0].name is None:
        raise click.UsageError("name one resource: KIND NAME or KIND/NAME")
    info, name = references[0].info, references[0].name
    files = ResourceFiles(config_dirs)
    known = files.definition(info.kind, name)
    if known is None:
        raise not_found(info, name)
    settings = Settings(config_dirs=config_dirs, state_dir=state_dir)
    refuse_unread(settings, [known.path])
    if not os.access(known.path.parent, os.W_OK):
        raise click.ClickException(
            f"{known.path.parent} can't be written: try again as root, or change it at its source"
        )
    before = known.path.read_bytes()
    draft = _Draft(known.path, before, before)
    with _kept_on_failure(draft):
        if not _edited(known, draft):
            click.echo("Edit cancelled, no changes made.", err=True)
            return
        files.replace(known, before, draft.content)
    click.echo(f"{full_name(info.kind, name)} edited")
    note_effect(settings)


@dataclass(slots=True)
class _Draft:
    """What the user has written so far."""

    path: Path  # of the resource file
    before: bytes
    content: bytes


class _Terminated(click.ClickException):
    """A signal that ends the program."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}: nothing was changed")


@contextmanager
def _kept_on_failure(draft: _Draft) -> Iterator[None]:
    """Save what was written if anything ends the block, a signal included, and name the copy.

    Raises:
        click.ClickException: the failure, if there is a copy.
    """

    def terminate(number: int, _: object) -> None:
        raise _Terminated(number)

    try:
        with _handling({signal.SIGHUP: terminate, signal.SIGTERM: terminate}):
            yield
    except BaseException as error:
        if draft.content == draft.before or not draft.content.strip():
            raise
        kept, cause = _keep(draft.path, draft.content), _cause(error)
        if cause is None:
            click.echo(f"what you wrote is in {kept}", err=True)
            raise
        raise click.ClickException(f"{cause}; what you wrote is in {kept}") from error


def _cause(error: BaseException) -> str | None:
    """The message for users; None: it is no expected error."""
    from dockerv6.cli.main import as_click_error  # noqa: PLC0415 - it loads the commands

    if isinstance(error, KeyboardInterrupt):
        return "interrupted: nothing was changed"
    if isinstance(error, Exception) and not isinstance(error, click.ClickException):
        error = as_click_error(error) or error
    return error.message if isinstance(error, click.ClickException) else None


@contextmanager
def _handling(handlers: Mapping[signal.Signals, Callable[[int, object], None]]) -> Iterator[None]:
    """Handle signals that are not ignored, as nohup(1) ignores SIGHUP, until the block ends."""
    before = {number: signal.getsignal(number) for number in handlers}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, handlers[number])
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _edited(known: "Definition", draft: _Draft) -> bool:
    """Have the draft edited until it is valid. False: nothing is to be changed."""
    introduction = [
        f"{known.position.file}; these lines are removed. An empty file cancels, an invalid one is opened again.",
    ]
    rejected = None
    with tempfile.TemporaryDirectory(prefix="dockerv6-edit-") as directory:
        file = Path(directory, known.path.name)
        for _ in range(_ATTEMPTS):
            file.write_bytes(_marked(introduction) + draft.content)
            try:
                _run_editor(file)
            finally:  # an editor that fails may have saved before
                with suppress(FileNotFoundError):
                    draft.content = _without_marks(file.read_bytes())
            if not draft.content.strip() or draft.content == draft.before:
                return False
            if draft.content == rejected:
                raise click.ClickException("it is still invalid: nothing was changed")
            errors = _errors(known, draft.content)
            if not errors:
                return True
            rejected = draft.content
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

    def leave_to_editor(*_: object) -> None:
        """Do nothing. Not SIG_IGN: the editor would inherit that, while exec(2) sets handlers back to the default."""

    try:
        with _handling({signal.SIGINT: leave_to_editor, signal.SIGQUIT: leave_to_editor}):
            code = _exit_code([*shlex.split(command), str(file)])
    except (OSError, ValueError) as error:
        raise click.ClickException(
            f"the editor {command!r} can't be started ({error}); set {EDITORS[0]} to another one"
        ) from error
    if code:
        raise click.ClickException(f"the editor {command!r} failed with exit code {code}: nothing was changed")


def _exit_code(arguments: list[str]) -> int:
    """Run the editor. A signal that ends this program ends the editor as well, which may save before.

    Raises:
        _Terminated: there was a signal.
    """
    received: list[int] = []
    waiting = False

    def end(number: int, _: object) -> None:
        received.append(number)
        if waiting and len(received) == 1:
            raise _Terminated(number)  # not while the editor is started: nobody could end it

    with _handling({signal.SIGHUP: end, signal.SIGTERM: end}), subprocess.Popen(arguments) as editor:
        with suppress(_Terminated):
            waiting = True
            if not received:
                editor.wait()
        waiting = False
        if received:
            editor.send_signal(received[0])
            try:
                editor.wait(_SAVING)
            except subprocess.TimeoutExpired:
                editor.kill()
    if received:
        raise _Terminated(received[0])
    return editor.returncode


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
