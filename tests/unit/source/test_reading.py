import os
from pathlib import Path

import pytest

from dockerv6.source.directory import Signature
from dockerv6.source.limits import MAX_BYTES
from dockerv6.source.reading import FileChangedError, read_file


def test_reads_what_was_listed(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"abc" * 200_000)
    assert read_file(str(file), Signature.of(file.stat())) == file.read_bytes()


def test_never_reads_much_more_than_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    with file.open("wb") as stream:
        stream.truncate(10 * MAX_BYTES)
    assert len(read_file(str(file), Signature.of(file.stat()))) == MAX_BYTES + 1


def test_another_file_in_its_place_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a")
    listed = Signature.of(file.stat())
    (tmp_path / "new").write_text("b")
    (tmp_path / "new").rename(file)
    with pytest.raises(FileChangedError):
        read_file(str(file), listed)


def test_change_of_mode_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a")
    listed = Signature.of(file.stat())
    os.utime(file, ns=(1, 1))
    with pytest.raises(FileChangedError):
        read_file(str(file), listed)


def test_change_while_reading_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a")
    really_read = os.read

    def read(descriptor: int, size: int) -> bytes:
        with file.open("a") as stream:
            stream.write("more")
        monkeypatch.setattr(os, "read", really_read)
        return really_read(descriptor, size)

    listed = Signature.of(file.stat())
    monkeypatch.setattr(os, "read", read)
    with pytest.raises(FileChangedError):
        read_file(str(file), listed)


def test_pipe_in_its_place_does_not_block(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.touch()
    listed = Signature.of(file.stat())
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(FileChangedError):
        read_file(str(file), listed)
