import json
import os
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import pytest

from dockerv6.source.git import program, tree
from tests.unit.source.git.repositories import Remote, Site, git, resource, resources


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path / "remote")


@pytest.fixture
def site(tmp_path: Path, remote: Remote) -> Site:
    return Site(tmp_path, str(remote.bare), ref="main")


def test_only_resource_files_are_written(site: Site, remote: Remote) -> None:
    hidden: dict[str, str | bytes] = {".github/blog.yaml": resource("x"), "docs/a.txt": "a", "big.bin": b"\0" * 100}
    remote.commit({**resources("blog"), **hidden})
    site.sync()
    assert [path.name for path in Path(site.checkout.root).rglob("*")] == ["blog.yaml"]


def test_links_within_the_repository_are_followed_and_others_are_reported(site: Site, remote: Remote) -> None:
    remote.commit({"base/blog.yaml": resource("blog")})
    (remote.work / "web1").mkdir()
    for link, target in {
        "web1/blog.yaml": "../base/blog.yaml",
        "web1/shadow.yaml": "/etc/shadow",
        "web1/out.yaml": "../../../../etc/passwd",
        "web1/nowhere.yaml": "missing.yaml",
        "web1/loop.yaml": "loop.yaml",
        "web1/directory.yaml": "../base",
    }.items():
        (remote.work / link).symlink_to(target)
    remote.push()
    (site := Site(site.source.directory.parent.parent, f"{remote.bare}#main:web1")).sync()
    assert [path.name for path in Path(site.checkout.root).iterdir()] == ["blog.yaml"]
    assert not (Path(site.checkout.root) / "blog.yaml").is_symlink()
    assert site.names() == {"blog"}
    assert len(site.checkout.state.skipped) == 5
    (warning,) = site.read().diagnostics
    assert "is a link to a directory, or one that leads nowhere or out of the repository" in str(warning)
    assert "and 2 more" in str(warning)


def test_nothing_of_the_repository_is_executed(site: Site, remote: Remote, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    remote.commit(
        resources("blog")
        | {
            ".gitattributes": "*.yaml filter=evil diff=evil ident export-subst text eol=crlf\n",
            ".gitmodules": f'[submodule "x"]\n path = x\n url = {remote.bare}\n update = !touch {marker}\n',
            ".gitconfig": f'[filter "evil"]\n smudge = touch {marker}\n',
        }
    )
    for hook in ("post-checkout", "reference-transaction", "post-merge"):
        script = remote.bare / "hooks" / hook
        script.write_text(f"#!/bin/sh\ntouch {marker}\n")
        script.chmod(0o755)
    site.sync()
    assert (Path(site.checkout.root) / "blog.yaml").read_text() == resource("blog")
    assert not (site.source.directory / "clone" / "hooks").exists()
    assert not marker.exists()


def test_the_configuration_of_the_user_and_of_a_work_tree_above_is_not_read(
    tmp_path: Path, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.commit(resources("blog"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    (tmp_path / ".gitconfig").write_text(f'[url "/nonexistent/"]\n insteadOf = "file://{remote.bare.parent}/"\n')
    git("init", "--quiet", str(tmp_path / "state"), cwd=tmp_path)
    config = tmp_path / "state" / ".git" / "config"
    config.write_text((tmp_path / ".gitconfig").read_text())
    site = Site(tmp_path, str(remote.bare))
    assert site.sync().problem == ""


def test_a_submodule_is_reported(site: Site, remote: Remote) -> None:
    remote.commit(resources("blog"))
    commit = git("rev-parse", "HEAD", cwd=remote.work)
    git("update-index", "--add", "--cacheinfo", f"160000,{commit},theme", cwd=remote.work)
    git("commit", "--quiet", "-m", "submodule", cwd=remote.work)
    git("push", "--quiet", "origin", "HEAD:main", cwd=remote.work)
    assert site.sync().skipped == ("theme is a submodule, which is not fetched",)


def push_tree(remote: Remote, *names: str, modes: Sequence[str] = ()) -> str:
    """Put a tree with entries that no work tree can have, in this order, into the remote; returns the commit."""
    remote.commit(resources("blog"))
    blob = git("rev-parse", "main:blog.yaml", cwd=remote.bare)
    below = git("rev-parse", "main^{tree}", cwd=remote.bare)
    content = b""
    for name, mode in zip_longest(names, modes, fillvalue="100644"):
        content += b"%s %s\0%s" % (mode.encode(), os.fsencode(name), bytes.fromhex(below if mode == "40000" else blob))
    return push_object(remote, "tree", content)


def push_object(remote: Remote, kind: str, content: bytes) -> str:
    """Put a tree or a commit, valid or not, into the remote; returns the commit."""
    raw = remote.work / "raw"
    raw.write_bytes(content)
    made = git("hash-object", "-t", kind, "-w", "--literally", str(raw), cwd=remote.bare)
    raw.unlink()
    commit = git("commit-tree", made, "-m", "odd", cwd=remote.bare) if kind == "tree" else made
    git("update-ref", "refs/heads/main", commit, cwd=remote.bare)
    return commit


def kept(site: Site) -> str:
    """The problem of a source whose previous tree is still read."""
    problem = site.sync().problem
    assert site.names() == {"first"}
    assert problem
    return problem


HOSTILE = [
    "ABSOLUTE/escaped.yaml",
    "",
    ".",
    "..",
    "../escaped.yaml",
    "../../blog.yaml",
    "a/../../escaped.yaml",
    "a//escaped.yaml",
    "a/./escaped.yaml",
    "a/",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("below", [False, True])
def test_a_name_that_leads_out_of_the_tree_refuses_the_commit(
    site: Site, remote: Remote, tmp_path: Path, name: str, *, below: bool
) -> None:
    remote.commit(resources("first"))
    site.sync()
    push_tree(remote, name.replace("ABSOLUTE", str(tmp_path)), "blog.yaml")
    if below:
        odd = git("rev-parse", "main^{tree}", cwd=remote.bare)
        push_object(remote, "tree", b"40000 inner\0" + bytes.fromhex(odd))
    problem = kept(site)
    assert not name or "has an entry whose name can lead out of its directory" in problem  # git refuses an empty name
    assert not list(tmp_path.rglob("escaped.yaml"))


def test_a_hidden_name_is_left_out(site: Site, remote: Remote) -> None:
    push_tree(remote, ".git", "blog.yaml")
    site.sync()
    assert [path.name for path in Path(site.checkout.root).iterdir()] == ["blog.yaml"]


@pytest.mark.parametrize(
    ("names", "modes"),
    [
        (("a.yaml", "a.yaml"), ()),
        (("a.yaml", "a.yaml"), ("100644", "40000")),
        (("a.yaml", "a.yaml"), ("40000", "100644")),
        (("a", "a/blog.yaml"), ("40000", "100644")),
        (("a.yaml", "a.yaml/b/c.yaml"), ()),
    ],
)
def test_two_entries_of_one_name_refuse_the_commit(
    site: Site, remote: Remote, names: tuple[str, ...], modes: tuple[str, ...]
) -> None:
    remote.commit(resources("first"))
    site.sync()
    push_tree(remote, *names, modes=modes)
    assert "has two entries of one name" in kept(site)


@pytest.mark.parametrize("name", [f"{'x' * 300}.yaml", f"{'ü' * 126}.yaml", "/".join(["y" * 200] * 20) + ".yaml"])
def test_a_name_that_no_file_can_have_is_reported_and_left_out(site: Site, remote: Remote, name: str) -> None:
    push_tree(remote, "blog.yaml", name)
    state = site.sync()
    assert state.problem == ""
    assert [each.rpartition(" has ")[2] for each in state.skipped] == [
        "a name of more than 255 bytes, or a path of more than 3000"
    ]
    assert site.names() == {"blog"}


@pytest.mark.parametrize("committer", ["committer a", "committer a <a@example.org>", "committer a <a> never", ""])
def test_a_commit_without_a_date_is_refused(site: Site, remote: Remote, committer: str) -> None:
    remote.commit(resources("first"))
    site.sync()
    tree_id = git("rev-parse", "HEAD^{tree}", cwd=remote.work)
    push_object(remote, "commit", f"tree {tree_id}\nauthor a <a> 1 +0000\n{committer}\n\nx\n".encode())
    assert kept(site)
    remote.commit(resources("second"), force=True)
    assert site.sync().problem == ""


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_the_umask_does_not_matter(site: Site, remote: Remote, umask: int) -> None:
    remote.commit({"a/b/c/blog.yaml": resource("blog"), "a/shop.yaml": resource("shop")})
    before = os.umask(umask)
    try:
        assert site.sync().problem == ""
    finally:
        os.umask(before)
    assert site.names() == {"blog", "shop"}
    directories = [path for path in (site.source.directory / "trees").rglob("*") if path.is_dir()]
    assert {path.stat().st_mode & 0o777 for path in directories} == {0o700}


def test_links_count_with_the_size_of_what_they_lead_to(
    site: Site, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.commit(resources("first"))
    site.sync()
    remote.commit({"a.yaml": resource("blog") + "#" * 100_000})
    for number in range(20):
        (remote.work / f"link{number}.yaml").symlink_to("a.yaml")
    remote.push()
    monkeypatch.setattr(tree, "MAX_TREE_BYTES", 1024**2)
    assert "have more than 1 MiB" in kept(site)


def test_huge_files_that_are_small_on_the_wire_need_little_memory(
    site: Site, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "MAX_MEMORY", 48 * 1024**2)  # less work than with the product's
    remote.commit(resources("blog"))
    _add_zeros(remote, "x.yaml")
    _add_zeros(remote, "x.bin", more=1)
    (remote.work / "y").mkdir()
    (remote.work / "y" / "link.yaml").symlink_to("../x.bin")
    remote.push()
    git("config", "core.bigFileThreshold", "1m", cwd=remote.bare)
    assert sum(path.stat().st_size for path in remote.bare.rglob("*") if path.is_file()) < 2 * 1024**2
    assert site.sync().problem == ""
    assert site.names() == {"blog"}
    too_large = {Path(each.position.file).name for each in site.read().diagnostics if "larger than" in each.message}
    assert too_large == {"x.yaml", "link.yaml"}
    written = sum(path.stat().st_blocks * 512 for path in site.source.directory.rglob("*"))
    assert written < 8 * 1024**2


def test_a_command_that_needs_too_much_memory_ends_alone(
    site: Site, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "MAX_MEMORY", 48 * 1024**2)
    remote.commit(resources("first"))
    site.sync()
    _add_zeros(remote, "x.yaml")
    remote.push()  # git reads a local repository with its own settings, which hold the file in memory
    assert "Out of memory" in kept(site)


def _add_zeros(remote: Remote, name: str, more: int = 0) -> None:
    """Add a file that does not fit into the memory of a git command."""
    with (remote.work / name).open("wb") as opened:
        opened.truncate(2 * program.MAX_MEMORY + more)


def test_names_of_any_bytes_are_written(site: Site, remote: Remote) -> None:
    names = [os.fsdecode(b"\xff.yaml"), "a b.yaml", "line\nbreak.yaml", "ümlaut.yml", "tab\t.json"]
    for index, name in enumerate(names):
        (remote.work / name).write_text(
            json.dumps({"apiVersion": "dockerv6.io/v1alpha1", "kind": "IPv6Network", "metadata": {"name": f"n{index}"}})
        )
    remote.push()
    assert site.sync().problem == ""
    assert site.names() == {f"n{index}" for index in range(len(names))}


def test_too_many_files_are_refused_and_the_last_tree_stays(
    site: Site, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.commit(resources("blog"))
    site.sync()
    remote.commit(resources(*(f"n{number}" for number in range(20))))
    monkeypatch.setattr(tree, "MAX_FILES", 20)
    assert "has 21 resource files, more than 20; choose a smaller directory" in site.sync().problem
    assert site.names() == {"blog"}
    monkeypatch.setattr(tree, "MAX_FILES", 21)
    monkeypatch.setattr(tree, "MAX_TREE_BYTES", 100)
    assert "have more than 0 MiB" in site.sync().problem


def test_a_path_with_100000_files_is_refused(site: Site, remote: Remote) -> None:
    blob_of = "blob\nmark :1\ndata 2\nx\n\n"
    files = "".join(f"M 100644 :1 {number % 300}/{number}.yaml\n" for number in range(100_000))
    stream = f"{blob_of}commit refs/heads/main\ncommitter a <a@example.org> 1700000000 +0000\ndata 1\nx\n{files}"
    import_ = remote.work / "stream"
    import_.write_text(stream)
    git("config", "core.hooksPath", "/dev/null", cwd=remote.bare)
    os.system(f"git --git-dir={remote.bare} fast-import --quiet < {import_}")  # noqa: S605 - a redirection
    assert "has 100000 resource files, more than 20000" in site.sync().problem
    assert not Path(site.checkout.root).exists()


def test_a_file_that_is_too_large_is_the_readers_to_report(site: Site, remote: Remote) -> None:
    remote.commit({"blog.yaml": resource("blog") + "#" * (4 * 1024 * 1024), "shop.yaml": resource("shop")})
    assert site.sync().problem == ""
    assert site.names() == {"shop"}
    assert "larger than" in str(site.read().diagnostics) or "more than" in str(site.read().diagnostics)
