import errno
import os
from pathlib import Path
from stat import S_IFDIR, S_IFLNK, S_IFREG

import pytest

from dockerv6.source.files import (
    MAX_BYTES,
    FileChangedError,
    FileOwnership,
    Signature,
    ancestors,
    is_inside,
    nearest_existing,
    read_file,
    reading_error,
    resolve_path,
)

ROOT_ONLY = FileOwnership(frozenset({0}))


def status(mode: int, uid: int = 0) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, uid, 0, 0, 0, 0, 0))


@pytest.mark.parametrize("mode", [S_IFREG | 0o644, S_IFREG | 0o600, S_IFDIR | 0o755, S_IFLNK | 0o777])
def test_file_that_only_its_owner_can_write_is_accepted(mode: int) -> None:
    assert ROOT_ONLY.violation("/p", status(mode)) is None


@pytest.mark.parametrize("mode", [S_IFREG | 0o664, S_IFREG | 0o646, S_IFDIR | 0o775, S_IFREG | 0o1666])
def test_file_that_others_can_write_is_refused(mode: int) -> None:
    violation = ROOT_ONLY.violation("/p", status(mode))
    assert violation is not None
    assert violation.remedy == "run chmod go-w /p"


def test_file_of_another_user_is_refused() -> None:
    violation = ROOT_ONLY.violation("/p", status(S_IFREG | 0o600, uid=1000))
    assert violation is not None
    assert "1000" in str(violation)
    assert FileOwnership(frozenset({1000})).violation("/p", status(S_IFREG | 0o600, uid=1000)) is None


def test_link_of_another_user_is_refused() -> None:
    assert ROOT_ONLY.violation("/p", status(S_IFLNK | 0o777, uid=1000)) is not None


def test_sticky_directory_is_accepted_only_from_root() -> None:
    assert ROOT_ONLY.violation("/p", status(S_IFDIR | 0o1777)) is None
    assert FileOwnership(frozenset({0, 5})).violation("/p", status(S_IFDIR | 0o1777, uid=5)) is not None


def test_files_of_root_and_this_user_are_accepted_by_default(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert FileOwnership.of_this_process().violation(str(tmp_path), tmp_path.stat()) is None
    assert 0 in FileOwnership.of_this_process().uids


def test_resolving_lists_links_and_their_directories(tmp_path: Path) -> None:
    real = tmp_path.resolve()
    (real / "store" / "v1").mkdir(parents=True)
    (real / "a").mkdir()
    (real / "a" / "current").symlink_to("../b/hop")
    (real / "b").mkdir()
    (real / "b" / "hop").symlink_to(real / "store" / "v1")
    (real / "store" / "v1" / "x.yaml").touch()
    resolved = resolve_path(str(real / "a" / "current" / "x.yaml"))
    assert resolved.target == str(real / "store" / "v1" / "x.yaml")
    assert resolved.links == (str(real / "a" / "current"), str(real / "b" / "hop"))
    assert resolved.directories == {str(real / "a"), str(real / "b")}


def test_parent_of_a_link_is_the_parent_of_its_target(tmp_path: Path) -> None:
    real = tmp_path.resolve()
    (real / "x" / "y").mkdir(parents=True)
    (real / "link").symlink_to("x/y")
    assert resolve_path(f"{real}/link/..").target == str(real / "x")


def test_loop_and_missing_target(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "dead").symlink_to("nowhere")
    with pytest.raises(OSError, match="symbolic links") as caught:
        resolve_path(str(tmp_path / "a"))
    assert caught.value.errno == errno.ELOOP
    with pytest.raises(FileNotFoundError):
        resolve_path(str(tmp_path / "dead"))


def test_ancestors() -> None:
    assert list(ancestors("/a/b")) == ["/a", "/"]
    assert list(ancestors("/")) == []


def test_is_inside() -> None:
    assert is_inside("/a/b", "/a")
    assert is_inside("/a", "/a")
    assert is_inside("/a", "/")
    assert not is_inside("/ab", "/a")


def test_nearest_existing(tmp_path: Path) -> None:
    assert nearest_existing(str(tmp_path / "x" / "y")) == str(tmp_path)
    (tmp_path / "file").touch()
    assert nearest_existing(str(tmp_path / "file")) == str(tmp_path)


def test_reads_the_listed_file(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"abc" * 200_000)
    assert read_file(str(file), Signature.of(file.stat())) == file.read_bytes()


def test_reads_at_most_one_byte_more_than_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    with file.open("wb") as stream:
        stream.truncate(10 * MAX_BYTES)
    assert len(read_file(str(file), Signature.of(file.stat()))) == MAX_BYTES + 1


def test_replaced_file_is_noticed(tmp_path: Path) -> None:
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


def test_pipe_in_place_of_the_file_does_not_block(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.touch()
    listed = Signature.of(file.stat())
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(FileChangedError):
        read_file(str(file), listed)


@pytest.mark.parametrize(
    ("number", "uid", "named"), [(errno.EACCES, 0, True), (errno.EACCES, 1000, False), (errno.EIO, 0, False)]
)
def test_only_what_root_may_not_read_is_explained_by_a_capability(
    monkeypatch: pytest.MonkeyPatch, number: int, uid: int, *, named: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    message = reading_error(OSError(number, os.strerror(number)))
    assert message.startswith(os.strerror(number))
    assert ("CAP_DAC_READ_SEARCH" in message) is named
