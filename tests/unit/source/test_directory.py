import os
import socket
from pathlib import Path

import pytest

from dockerv6.lib.tasks import CancellationToken
from dockerv6.source import directory
from dockerv6.source.directory import DirectoryListing, is_resource_file
from dockerv6.source.files import FileOwnership

TRUST = FileOwnership.of_this_process()


def list_root(path: str, ownership: FileOwnership | None) -> DirectoryListing:
    return directory.list_root(path, ownership, CancellationToken())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path.resolve() / "etc"
    path.mkdir(mode=0o755)
    return path


def found(root: Path, listing: DirectoryListing) -> list[str]:
    return [os.path.relpath(path, root) for path in listing.files]


@pytest.mark.parametrize("name", ["a.yaml", "a.yml", "a.json", "A.YAML", "a.b.yaml"])
def test_resource_files(name: str) -> None:
    assert is_resource_file(name)


@pytest.mark.parametrize(
    "name",
    [
        *(".a.yaml", ".a.yaml.swp", "4913", "a.yaml~", ".#a.yaml", "#a.yaml#", ".goutputstream-X1Y2", "a.yaml.tmp"),
        *(
            "a.yaml.bak",
            "a.yaml___jb_tmp___",
            "a.yaml___jb_old___",
            "sedAbC123",
            ".a.yaml.AbC123",
            "~$a.yaml",
            "README.md",
        ),
        *("README.md", "a.yaml.dpkg-new", "a.yaml.orig", "a.yaml,v", "yaml", ""),
    ],
)
def test_temporary_files_of_editors_and_packagers_are_ignored(name: str) -> None:
    assert not is_resource_file(name)


def test_recursive_and_in_order(root: Path) -> None:
    for name in ("b.yaml", "a/z.yml", "a/c/d.json", "a/.git/x.yaml", ".hidden/x.yaml", "a/notes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    listing = list_root(str(root), None)
    assert found(root, listing) == ["a/c/d.json", "a/z.yml", "b.yaml"]
    assert listing.watched == {str(root), str(root / "a"), str(root / "a" / "c")}
    status = root.stat()
    assert listing.identity == f"{status.st_dev}:{status.st_ino}"
    assert listing.problems == ()


def test_missing_root_has_a_remedy(root: Path) -> None:
    listing = list_root(str(root / "nowhere"), TRUST)
    assert listing.identity == ""
    assert "mkdir" in listing.problems[0]


def test_root_that_is_a_file(root: Path) -> None:
    (root / "x.conf").touch()
    assert found(root, list_root(str(root / "x.conf"), None)) == ["x.conf"]


@pytest.mark.parametrize("below", ["", "/", "/sub", "/sub/x.yaml"])
def test_a_root_that_is_a_broken_link_can_not_be_created(root: Path, below: str) -> None:
    (root / "link").symlink_to("nowhere")
    [problem] = list_root(f"{root}/link{below}", None).problems
    assert problem == f"{root}/link{below} does not exist: {root}/link is a broken link; correct the link or remove it"


def test_a_root_that_is_neither_has_a_printable_name(root: Path) -> None:
    os.mkfifo(root / os.fsdecode(b"pipe\xff"))
    [problem] = list_root(str(root / os.fsdecode(b"pipe\xff")), None).problems
    assert problem == f"{root}/pipe\\xff is neither a directory nor a regular file; configure one of these"


def test_root_that_is_neither(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert "neither" in list_root(str(root / "pipe"), None).problems[0]


def test_pipes_and_sockets_are_ignored(root: Path) -> None:
    os.mkfifo(root / "pipe.yaml")
    (root / "link.yaml").symlink_to("pipe.yaml")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "s.yaml"))
        assert list_root(str(root), None).files == {}


def test_config_map_layout(root: Path) -> None:
    (root / "..2026_11_23").mkdir()
    (root / "..2026_11_23" / "x.yaml").touch()
    (root / "..data").symlink_to("..2026_11_23")
    (root / "x.yaml").symlink_to("..data/x.yaml")
    listing = list_root(str(root), None)
    assert found(root, listing) == ["x.yaml"]
    assert listing.watched == {str(root), str(root / "..2026_11_23")}


def test_git_sync_layout_with_the_link_as_root(root: Path) -> None:
    tree = root / ".worktrees" / "abc"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "x.yaml").touch()
    (root / "current").symlink_to(".worktrees/abc")
    listing = list_root(str(root / "current"), None)
    assert found(root, listing) == ["current/sub/x.yaml"]
    assert listing.watched == {str(root), str(tree), str(tree / "sub")}
    status = tree.stat()
    assert listing.identity == f"{status.st_dev}:{status.st_ino}"


def test_git_sync_layout_with_the_parent_directory_as_root(root: Path) -> None:
    (root / "rev-abc").mkdir()
    (root / "rev-abc" / "x.yaml").touch()
    (root / "current").symlink_to("rev-abc")
    assert found(root, list_root(str(root), None)) == ["rev-abc/x.yaml"]


def test_one_inode_under_two_names_is_one_file(root: Path) -> None:
    (root / "b.yaml").touch()
    os.link(root / "b.yaml", root / "a.yaml")
    (root / "0.yaml").symlink_to("b.yaml")
    assert found(root, list_root(str(root), None)) == ["a.yaml"]


def test_link_loops_are_ignored(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "up").symlink_to("..")
    (root / "a" / "self").symlink_to(".")
    (root / "a" / "top").symlink_to("/")
    (root / "x.yaml").touch()
    (root / "loop.yaml").symlink_to("loop.yaml")
    listing = list_root(str(root), None)
    assert found(root, listing) == ["x.yaml"]
    assert [os.path.basename(path) for path in listing.refused] == ["loop.yaml"]  # noqa: PTH119


def test_broken_link_is_refused(root: Path) -> None:
    (root / "x.yaml").symlink_to("nowhere")
    (root / "dir").symlink_to("nowhere")
    listing = list_root(str(root), None)
    assert list(listing.refused) == [str(root / "x.yaml")]
    assert listing.problems == ()
    assert listing.broken_links == {str(root / "dir"): "is a broken link: No such file or directory"}
    assert listing.subdirectories == {str(root / "dir"): ""}


def test_subdirectories_are_identified_after_links(root: Path, tmp_path: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    (root / "link").symlink_to(tmp_path / "c")
    (root / "file").symlink_to("/etc/passwd")
    statuses = {name: (root / name).stat() for name in ("a", "a/b", "link")}
    identities = {str(root / name): f"{status.st_dev}:{status.st_ino}" for name, status in statuses.items()}
    assert list_root(str(root), None).subdirectories == identities | {str(root / "file"): ""}


def test_link_out_of_the_root_is_followed_when_all_directories_are_trusted(root: Path, tmp_path: Path) -> None:
    outside = tmp_path.resolve() / "outside"
    outside.mkdir(mode=0o755)
    (outside / "y.yaml").touch(mode=0o644)
    (root / "more").symlink_to(outside)
    listing = list_root(str(root), TRUST)
    assert (found(root, listing), listing.problems) == (["more/y.yaml"], ())
    outside.chmod(0o777)
    listing = list_root(str(root), TRUST)
    assert listing.files == {}
    assert "chmod go-w" in listing.problems[0]


def test_link_to_a_file_in_an_untrusted_directory_is_refused(root: Path, tmp_path: Path) -> None:
    outside = tmp_path.resolve() / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    (outside / "y.yaml").touch(mode=0o644)
    (root / "y.yaml").symlink_to(outside / "y.yaml")
    listing = list_root(str(root), TRUST)
    assert list(listing.refused) == [str(root / "y.yaml")]
    assert str(outside) in listing.refused[str(root / "y.yaml")].message


def test_only_the_untrusted_file_is_refused(root: Path) -> None:
    (root / "good.yaml").touch(mode=0o644)
    (root / "bad.yaml").touch()
    (root / "bad.yaml").chmod(0o666)
    listing = list_root(str(root), TRUST)
    assert list(listing.refused) == [str(root / "bad.yaml")]
    assert listing.problems == ()
    assert list_root(str(root), None).refused == {}


def test_untrusted_directory_leaves_the_listing_incomplete(root: Path) -> None:
    (root / "good.yaml").touch(mode=0o644)
    (root / "sub").mkdir()
    (root / "sub" / "x.yaml").touch(mode=0o644)
    (root / "sub").chmod(0o775)
    listing = list_root(str(root), TRUST)
    assert found(root, listing) == ["good.yaml"]
    assert "run chmod go-w" in listing.problems[0]


def test_untrusted_root_is_not_read(root: Path) -> None:
    (root / "x.yaml").touch(mode=0o644)
    root.chmod(0o777)
    listing = list_root(str(root), TRUST)
    assert listing.files == {}
    assert listing.problems


def test_every_directory_above_the_root_is_checked(root: Path, tmp_path: Path) -> None:
    (root / "x.yaml").touch(mode=0o644)
    above = tmp_path.resolve()
    mode = above.stat().st_mode
    for untrusted in (0o777, 0o775, 0o2770):
        above.chmod(untrusted)
        listing = list_root(str(root), TRUST)
        assert listing.files == {}
        assert listing.problems == (f"{root} is not read: {above} is writable by other users; run chmod go-w {above}",)
        assert list_root(str(root / "x.yaml"), TRUST).refused[str(root / "x.yaml")].remedy == f"run chmod go-w {above}"
    above.chmod(mode)
    assert list_root(str(root), TRUST).problems == ()


def test_directories_above_a_link_on_the_way_are_checked(root: Path, tmp_path: Path) -> None:
    base = tmp_path.resolve()
    (root / "x.yaml").touch(mode=0o644)
    (base / "open").mkdir()
    (base / "open" / "way").symlink_to(root)
    (base / "open").chmod(0o777)
    (base / "current").symlink_to(base / "open" / "way")
    assert "chmod go-w" in list_root(str(base / "current"), TRUST).problems[0]


def test_another_users_file_is_refused(root: Path) -> None:
    (root / "x.yaml").touch(mode=0o644)
    assert list(list_root(str(root), FileOwnership(frozenset({os.geteuid()}))).refused) == []
    assert list_root(str(root), FileOwnership(frozenset({os.geteuid() + 1}))).problems


def test_too_deep_directories_are_reported(root: Path) -> None:
    deep = root.joinpath(*["d"] * 40)
    deep.mkdir(parents=True)
    (deep / "x.yaml").touch()
    listing = list_root(str(root), None)
    assert listing.files == {}
    assert "deep" in listing.problems[0]
