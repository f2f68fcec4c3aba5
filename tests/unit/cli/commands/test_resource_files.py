"""``apply -f``: what happens to the files of people."""

import io
import json
import os
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dockerv6.cli import manifests
from dockerv6.source.files import MAX_BYTES
from dockerv6.source.load import load_paths
from dockerv6.source.model import Snapshot
from tests.unit.cli.harness import (
    BLOG,
    BLOG_NAME,
    OTHER,
    POOL,
    Daemon,
    defined,
    given,
    run,
    stored,
)


def endless(path: str) -> None:
    """Write to a named pipe until the reader has gone."""
    with suppress(BrokenPipeError), Path(path).open("wb", buffering=0) as pipe:
        while True:
            pipe.write(b"#" * 65536)


class Endless(io.RawIOBase):
    """Has as much as is asked for; all of it is an error."""

    given = 0

    def read(self, size: int = -1) -> bytes:
        assert size >= 0
        self.given += size
        return b"#" * size


class TestApply:
    def test_a_new_resource_gets_a_file_named_after_it(self, config: Path, tmp_path: Path) -> None:
        result = run(["apply", "-f", given(tmp_path, f"# mine\n{BLOG}")])
        assert (result.exit_code, result.stdout) == (0, f"{BLOG_NAME} created\n")
        assert "no dockerv6 is running" in result.stderr
        (file,) = config.iterdir()
        assert file.name == "ipv6network-blog.yaml"
        header, _, body = file.read_text().partition("\n")
        assert header.startswith("# Written by dockerv6 apply -f")
        assert body == f"# mine\n{BLOG}"
        assert file.stat().st_mode & 0o777 == 0o644

    def test_applying_again_changes_nothing_and_a_change_replaces_it(self, config: Path, tmp_path: Path) -> None:
        run(["apply", "-f", given(tmp_path, f"# mine\n{BLOG}")])
        before = (config / "ipv6network-blog.yaml").stat()
        assert run(["apply", "-f", given(tmp_path, BLOG)]).stdout == f"{BLOG_NAME} unchanged\n"
        assert (config / "ipv6network-blog.yaml").stat() == before
        changed = f"# other\n{BLOG.replace('{}', '{internal: true}')}"
        assert run(["apply", "-f", given(tmp_path, changed)]).stdout == f"{BLOG_NAME} configured\n"
        assert (config / "ipv6network-blog.yaml").read_text().endswith(changed)
        assert [file.name for file in config.iterdir()] == ["ipv6network-blog.yaml"]

    def test_a_file_of_a_person_is_replaced_where_it_is_unless_it_has_comments(
        self, config: Path, tmp_path: Path
    ) -> None:
        file = defined(config, OTHER.replace("shop", "blog"))
        file.chmod(0o600)
        assert run(["apply", "-f", given(tmp_path, BLOG)]).stdout == f"{BLOG_NAME} configured\n"
        assert file.read_text().endswith(BLOG)
        assert file.stat().st_mode & 0o777 == 0o600
        text = f"# why it is internal\n{OTHER.replace('shop', 'blog')}"
        file.write_text(text)
        result = run(["apply", "-f", given(tmp_path, BLOG)])
        assert (result.exit_code, file.read_text()) == (1, text)
        assert "has comments, which would be lost: change it with `dockerv6 edit ipv6network/blog`" in result.stderr
        assert run(["apply", "-f", given(tmp_path, BLOG), "--force"]).exit_code == 0
        assert file.read_text().endswith(BLOG)

    def test_a_comment_that_somebody_added_later_is_not_lost(self, config: Path, tmp_path: Path) -> None:
        run(["apply", "-f", given(tmp_path, BLOG)])
        file = config / "ipv6network-blog.yaml"
        file.write_text(f"{file.read_text()}# added\n")
        result = run(["apply", "-f", given(tmp_path, OTHER.replace("shop", "blog"))])
        assert "has comments" in result.stderr
        assert file.read_text().endswith("# added\n")

    @pytest.mark.parametrize(
        "text",
        [
            f"{OTHER}---\n{BLOG.replace('{}', '{internal: true}')}",
            f"{BLOG.replace('{}', '{internal: true}')}---\napiVersion: v1\nkind: Secret\n",
            f"apiVersion: v1\nkind: List\nitems:\n- {OTHER.replace('shop', 'blog').replace(chr(10), chr(10) + '  ')}",
        ],
        ids=["two-resources", "foreign", "list"],
    )
    def test_a_file_with_other_content_is_refused(self, config: Path, tmp_path: Path, text: str) -> None:
        file = defined(config, text)
        for command in (["apply", "-f", given(tmp_path, BLOG), "--force"], ["delete", "v6net", "blog", "--force"]):
            result = run(command)
            assert (result.exit_code, file.read_text()) == (1, text)
            assert "in a file with other content: change that file, for instance with `dockerv6 edit" in result.stderr

    def test_nothing_is_written_if_one_of_several_is_refused_or_invalid(self, config: Path, tmp_path: Path) -> None:
        defined(config, f"# mine\n{OTHER}")
        both = f"{BLOG}---\n{OTHER.replace('true', 'false')}"
        assert run(["apply", "-f", given(tmp_path, both)]).exit_code == 1
        assert [file.name for file in config.iterdir()] == ["own.yaml"]
        result = run(["apply", "-f", given(tmp_path, f"{BLOG}---\n{OTHER.replace('internal', 'intrnal')}")])
        assert result.exit_code == 1
        assert "did you mean internal?" in result.stderr
        assert [file.name for file in config.iterdir()] == ["own.yaml"]

    def test_many_resources_get_files_of_their_own(self, config: Path, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "x.yaml").write_text(f"{BLOG}---\n{POOL}")
        (tmp_path / "in" / "y.json").write_text(
            '{"apiVersion": "dockerv6.io/v1alpha1", "kind": "IPv6Network", "metadata": {"name": "shop",'
            ' "labels": {"v": "1e3", "o": "0o17", "n": "no"}}, "spec": {"internal": true}}'
        )
        assert run(["apply", "-f", str(tmp_path / "in")]).exit_code == 0
        assert sorted(file.name for file in config.iterdir()) == [
            "ipv6network-blog.yaml",
            "ipv6network-shop.yaml",
            "ipv6pool-blog.yaml",
        ]
        assert run(["validate", str(config), "--strict"]).exit_code == 0
        assert run(["apply", "-f", str(tmp_path / "in")]).stdout.count("unchanged") == 3

    def test_standard_input_and_the_output_of_get(self, config: Path, running: Daemon) -> None:
        running.accept(stored(spec={"internal": True}, labels={"app": "x"}))
        text = run(["get", "v6net", "blog", "-o", "yaml"]).stdout
        result = run(["apply", "-f", "-"], input=text)
        assert result.stdout == f"{BLOG_NAME} created\n"
        assert "no dockerv6 is running" not in result.stderr
        assert "status" not in (config / "ipv6network-blog.yaml").read_text()
        assert run(["validate", str(config), "--strict"]).exit_code == 0

    @pytest.mark.parametrize("option", ["--dry-run", "--dry-run=client", "--dry-run=server"])
    def test_a_dry_run_writes_nothing(self, config: Path, tmp_path: Path, option: str) -> None:
        assert run(["apply", "-f", given(tmp_path, BLOG), option]).stdout == f"{BLOG_NAME} created (dry run)\n"
        assert not config.exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["-f", "https://example.com/x.yaml"], "is not fetched; download it, look at it, and name the file"),
            (["--force"], "belong to -f"),
            (["--dry-run"], "`dockerv6 plan` shows"),
            (["-f", "-", "--dry-run=maybe"], "'maybe' is none of none, client and server"),
        ],
    )
    def test_wrong_usage(self, config: Path, arguments: list[str], message: str) -> None:
        result = run(["apply", *arguments], input="")
        assert result.exit_code == 2
        assert message in result.stderr
        assert not config.exists()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "there is no resource in"),
            ("x: y\n", "there is no resource in"),
            ("{", "there is no resource in"),
            ("dockerv6: {", "errors (1), so no resource was used; correct them"),
            ("\0", "error"),
        ],
    )
    def test_bad_files(self, config: Path, tmp_path: Path, text: str, message: str) -> None:
        result = run(["apply", "-f", given(tmp_path, text)])
        assert result.exit_code == 1
        assert message in result.stderr
        assert not config.exists()

    def test_a_path_that_is_not_there(self, config: Path) -> None:
        result = run(["apply", "-f", "/nowhere.yaml"])
        assert (result.exit_code, config.exists()) == (1, False)
        assert "/nowhere.yaml" in result.stderr

    @pytest.mark.parametrize("more", ["", "pipe2"], ids=["one", "two"])
    def test_a_named_pipe_is_read_once_and_its_comments_stay(self, config: Path, tmp_path: Path, more: str) -> None:
        texts = {"pipe": f"# mine\n{BLOG}", **({more: OTHER} if more else {})}
        for name in texts:
            os.mkfifo(tmp_path / name)
        writers = [threading.Thread(target=(tmp_path / n).write_text, args=(text,)) for n, text in texts.items()]
        for writer in writers:
            writer.start()
        result = run(["apply", *(f"-f{tmp_path / name}" for name in texts)])
        for writer in writers:
            writer.join()
        assert (result.exit_code, result.stdout.count("created")) == (0, len(texts))
        assert (config / "ipv6network-blog.yaml").read_text().endswith(f"# mine\n{BLOG}")

    @pytest.mark.parametrize("where", ["file", "stdin"])
    def test_what_is_written_is_what_was_checked(
        self, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
    ) -> None:
        """A file may change behind our back, and standard input can be read once."""
        source = given(tmp_path, BLOG)

        def then_changed(*arguments: Any, **named: Any) -> Snapshot:
            snapshot = load_paths(*arguments, **named)
            Path(source).write_text(OTHER)
            return snapshot

        monkeypatch.setattr(manifests, "load_paths", then_changed)
        result = run(["apply", "-f", "-" if where == "stdin" else source], input=BLOG if where == "stdin" else None)
        assert (result.exit_code, result.stdout) == (0, f"{BLOG_NAME} created\n")
        assert (config / "ipv6network-blog.yaml").read_text().endswith(BLOG)

    @pytest.mark.parametrize("where", ["stdin", "file", "pipe"])
    def test_what_is_too_large_is_an_error(self, config: Path, tmp_path: Path, where: str) -> None:
        text = f"{BLOG}# {'x' * MAX_BYTES}"
        source, writer = {"stdin": "-", "file": given(tmp_path, text), "pipe": str(tmp_path / "pipe")}[where], None
        if where == "pipe":
            os.mkfifo(source)
            writer = threading.Thread(target=endless, args=(source,))
            writer.start()
        result = run(["apply", "-f", source], input=text if where == "stdin" else None)
        if writer is not None:
            writer.join()
        assert (result.exit_code, config.exists()) == (1, False)
        assert "is larger than 4 MiB" in result.stderr

    def test_an_endless_standard_input_is_not_read_to_its_end(self, config: Path) -> None:
        """A regular file has an end; what a program writes may have none."""
        source = Endless()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(manifests, "sys", SimpleNamespace(stdin=SimpleNamespace(buffer=source)))
            result = run(["apply", "-f", "-"])
        assert (result.exit_code, config.exists()) == (1, False)
        assert "<stdin>:1:1: error: the file is larger than 4 MiB" in result.stderr
        assert source.given == MAX_BYTES + 1

    def test_a_copy_of_what_was_written_has_one_header(self, config: Path, tmp_path: Path) -> None:
        run(["apply", "-f", given(tmp_path, BLOG)])
        file = config / "ipv6network-blog.yaml"
        for value in ("true", "false"):
            copy = file.read_text().replace("{}", "{internal: true}").replace("true", value)
            assert run(["apply", "-f", given(tmp_path, copy)]).exit_code == 0
            assert file.read_text().count("# Written by") == 1
        header, new = file.read_text().partition("\n")[0], OTHER.replace("shop", "blog")
        assert run(["apply", "-f", given(tmp_path, f"{header}\n{header}\n# mine\n{new}")]).exit_code == 0
        assert file.read_text().partition("\n")[2] == f"# mine\n{new}"

    @pytest.mark.parametrize("label", ["x", "#x"])
    def test_a_json_file_stays_json(self, config: Path, tmp_path: Path, label: str) -> None:
        content = {
            "apiVersion": "dockerv6.io/v1alpha1",
            "kind": "IPv6Network",
            "metadata": {"name": "blog", "annotations": {"note": label}},
        }
        file = defined(config, json.dumps(content), "own.json")
        for text in (f"# why\n{BLOG}", OTHER.replace("shop", "blog")):
            result = run(["apply", "-f", given(tmp_path, text)])
            assert (result.exit_code, result.stdout) == (0, f"{BLOG_NAME} configured\n")
            assert json.loads(file.read_text())["metadata"] == {"name": "blog"}
        assert json.loads(file.read_text())["spec"] == {"internal": True}
        assert run(["validate", str(config), "--strict"]).exit_code == 0

    @pytest.mark.parametrize("word", ["client", "true", "false"])
    def test_an_option_without_an_equals_sign_takes_no_word(self, config: Path, tmp_path: Path, word: str) -> None:
        file = defined(config, BLOG)
        defined(config, BLOG.replace("blog", f"'{word}'"), "word.yaml")
        result = run(["delete", "--dry-run", "v6net", word, "blog", "--wait"])
        assert (result.exit_code, result.stdout.count("deleted (dry run)")) == (0, 2)
        assert run(["delete", "v6net", "--wait", "blog"]).exit_code == 0
        assert (file.exists(), (config / "word.yaml").exists()) == (False, True)
        assert run(["apply", "--dry-run", "-f", given(tmp_path, BLOG)]).stdout == f"{BLOG_NAME} created (dry run)\n"

    def test_a_file_in_the_way_is_not_overwritten(self, config: Path, tmp_path: Path) -> None:
        file = defined(config, "# notes\n", "ipv6network-blog.yaml")
        result = run(["apply", "-f", given(tmp_path, BLOG), "--force"])
        assert (result.exit_code, file.read_text()) == (1, "# notes\n")
        assert "exists and does not define blog: rename or remove it" in result.stderr


class TestManagedSources:
    """What another program keeps up is changed at its source."""

    def test_a_git_repository_is_refused(self, config: Path, tmp_path: Path) -> None:
        subprocess.run(["git", "init", "--quiet", str(config)], check=True)
        result = run(["apply", "-f", given(tmp_path, BLOG)])
        assert result.exit_code == 1
        assert f"in the Git repository {config}: change it there, and commit the change" in result.stderr
        file = defined(config, BLOG)
        assert "Git repository" in run(["delete", "v6net", "blog"]).stderr
        assert "Git repository" in run(["edit", "v6net", "blog"]).stderr
        assert file.exists()

    @pytest.mark.parametrize("how", ["below", "relative", "dots", "behind a link"])
    def test_a_directory_that_does_not_exist_yet_in_a_git_repository(
        self, tmp_path: Path, daemon: Daemon, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        assert daemon
        repository = tmp_path / "repository"
        subprocess.run(["git", "init", "--quiet", str(repository)], check=True)
        (repository / "sub").mkdir()
        (tmp_path / "link").symlink_to(repository / "sub")
        monkeypatch.chdir(repository / "sub")
        monkeypatch.setenv(
            "DOCKERV6_CONFIG_DIR",
            {
                "below": str(repository / "new" / "deep"),
                "relative": "new/deep",
                "dots": "../new",
                "behind a link": str(tmp_path / "link" / "new"),
            }[how],
        )
        result = run(["apply", "-f", given(tmp_path, BLOG)])
        assert result.exit_code == 1
        assert f"in the Git repository {repository}: change it there" in result.stderr
        assert sorted(path.name for path in repository.iterdir()) == [".git", "sub"]

    def test_the_links_of_git_sync_are_refused(self, config: Path, tmp_path: Path) -> None:
        (tmp_path / "worktree").mkdir()
        (tmp_path / "worktree" / "blog.yaml").write_text(BLOG)
        config.mkdir()
        (config / "current").symlink_to("../worktree")
        for command in (["delete", "v6net", "blog"], ["apply", "-f", given(tmp_path, OTHER.replace("shop", "blog"))]):
            result = run(command)
            assert result.exit_code == 1
            assert f"behind the link {config / 'current'}, which another program keeps up" in result.stderr

    def test_a_directory_that_the_daemon_does_not_read_is_refused(
        self, config: Path, tmp_path: Path, running: Daemon
    ) -> None:
        file, other = defined(config, BLOG), tmp_path / "theirs"
        running.reads(other, tmp_path / "config2", running.directory / "git" / "x" / "current")
        new = given(tmp_path, OTHER)
        for command in (["apply", "-f", new], ["delete", "v6net", "blog"], ["edit", "v6net", "blog"]):
            result = run(command)
            assert result.exit_code == 1
            assert f"would have no effect: the running dockerv6 reads {tmp_path}/config2, {other};" in result.stderr
        assert list(config.iterdir()) == [file]

    @pytest.mark.parametrize("how", ["same", "below", "link", "identity"])
    def test_a_directory_that_the_daemon_reads_by_another_path(
        self, config: Path, tmp_path: Path, running: Daemon, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        config.mkdir()
        status = config.stat()
        if how == "link":
            (tmp_path / "link").symlink_to(config)
            monkeypatch.setenv("DOCKERV6_CONFIG_DIR", str(tmp_path / "link" / ".." / "config"))
        running.reads(
            {"below": tmp_path, "identity": Path("/in/a/container")}.get(how, config),
            identity=f"{status.st_dev}:{status.st_ino}" if how == "identity" else "0:0",
        )
        assert run(["apply", "-f", given(tmp_path, BLOG)]).exit_code == 0
        assert [file.name for file in config.iterdir()] == ["ipv6network-blog.yaml"]

    def test_a_single_file_as_source_takes_no_new_resource(
        self, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DOCKERV6_CONFIG_DIR", str(defined(config, BLOG)))
        result = run(["apply", "-f", given(tmp_path, OTHER)])
        assert "is a file: name a directory as first --config-dir" in result.stderr


def test_a_read_only_file_system_has_a_remedy(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, os.strerror(30), str(config))

    config.mkdir()
    monkeypatch.setattr("tempfile.mkstemp", read_only)
    result = run(["apply", "-f", given(tmp_path, BLOG)])
    assert result.exit_code == 1
    assert "is read-only: change the file where it comes from" in result.stderr


def test_closed_standard_input(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dockerv6.cli.manifests.sys", SimpleNamespace(stdin=None))
    result = run(["apply", "-f", "-"])
    assert (result.exit_code, config.exists()) == (2, False)
    assert "standard input is closed" in result.stderr
