import errno
import io
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from dockerv6.lib.tasks import CancellationToken
from dockerv6.source import load as load_module
from dockerv6.source.documents import FileContents, load_text
from dockerv6.source.files import Signature, read_file
from dockerv6.source.load import Loader, load_paths
from tests.unit.source.trees import NOW, names, network, write


def disturb(monkeypatch: pytest.MonkeyPatch, disturbance: Callable[[], None], times: int) -> None:
    """Call a function right before a file is read, a number of times."""
    left = [times]

    def disturbed(path: str, listed: Signature) -> bytes:
        if left[0]:
            left[0] -= 1
            disturbance()
        return read_file(path, listed)

    monkeypatch.setattr(load_module, "read_file", disturbed)


def test_file_that_vanishes_while_it_is_read(loader: Loader, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root / "x.yaml", network("x"))
    write(root / "y.yaml", network("y"))
    disturb(monkeypatch, (root / "x.yaml").unlink, times=1)
    snapshot = loader.load()
    assert (names(snapshot), snapshot.complete, snapshot.diagnostics) == (["y"], True, ())


def test_resource_that_moves_while_it_is_read_is_never_missed(
    loader: Loader, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root / "a.yaml", network("a"))
    write(root / "z.yaml", network("moving"))

    def move() -> None:
        (root / "z.yaml").rename(root / "0.yaml")

    disturb(monkeypatch, move, times=1)
    snapshot = loader.load()
    assert names(snapshot) == ["moving", "a"]
    assert snapshot.complete


def test_directory_that_keeps_changing_is_incomplete(
    loader: Loader, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = itertools.count()

    def add() -> None:
        write(root / f"{next(numbers)}.yaml", network("x"))

    add()
    disturb(monkeypatch, add, times=100)
    snapshot = loader.load()
    assert not snapshot.roots[0].listed
    assert "kept changing" in snapshot.roots[0].problem


def test_file_that_cannot_be_read_is_broken(loader: Loader, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root / "x.yaml", network("x"))

    def fail() -> None:
        raise OSError(errno.EIO, "Input/output error")

    disturb(monkeypatch, fail, times=10)
    snapshot = loader.load()
    assert snapshot.broken_files == (str(root / "x.yaml"),)
    assert "Input/output error" in snapshot.diagnostics[0].message


def test_a_bug_harms_only_the_file_that_reveals_it(
    loader: Loader, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, reads: list[str]
) -> None:
    def buggy(file: str, content: bytes, token: CancellationToken | None = None) -> FileContents:
        if b"bug" in content:
            raise TypeError("unhashable type: 'dict'")
        return load_text(file, content, token)

    monkeypatch.setattr(load_module, "load_text", buggy)
    write(root / "x.yaml", network("bug"))
    write(root / "y.yaml", network("y"))
    snapshot = loader.load()
    assert (names(snapshot), snapshot.broken_files) == (["y"], (str(root / "x.yaml"),))
    assert "internal error: TypeError: unhashable type: 'dict'" in snapshot.diagnostics[0].message
    assert snapshot.diagnostics[0].remedy
    assert caplog.text.count("Traceback") == 1
    assert loader.load() == snapshot
    assert caplog.text.count("Traceback") == len(reads) - 1 == 1
    write(root / "x.yaml", network("x"), at=NOW - 30)
    assert names(loader.load()) == ["x", "y"]
    of_validate = load_paths(["-"], io.BytesIO(b"bug"))
    assert "internal error" in of_validate.diagnostics[0].message


def test_a_file_for_which_memory_was_missing_is_read_again(
    loader: Loader, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root / "x.yaml", network("x"))
    write(root / "y.yaml", network("y"))

    def fail() -> None:
        raise MemoryError

    disturb(monkeypatch, fail, times=1)
    snapshot = loader.load()
    assert (names(snapshot), snapshot.broken_files) == (["y"], (str(root / "x.yaml"),))
    assert "memory" in snapshot.diagnostics[0].message
    assert names(loader.load()) == ["x", "y"]
