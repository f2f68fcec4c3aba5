import io
import os
import shutil
from pathlib import Path

import pytest

from dockerv6.source.files import FileOwnership
from dockerv6.source.load import Loader, load_paths
from tests.fakes.clock import FakeClock
from tests.unit.source.trees import NOW, names, network, write


def test_empty_directory_is_complete(loader: Loader, root: Path) -> None:
    snapshot = loader.load()
    assert snapshot.complete
    assert snapshot.roots[0].path == str(root)
    assert snapshot.roots[0].identity


def test_files_in_subdirectories_are_read(loader: Loader, root: Path) -> None:
    write(root / "b.yaml", network("b") + "---\n" + network("c"))
    (root / "sub").mkdir()
    write(
        root / "sub" / "a.json",
        '{"apiVersion": "dockerv6.io/v1alpha1", "kind": "IPv6Network", "metadata": {"name": "a"}}',
    )
    snapshot = loader.load()
    assert names(snapshot) == ["b", "c", "a"]
    assert snapshot.roots[0].files == 2
    assert str(snapshot.resources[1].position) == f"{root}/b.yaml:6:1"


def test_unchanged_files_are_not_read_again(loader: Loader, root: Path, reads: list[str]) -> None:
    for number in range(3):
        write(root / f"{number}.yaml", network(f"n{number}"))
    first = loader.load()
    assert len(reads) == 3
    assert loader.load() == first
    assert len(reads) == 3
    write(root / "1.yaml", network("other"), at=NOW - 30)
    assert names(loader.load()) == ["n0", "other", "n2"]
    assert len(reads) == 4


def test_change_that_keeps_size_and_modification_time_is_seen(loader: Loader, root: Path) -> None:
    write(root / "x.yaml", network("a"))
    loader.load()
    write(root / "x.yaml", network("b"))
    assert names(loader.load()) == ["b"]


def test_broken_file_is_not_a_deleted_file(loader: Loader, root: Path) -> None:
    write(root / "x.yaml", "kind: [IPv6Network")
    write(root / "y.yaml", network("y"))
    snapshot = loader.load()
    assert snapshot.broken_files == (str(root / "x.yaml"),)
    assert snapshot.roots[0].listed
    assert not snapshot.complete
    assert names(snapshot) == ["y"]


def test_missing_root_is_not_an_empty_root(loader: Loader, root: Path) -> None:
    root.rmdir()
    snapshot = loader.load()
    assert not snapshot.roots[0].listed
    assert "mkdir" in snapshot.roots[0].problem
    assert str(snapshot.diagnostics[0].position) == f"{root}:1:1"


def test_replaced_directory_has_another_identity(loader: Loader, root: Path) -> None:
    write(root / "x.yaml", network("x"))
    before = loader.load().roots[0].identity
    root.rename(root.with_name("unmounted"))
    root.mkdir(mode=0o755)
    after = loader.load()
    assert after.roots[0].listed
    assert after.roots[0].identity != before
    assert names(after) == []


def test_root_that_comes_back_is_read(loader: Loader, root: Path) -> None:
    write(root / "x.yaml", network("x"))
    loader.load()
    shutil.rmtree(root)
    assert not loader.load().roots[0].listed
    root.mkdir(mode=0o755)
    write(root / "x.yaml", network("x"))
    assert names(loader.load()) == ["x"]


def test_new_file_is_read_when_it_is_complete(loader: Loader, root: Path, clock: FakeClock) -> None:
    write(root / "x.yaml", network("x"), at=NOW - 0.05)
    snapshot = loader.load()
    assert names(snapshot) == []
    assert snapshot.changing_files == (str(root / "x.yaml"),)
    assert snapshot.retry_after == pytest.approx(0.15)
    assert not snapshot.roots[0].listed
    assert "still being written" in snapshot.roots[0].problem
    assert snapshot.diagnostics == ()
    clock.advance(0.15)
    snapshot = loader.load()
    assert names(snapshot) == ["x"]
    assert snapshot.complete
    assert snapshot.retry_after is None


def test_file_that_is_being_rewritten_keeps_its_previous_content(loader: Loader, root: Path, clock: FakeClock) -> None:
    write(root / "x.yaml", network("x") + "---\n" + network("y"))
    loader.load()
    for half in ("", network("x"), "kind: ["):
        write(root / "x.yaml", half, at=clock.now())
        assert names(loader.load()) == ["x", "y"]
        clock.advance(0.1)
    write(root / "x.yaml", network("z"), at=clock.now())
    clock.advance(0.3)
    assert names(loader.load()) == ["z"]


def test_file_that_keeps_changing_is_read_after_a_while(loader: Loader, root: Path, clock: FakeClock) -> None:
    for tenth in range(60):
        write(root / "x.yaml", network(f"n{tenth}"), at=clock.now())
        snapshot = loader.load()
        clock.advance(0.1)
    assert names(snapshot) == ["n59"]
    assert snapshot.complete


def test_file_from_the_future_is_read(loader: Loader, root: Path, clock: FakeClock) -> None:
    write(root / "x.yaml", network("x"), at=NOW + 86_400)
    assert loader.load().retry_after == pytest.approx(0.2)
    clock.advance(0.2)
    assert names(loader.load()) == ["x"]


def test_vim_writes_a_backup_and_renames(loader: Loader, root: Path) -> None:
    write(root / "x.yaml", network("old"))
    loader.load()
    (root / "4913").touch()
    (root / "4913").unlink()
    (root / "x.yaml").rename(root / "x.yaml~")
    (root / ".x.yaml.swp").write_bytes(b"b0VIM 9.0")
    write(root / "x.yaml", network("new"))
    snapshot = loader.load()
    assert (names(snapshot), snapshot.diagnostics) == (["new"], ())


def test_atomic_rename(loader: Loader, root: Path) -> None:
    write(root / "x.yaml", network("old"))
    loader.load()
    write(root / ".x.yaml.Ab12Cd", network("new"))
    assert names(loader.load()) == ["old"]
    (root / ".x.yaml.Ab12Cd").rename(root / "x.yaml")
    assert names(loader.load()) == ["new"]


def test_config_map_swap(loader: Loader, root: Path) -> None:
    for version in ("1", "2"):
        (root / f"..{version}").mkdir()
        write(root / f"..{version}" / "x.yaml", network(f"v{version}"))
    (root / "..data").symlink_to("..1")
    (root / "x.yaml").symlink_to("..data/x.yaml")
    assert names(loader.load()) == ["v1"]
    (root / "..data_tmp").symlink_to("..2")
    (root / "..data_tmp").rename(root / "..data")
    snapshot = loader.load()
    assert names(snapshot) == ["v2"]
    assert snapshot.resources[0].position.file == str(root / "x.yaml")


def test_git_sync_swap(root: Path, clock: FakeClock) -> None:
    for version in ("1", "2"):
        (root / ".worktrees" / version).mkdir(parents=True)
        write(root / ".worktrees" / version / "x.yaml", network(f"v{version}"))
    link = root / "current"
    link.symlink_to(".worktrees/1")
    loader = Loader([str(link)], clock=clock, ownership=FileOwnership.of_this_process())
    first = loader.load()
    assert names(first) == ["v1"]
    (root / "tmp-link").symlink_to(".worktrees/2")
    (root / "tmp-link").rename(link)
    shutil.rmtree(root / ".worktrees" / "1")
    second = loader.load()
    assert (names(second), second.complete) == (["v2"], True)
    assert second.roots[0].identity != first.roots[0].identity
    assert second.resources[0].position.file == f"{link}/x.yaml"


def test_refused_file_is_broken_and_is_read_after_the_remedy(loader: Loader, root: Path) -> None:
    write(root / "x.yaml", network("x"))
    (root / "x.yaml").chmod(0o666)
    snapshot = loader.load()
    assert snapshot.broken_files == (str(root / "x.yaml"),)
    assert snapshot.diagnostics[0].remedy == f"run chmod go-w {root}/x.yaml"
    (root / "x.yaml").chmod(0o644)
    assert names(loader.load()) == ["x"]


def test_refused_root_is_not_listed(loader: Loader, root: Path) -> None:
    root.chmod(0o777)
    assert not loader.load().roots[0].listed


def test_earlier_root_wins_and_a_file_counts_once(root: Path, clock: FakeClock) -> None:
    (root / "a").mkdir()
    (root / "b").mkdir()
    write(root / "a" / "x.yaml", network("x"))
    write(root / "b" / "x.yaml", network("x"))
    paths = [str(root / "b"), str(root)]
    snapshot = Loader(paths, clock=clock, ownership=None).load()
    assert [str(item.position) for item in snapshot.resources] == [f"{root}/b/x.yaml:1:1"]
    assert [str(item.position) for item in snapshot.invalid] == [f"{root}/a/x.yaml:1:1"]
    assert [part.path for part in snapshot.roots] == paths


def test_files_that_come_and_go_take_no_memory_while_a_root_has_a_problem(
    loader: Loader, root: Path, clock: FakeClock
) -> None:
    write(root / "kept.yaml", network("kept"))
    loader.load()
    (root / "open").mkdir()
    (root / "open").chmod(0o777)  # a problem that stays
    for number in range(20):
        write(root / f"old-{number}.yaml", network(f"n{number}"))
        write(root / f"new-{number}.yaml", network(f"m{number}"), at=clock.now())
        assert not loader.load().roots[0].listed
        (root / f"old-{number}.yaml").unlink()
        (root / f"new-{number}.yaml").unlink()
    loader.load()
    assert loader._cache.keys() == {str(root / "kept.yaml")}
    assert loader._quiescence._changing == {}


def test_contents_of_a_root_that_comes_back_are_not_read_again(root: Path, reads: list[str], clock: FakeClock) -> None:
    write(root / "x.yaml", network("x"))
    other = root.with_name("other")
    other.mkdir(mode=0o755)
    write(other / "y.yaml", network("y"))
    loader = Loader([str(root), str(other)], clock=clock, ownership=None)
    loader.load()
    root.rename(root.with_name("unmounted"))
    (other / "y.yaml").unlink()
    for _ in range(3):
        assert not loader.load().complete
    root.with_name("unmounted").rename(root)
    assert names(loader.load()) == ["x"]
    assert len(reads) == 2


def test_thousands_of_files(loader: Loader, root: Path, reads: list[str]) -> None:
    for number in range(3000):
        write(root / f"{number:04}.yaml", network(f"n{number:04}"))
    snapshot = loader.load()
    assert names(snapshot) == [f"n{number:04}" for number in range(3000)]
    assert loader.load() == snapshot
    assert len(reads) == 3000


def test_paths_of_validate(root: Path) -> None:
    write(root / "x.conf", network("x"), at=2e9)
    (root / "dir").mkdir(mode=0o777)
    write(root / "dir" / "y.yaml", network("y"))
    (root / "dir" / "y.yaml").chmod(0o666)
    snapshot = load_paths([str(root / "x.conf"), "-", str(root / "dir")], io.BytesIO(network("piped").encode()))
    assert sorted(names(snapshot)) == ["piped", "x", "y"]
    assert {item.position.file for item in snapshot.resources} == {
        str(root / "x.conf"),
        str(root / "dir" / "y.yaml"),
        "<stdin>",
    }
    assert snapshot.complete


def test_named_pipe_of_validate() -> None:
    reading, writing = os.pipe()
    os.write(writing, network("x").encode())
    os.close(writing)
    try:
        assert names(load_paths([f"/dev/fd/{reading}"], io.BytesIO())) == ["x"]
    finally:
        os.close(reading)


def test_missing_path_of_validate(root: Path) -> None:
    snapshot = load_paths([str(root / "nowhere")], io.BytesIO())
    assert "does not exist" in snapshot.diagnostics[0].message
