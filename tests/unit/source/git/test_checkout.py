import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from dockerv6.source.git import checkout as checkout_module
from dockerv6.source.git import program
from dockerv6.source.git.checkout import GitCheckout
from dockerv6.source.git.program import GitCommandError, GitProgram
from dockerv6.source.model import Severity
from tests.unit.source.git.repositories import Remote, Site, git, resource, resources, source_of


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path / "remote")


@pytest.fixture
def site(tmp_path: Path, remote: Remote) -> Site:
    return Site(tmp_path, str(remote.bare), ref="main")


def kept(site: Site, *names: str) -> str:
    """The problem of a source whose last tree is still read."""
    snapshot = site.read()
    assert snapshot.roots[0].listed
    assert {each.resource.metadata.name for each in snapshot.resources} == set(names)
    (problem,) = (str(each) for each in snapshot.diagnostics if each.severity is Severity.ERROR)
    assert "stays in effect" in problem
    return problem


def test_the_newest_commit_is_read_with_its_id(site: Site, remote: Remote) -> None:
    commit = remote.commit(resources("blog") | {"below/shop.yml": resource("shop"), "README.md": "# networks"})
    assert site.sync().commit == commit
    assert site.names() == {"blog", "shop"}
    assert site.read().roots[0].commit == commit
    second = remote.commit({"blog.yaml": None, "wiki.yaml": resource("wiki")})
    assert site.sync() == site.checkout.state
    assert site.checkout.state.commit == second
    assert site.names() == {"shop", "wiki"}
    assert not site.read().diagnostics


def test_a_source_that_was_never_fetched_is_unlisted_with_its_cause(site: Site) -> None:
    snapshot = site.read()
    assert not snapshot.roots[0].listed
    assert "was not fetched yet" in snapshot.roots[0].problem
    assert "mkdir" not in str(snapshot.diagnostics)
    site.sync()
    assert "the repository has no branch or tag main" in site.read().roots[0].problem
    assert not site.read().roots[0].listed


def test_what_a_killed_fetch_left_in_the_clone_is_removed(site: Site, remote: Remote) -> None:
    remote.commit(resources("blog"))
    site.sync()
    clone = site.checkout.source.directory / "clone"
    (clone / "objects" / "pack").mkdir(exist_ok=True)
    left = (clone / "objects" / "pack" / "tmp_pack_Xy12", clone / "shallow.lock")
    for each in left:
        each.write_bytes(bytes(100))
    kept = clone.stat().st_ino
    remote.commit(resources("blog", "shop"))
    assert not site.sync().problem
    assert site.names() == {"blog", "shop"}
    assert not any(each.exists() for each in left)
    assert clone.stat().st_ino == kept  # it is not downloaded again


def test_everything_is_private(site: Site, remote: Remote) -> None:
    remote.commit({"a/b/blog.yaml": resource("blog")})
    umask = os.umask(0)
    try:
        site.sync()
    finally:
        os.umask(umask)
    directory = site.source.directory
    for path in (
        directory.parent,
        directory,
        directory / "trees",
        Path(site.checkout.root),
        Path(site.checkout.root, "a/b"),
    ):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(site.checkout.root, "a/b/blog.yaml").stat().st_mode) == 0o600


def test_a_force_push_is_followed_and_noticed(site: Site, remote: Remote) -> None:
    first = remote.commit(resources("blog"))
    second = remote.commit(resources("shop"))
    site.sync()
    git("reset", "--quiet", "--hard", first, cwd=remote.work)
    third = remote.commit(resources("wiki"), force=True)
    state = site.sync()
    assert (state.commit, state.rewritten, state.problem) == (third, second, "")
    assert site.names() == {"blog", "wiki"}
    fourth = remote.commit(resources("docs"))
    assert site.sync().rewritten == ""
    assert site.checkout.state.commit == fourth


def test_a_vanished_branch_keeps_the_last_tree(site: Site, remote: Remote) -> None:
    remote.commit(resources("blog"))
    remote.commit(resources("blog"), branch="other")
    site.sync()
    git("update-ref", "-d", "refs/heads/main", cwd=remote.bare)
    site.sync()
    assert "the repository has no branch or tag main" in kept(site, "blog")


@pytest.mark.parametrize("path", ["hosts/web1", "hosts/web1/blog.yaml"])
def test_a_vanished_path_keeps_the_last_tree(tmp_path: Path, remote: Remote, path: str) -> None:
    site = Site(tmp_path, f"{remote.bare}#main:{path}")
    remote.commit({"hosts/web1/blog.yaml": resource("blog"), "hosts/web2/shop.yaml": resource("shop")})
    site.sync()
    assert site.names() == {"blog"}
    commit = remote.commit({"hosts/web1/blog.yaml": None})
    site.sync()
    assert f"{path} does not exist in commit {commit[:12]}" in kept(site, "blog")


def test_an_emptied_repository_keeps_the_last_tree_until_an_empty_list_says_that_it_is_meant(
    site: Site, remote: Remote
) -> None:
    remote.commit(resources("blog") | {"README.md": "networks"})
    site.sync()
    remote.commit({"blog.yaml": None})
    site.sync()
    assert "has no resource file any more" in kept(site, "blog")
    remote.commit({"none.yaml": "apiVersion: v1\nkind: List\nitems: []\n"})
    site.sync()
    assert site.names() == set()
    assert site.read().complete


def test_an_unreachable_remote_keeps_the_last_tree_and_comes_back(site: Site, remote: Remote) -> None:
    remote.commit(resources("blog"))
    site.sync()
    hidden = remote.bare.with_name("hidden")
    remote.bare.rename(hidden)
    site.sync()
    site.restart()
    site.sync()
    assert "git ls-remote" in kept(site, "blog")
    hidden.rename(remote.bare)
    remote.commit(resources("shop"))
    assert site.sync().problem == ""
    assert site.names() == {"blog", "shop"}


@pytest.mark.parametrize("damage", ["objects", "truncated", "lock", "head", "garbage"])
def test_a_corrupted_clone_is_replaced(site: Site, remote: Remote, damage: str) -> None:
    remote.commit(resources("blog"))
    site.sync()
    clone = site.source.directory / "clone"
    if damage == "objects":
        shutil.rmtree(clone / "objects")
    elif damage == "truncated":
        for file in [*clone.glob("objects/pack/*.pack"), *(f for f in clone.glob("objects/*/*") if f.is_file())]:
            file.chmod(0o600)
            file.write_bytes(file.read_bytes()[:10])
    elif damage == "lock":
        (clone / "shallow.lock").write_text("")
    elif damage == "head":
        (clone / "HEAD").unlink()
    else:
        shutil.rmtree(clone)
        clone.write_text("no repository")
    commit = remote.commit(resources("shop"))
    state = site.sync()
    assert (state.commit, state.problem) == (commit, "")
    assert site.names() == {"blog", "shop"}
    assert [path.name for path in site.source.directory.glob("clone*")] == ["clone"]


def test_a_clone_that_is_corrupted_while_the_remote_is_away_keeps_the_last_tree(site: Site, remote: Remote) -> None:
    remote.commit(resources("blog"))
    site.sync()
    shutil.rmtree(site.source.directory / "clone" / "objects")
    remote.bare.rename(remote.bare.with_name("hidden"))
    site.restart()
    site.sync()
    kept(site, "blog")


def test_a_tree_that_was_damaged_is_exported_again_by_the_next_process(site: Site, remote: Remote) -> None:
    remote.commit(resources("blog"))
    site.sync()
    (Path(site.checkout.root) / "blog.yaml").write_text("")  # as after a power failure
    site.restart()
    site.sync()
    assert site.names() == {"blog"}


def test_files_that_vanish_from_a_tree_are_no_deletion(site: Site, remote: Remote) -> None:
    remote.commit(resources("blog", "shop"))
    site.sync()
    for file in Path(site.checkout.root).iterdir():
        file.unlink()
    root = site.read().roots[0]
    assert not root.listed
    assert "2 of 2 files are missing" in root.problem
    site.sync()
    assert site.names() == {"blog", "shop"}


@pytest.mark.parametrize("lost", [("blog.yaml",), ("blog.yaml", "below/wiki.yaml"), ("below",), None])
@pytest.mark.parametrize("clone", ["damaged", "missing"])
def test_files_that_vanish_while_no_process_runs_are_no_deletion(
    site: Site, remote: Remote, lost: tuple[str, ...] | None, clone: str
) -> None:
    remote.commit(
        resources("blog", "shop") | {"below/wiki.yaml": resource("wiki"), "below/docs.yaml": resource("docs")}
    )
    site.sync()
    root = Path(site.checkout.root).resolve()
    for name in lost or [path.name for path in root.iterdir()]:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(site.source.directory / "clone" / ("objects" if clone == "damaged" else ""))
    hidden = remote.bare.rename(remote.bare.with_name("hidden"))
    site.restart()
    assert not site.read().roots[0].listed  # before anything was asked
    site.sync()
    state = site.read().roots[0]
    assert not state.listed
    assert "of 4 files are missing" in state.problem
    hidden.rename(remote.bare)
    assert site.sync().problem == ""
    assert site.names() == {"blog", "shop", "wiki", "docs"}


def test_files_that_vanished_are_exported_again_without_the_remote(site: Site, remote: Remote) -> None:
    remote.commit(resources("blog", "shop"))
    site.sync()
    (Path(site.checkout.root) / "blog.yaml").unlink()
    remote.bare.rename(remote.bare.with_name("hidden"))
    site.restart()
    site.sync()
    kept(site, "blog", "shop")


def test_a_state_directory_behind_a_link_keeps_the_previous_tree_too(tmp_path: Path, remote: Remote) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "elsewhere")
    site = Site(tmp_path, str(remote.bare), ref="main")
    for names in (("blog",), ("shop",)):
        remote.commit(resources(*names))
        site.sync()
    assert len(list((site.source.directory / "trees").iterdir())) == 2


def fetches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The subcommands that connect to the remote, as they happen."""
    made: list[str] = []
    run = GitProgram.run

    def counted(self: GitProgram, *arguments: str, **options: Any) -> bytes:
        made.extend(arguments[:1] if options.get("remote") else ())
        return run(self, *arguments, **options)

    monkeypatch.setattr(GitProgram, "run", counted)
    return made


@pytest.mark.parametrize("first", [True, False])
def test_a_repository_that_is_too_large_is_not_downloaded_at_every_interval(
    site: Site, remote: Remote, monkeypatch: pytest.MonkeyPatch, *, first: bool
) -> None:
    if not first:
        remote.commit(resources("blog"))
        site.sync()
    remote.commit(resources("shop"))
    made = fetches(monkeypatch)
    monkeypatch.setattr(program, "MAX_CLONE", 10)
    assert "the clone has more than" in site.sync().problem
    assert made.count("fetch") == 2
    for _ in range(3):
        assert "the clone has more than" in site.sync().problem
    assert made.count("fetch") == 2
    monkeypatch.undo()
    remote.commit(resources("wiki"))
    assert site.sync().problem == ""


def test_a_commit_that_no_new_clone_makes_readable_is_not_downloaded_at_every_interval(
    site: Site, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.commit(resources("blog"))
    site.sync()
    remote.commit(resources("shop"))

    def broken(*_: object) -> None:
        raise GitCommandError("ls-tree ended", "none")

    monkeypatch.setattr(checkout_module, "export_tree", broken)
    made = fetches(monkeypatch)
    for _ in range(3):
        assert "ls-tree ended" in site.sync().problem
    assert made.count("fetch") == 2
    kept(site, "blog")


def test_what_a_killed_process_left_is_removed(site: Site, remote: Remote) -> None:
    remote.commit(resources("blog"))
    site.sync()
    directory = site.source.directory
    (directory / "trees" / ".new" / "half").mkdir(parents=True)
    (directory / "clone.new").mkdir()
    (directory / ".credentials-x").write_text("https://git:secret@example.org\n")
    (directory / "trees" / ".current").symlink_to("nowhere")
    site.restart()
    assert site.sync().problem == ""
    assert sorted(path.name for path in directory.iterdir()) == ["clone", "current", "trees"]
    assert not [path for path in (directory / "trees").iterdir() if path.name.startswith(".")]


def test_a_full_disk_keeps_the_last_tree(site: Site, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    remote.commit(resources("blog"))
    site.sync()
    remote.commit(resources("shop"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(site.source.directory))

    monkeypatch.setattr(checkout_module, "export_tree", full)
    site.sync()
    assert "No space left on device" in kept(site, "blog")
    monkeypatch.undo()
    site.sync()
    assert site.names() == {"blog", "shop"}


def test_a_missing_git_program_is_reported_with_its_remedy(
    site: Site, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.commit(resources("blog"))
    site.sync()
    monkeypatch.setenv("PATH", "/nonexistent")
    site.sync()
    assert "the git program is not installed; install it (apt-get install git)" in kept(site, "blog")


def test_at_most_two_trees_are_kept(site: Site, remote: Remote) -> None:
    for number in range(4):
        remote.commit({"blog.yaml": resource("blog") + f"# {number}\n"})
        site.sync()
    assert len(list((site.source.directory / "trees").iterdir())) == 2


@pytest.mark.parametrize("annotated", [True, False])
def test_a_tag_is_followed_and_a_commit_is_asked_for_once(tmp_path: Path, remote: Remote, *, annotated: bool) -> None:
    first = remote.commit(resources("blog"))
    git("tag", *(["-a", "-m", "one"] if annotated else []), "v1", cwd=remote.work)
    git("push", "--quiet", "origin", "v1", cwd=remote.work)
    remote.commit(resources("shop"))
    tagged, pinned = Site(tmp_path / "a", f"{remote.bare}#v1"), Site(tmp_path / "b", f"{remote.bare}#{first}")
    assert (tagged.sync().commit, pinned.sync().commit) == (first, first)
    assert tagged.names() == pinned.names() == {"blog"}
    inode = Path(tagged.checkout.root).stat().st_ino
    tagged.sync()
    assert Path(tagged.checkout.root).stat().st_ino == inode
    remote.bare.rename(remote.bare.with_name("hidden"))
    assert pinned.sync().problem == ""


def test_the_default_branch_is_followed(tmp_path: Path, remote: Remote) -> None:
    remote.commit(resources("blog"), branch="trunk")
    git("symbolic-ref", "HEAD", "refs/heads/trunk", cwd=remote.bare)
    site = Site(tmp_path, str(remote.bare))
    site.sync()
    assert site.names() == {"blog"}


def test_a_repository_with_sha256_object_ids_is_read(tmp_path: Path) -> None:
    (tmp_path / "remote").mkdir()
    git("init", "--quiet", "--object-format=sha256", "work", cwd=tmp_path / "remote")
    work = tmp_path / "remote" / "work"
    (work / "blog.yaml").write_text(resource("blog"))
    git("add", "--all", cwd=work)
    git("commit", "--quiet", "-m", "change", cwd=work)
    site = Site(tmp_path, str(work))
    assert len(site.sync().commit) == 64
    assert site.names() == {"blog"}


def test_a_checkout_of_another_version_of_the_settings_has_another_directory(tmp_path: Path, remote: Remote) -> None:
    sources = {source_of(tmp_path, f"{remote.bare}#{ref}").root for ref in ("main", "prod", "main:web1")}
    assert len(sources) == 3
    assert all("/networks-" in root for root in sources)
    assert GitCheckout(source_of(tmp_path, str(remote.bare))).state.commit == ""
