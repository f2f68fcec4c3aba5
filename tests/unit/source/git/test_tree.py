import json
import os
from pathlib import Path

import pytest

from dockerv6.source.git import tree
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


def tree_with(remote: Remote, name: str) -> str:
    """Push a tree with an entry whose name no work tree can have; returns the commit."""
    remote.commit(resources("blog"))
    blob = git("rev-parse", "HEAD:blog.yaml", cwd=remote.work)
    content = b"".join(
        b"100644 %s\0%s" % (os.fsencode(each), bytes.fromhex(blob)) for each in sorted((name, "blog.yaml"))
    )
    raw = remote.work / "tree"
    raw.write_bytes(content)
    made = git("hash-object", "-t", "tree", "-w", "--literally", str(raw), cwd=remote.work)
    raw.unlink()
    commit = git("commit-tree", made, "-m", "odd", cwd=remote.work)
    git("push", "--quiet", "--force", "origin", f"{commit}:refs/heads/main", cwd=remote.work)
    return commit


@pytest.mark.parametrize("name", ["..", "../escaped.yaml", ".git", "../../blog.yaml"])
def test_no_name_leads_out_of_the_tree(site: Site, remote: Remote, name: str) -> None:
    tree_with(remote, name)
    site.sync()
    root = Path(site.checkout.root)
    assert [path.name for path in root.iterdir()] == ["blog.yaml"]
    assert not list(site.source.directory.rglob("escaped.yaml"))


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
