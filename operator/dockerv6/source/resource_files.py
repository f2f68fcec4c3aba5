"""Changes of resource files on request: a resource is written to a file of its own, or its file is removed.

Files belong to people, so nothing of theirs is lost without their consent. A file is only replaced or removed if it has
one resource and nothing else; if it has comments, and was not written by `ResourceFiles.write` and left as it was, only
by force. What a program keeps up (a Git repository, the links of git-sync or of a config map) is changed where it comes
from.

A `ResourceFiles` blocks. It is for commands; the daemon never writes a resource file.
"""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from dockerv6.api.kinds import kind_info
from dockerv6.api.scheme import to_document
from dockerv6.lib.tasks import CancellationToken
from dockerv6.source.documents import load_text
from dockerv6.source.files import nearest_existing, resolve_path
from dockerv6.source.load import load_paths
from dockerv6.source.model import Diagnostic, Position, Severity, Snapshot
from dockerv6.source.yaml import Work, parse
from dockerv6.source.yaml_text import UnreadableText, decode_text, json_to_yaml

_MODE = 0o644
_HEADER = "# Written by dockerv6 "
_DIGEST_LENGTH = 16
_JSON = ".json"

_ETCKEEPER = "/etc"
"""A repository that records what others change, and changes nothing itself."""


class EditRefusedError(Exception):
    """A resource file is not changed; the message has the reason and what to do instead."""


@dataclass(frozen=True, slots=True)
class Definition:
    """Where a resource is defined."""

    kind: str
    name: str
    position: Position
    alone: bool  # the file has nothing else
    commented: bool  # a person's comments would be lost with the file

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.position.file)


class ResourceFiles:
    """The files below the configured directories."""

    def __init__(self, roots: Sequence[str]) -> None:
        """Read all files below the roots."""
        self._roots = roots
        self.snapshot: Snapshot = load_paths(roots, BytesIO())

    def positions(self, kind: str, name: str) -> tuple[Position, ...]:
        """Where a resource is defined, valid or not. The first one counts."""
        valid = ((e.resource.kind, e.resource.metadata.name, e.position) for e in self.snapshot.resources)
        found = (*valid, *((e.kind, e.name, e.position) for e in self.snapshot.invalid))
        return tuple(position for *key, position in found if key == [kind, name])

    def position(self, kind: str, name: str) -> Position | None:
        """Where a resource is defined first, valid or not; None: nowhere."""
        return next(iter(self.positions(kind, name)), None)

    def definition(self, kind: str, name: str) -> Definition | None:
        """Where a resource is defined, and what else is in its file; None: nowhere.

        Raises:
            EditRefusedError: it is in a file that others keep up.
            OSError: the file can't be read.
        """
        position = self.position(kind, name)
        if position is None:
            return None
        self._check_source(position.file, f"{kind_info(kind).singular}/{name} is defined at {position}")
        content = Path(position.file).read_bytes()
        commented = not position.file.endswith(_JSON) and _has_comments(content)
        return Definition(kind, name, position, _has_one_resource(position.file, content), commented)

    def path_of(self, kind: str, name: str) -> Path:
        """The file that a new resource is written to: in the first directory, named after the resource."""
        return Path(self._roots[0], f"{kind_info(kind).singular}-{name}.yaml")

    def write(self, kind: str, name: str, text: str, *, force: bool = False, dry_run: bool = False) -> Path:
        """Write a resource to its file, or to a new one, in one step. Returns the file.

        Args:
            kind: of the resource.
            name: of the resource.
            text: its YAML.
            force: whether comments of a person may be lost.
            dry_run: check only.

        Raises:
            EditRefusedError: it is not possible without damage.
            OSError: it can't be written.
        """
        known = self.definition(kind, name)
        if known is not None:
            _check_alone(known)
            if known.commented and not force:
                raise EditRefusedError(
                    f"{known.position.file} has comments, which would be lost: change it with `dockerv6 edit"
                    f" {kind_info(kind).singular}/{name}`, or replace it with --force"
                )
            if not dry_run:
                replace_file(known.path, _as_json(text) if known.position.file.endswith(_JSON) else _with_header(text))
            return known.path
        path = self.path_of(kind, name)
        if Path(self._roots[0]).is_file():
            raise EditRefusedError(f"{self._roots[0]} is a file: name a directory as first --config-dir")
        self._check_source(str(path), f"{path} would be the file of {kind_info(kind).singular}/{name}")
        if path.exists() or path.is_symlink():
            raise EditRefusedError(f"{path} exists and does not define {name}: rename or remove it")
        if not dry_run:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            create_file(path, _with_header(text))
        return path

    def remove(self, kind: str, name: str, *, force: bool = False, dry_run: bool = False) -> Path | None:
        """Remove the file of a resource, which the daemon then deletes. Returns the file; None: there is none.

        Raises:
            EditRefusedError: something else would be lost.
            OSError: it can't be removed.
        """
        known = self.definition(kind, name)
        if known is None:
            return None
        others = [each for each in self.positions(kind, name) if each.file != known.position.file]
        if others:
            raise EditRefusedError(
                f"{kind_info(kind).singular}/{name} is defined at {known.position} and at"
                f" {', '.join(map(str, others))}, so it would not be deleted: remove it from all files but one"
            )
        _check_alone(known)
        if known.commented and not force:
            raise EditRefusedError(
                f"{known.position.file} has comments, which would be lost: copy the file, then repeat with --force"
            )
        if not dry_run:
            known.path.unlink()
            _sync_directory(known.path.parent)
        return known.path

    def replace(self, known: Definition, before: bytes, after: bytes) -> None:
        """Replace the whole content of a resource's file, as a person edited it.

        Raises:
            EditRefusedError: it was changed meanwhile.
            OSError: it can't be written.
        """
        if known.path.read_bytes() != before:
            raise EditRefusedError(f"{known.position.file} was changed meanwhile")
        replace_file(known.path, after)

    def _check_source(self, file: str, what: str) -> None:
        """Refuse a file that another program keeps up."""
        paths = (Path(file), *Path(file).parents)
        roots = [Path(root) for root in self._roots if Path(root) in paths]
        link = next((p for p in paths if p.is_symlink() and any(root in (p, *p.parents) for root in roots)), None)
        if link is not None:
            raise EditRefusedError(
                f"{what}, behind the link {link}, which another program keeps up (git-sync, a config map): change the"
                " resource where that program takes it from"
            )
        repository = git_repository(file)
        if repository is not None:
            raise EditRefusedError(
                f"{what}, in the Git repository {repository}: change it there, and commit the change"
            )


def git_repository(file: str) -> Path | None:
    """The Git work tree that a file is in, or would be in; None: in none, or in that of etckeeper."""
    existing = nearest_existing(str(Path(file).parent))
    try:
        target = Path(resolve_path(existing).target)
    except OSError:
        target = Path(existing)
    found = next((path for path in (target, *target.parents) if (path / ".git").exists()), None)
    return None if found is None or str(found) == _ETCKEEPER else found


def validate_text(file: str, content: bytes) -> tuple[Diagnostic, ...]:
    """The errors of a file's content."""
    found = load_text(file, content)
    if not found.resources and not found.diagnostics:
        return (Diagnostic(Position(file), Severity.ERROR, (), "the file has no resource"),)
    return tuple(each for each in found.diagnostics if each.severity is Severity.ERROR)


def _check_alone(known: Definition) -> None:
    if not known.alone:
        name = f"{kind_info(known.kind).singular}/{known.name}"
        raise EditRefusedError(
            f"{name} is defined at {known.position}, in a file with other content: change that file, for instance with"
            f" `dockerv6 edit {name}`"
        )


def has_one_document(file: str, content: bytes) -> bool:
    """Whether a file is one YAML document that is not a list of resources."""
    try:
        text = decode_text(file, content)
        text = json_to_yaml(text) if file.endswith(_JSON) else text
        documents = [each.value for each in parse(file, text, Work(CancellationToken())) if not each.empty]
    except UnreadableText:
        return False
    return len(documents) == 1 and not (isinstance(documents[0], dict) and "items" in documents[0])


def _has_one_resource(file: str, content: bytes) -> bool:
    found = load_text(file, content)
    return len(found.resources) + len(found.invalid) == 1 and has_one_document(file, content)


def _has_comments(content: bytes) -> bool:
    """Whether there is text that a person wrote for people. What `write` wrote and nobody changed has none."""
    header, _, body = content.partition(b"\n")
    if header.startswith(_HEADER.encode()):
        if header.split()[-1].strip(b"()") == _digest(body):
            return False
        content = body
    return b"#" in content


def _as_json(text: str) -> bytes:
    """The resource as JSON, which has no comments, so neither our header."""
    (sourced,) = load_text("", text).resources
    return json.dumps(to_document(sourced.resource), indent=2, ensure_ascii=False).encode() + b"\n"


def _with_header(text: str) -> bytes:
    """The text below our header, instead of one that it has because it is a copy of such a file."""
    while text.startswith(_HEADER):
        text = text.partition("\n")[2]
    body = text.encode()
    return f"{_HEADER}apply -f, which replaces it unless somebody edits it ({_digest(body).decode()})\n".encode() + body


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:_DIGEST_LENGTH].encode()


def create_file(path: Path, content: bytes) -> None:
    """Create a file that appears with its whole content.

    Raises:
        OSError: it exists, or can't be written.
    """
    _write(path, content, None)


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file in one step. Owner, mode and extended attributes stay.

    Raises:
        OSError: it can't be written, or its owner can't be kept.
    """
    _write(path, content, path.stat())


def _write(path: Path, content: bytes, before: os.stat_result | None) -> None:
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            with open(descriptor, "wb", closefd=True) as file:  # noqa: PTH123 - it is open already
                file.write(content)
                os.fchmod(file.fileno(), _MODE if before is None else before.st_mode & 0o7777)
                if before is not None and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                if before is not None:
                    _copy_attributes(path, temporary)
                file.flush()
                os.fsync(file.fileno())
            if before is None:
                Path(path).hardlink_to(temporary)  # unlike a rename, it fails if the file exists
            else:
                Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        if error.errno == errno.EROFS:
            raise EditRefusedError(f"{path.parent} is read-only: change the file where it comes from") from error
        raise
    _sync_directory(path.parent)


def _copy_attributes(source: Path, target: str) -> None:
    """Copy the extended attributes, such as SELinux's label and access lists, as far as the kernel permits it."""
    with suppress(OSError):  # the file system has none
        for name in os.listxattr(source):
            with suppress(OSError):
                os.setxattr(target, name, os.getxattr(source, name))


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
