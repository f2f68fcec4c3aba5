"""``apply -f``, ``delete`` and ``edit``: what happens to the files of people."""

import io
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dockerv6.cli import manifests
from dockerv6.cli.commands import edit
from dockerv6.cli.state import POLL_INTERVAL
from dockerv6.source.files import MAX_BYTES
from dockerv6.source.model import Snapshot
from tests.unit.cli.harness import NOW, Daemon, FakeTime, condition, ready, run, stored

BLOG = "apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {name: blog}\nspec: {}\n"
OTHER = BLOG.replace("blog", "shop").replace("spec: {}", "spec: {internal: true}")
POOL = "apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Pool\nmetadata: {name: blog}\nspec: {generate: ULA}\n"
NAME = "ipv6network.dockerv6.io/blog"


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


@pytest.fixture
def config(tmp_path: Path, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration directory that the command line uses, which does not exist yet."""
    assert daemon
    directory = tmp_path / "config"
    monkeypatch.setenv("DOCKERV6_CONFIG_DIR", str(directory))
    return directory


def given(tmp_path: Path, text: str, name: str = "given.yaml") -> str:
    """A file for ``-f``."""
    file = tmp_path / name
    file.write_text(text)
    return str(file)


def defined(config: Path, text: str, name: str = "own.yaml") -> Path:
    """A file that a person wrote into the configuration directory."""
    config.mkdir(exist_ok=True)
    file = config / name
    file.write_text(text)
    return file


class TestApply:
    def test_a_new_resource_gets_a_file_named_after_it(self, config: Path, tmp_path: Path) -> None:
        result = run(["apply", "-f", given(tmp_path, f"# mine\n{BLOG}")])
        assert (result.exit_code, result.stdout) == (0, f"{NAME} created\n")
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
        assert run(["apply", "-f", given(tmp_path, BLOG)]).stdout == f"{NAME} unchanged\n"
        assert (config / "ipv6network-blog.yaml").stat() == before
        changed = f"# other\n{BLOG.replace('{}', '{internal: true}')}"
        assert run(["apply", "-f", given(tmp_path, changed)]).stdout == f"{NAME} configured\n"
        assert (config / "ipv6network-blog.yaml").read_text().endswith(changed)
        assert [file.name for file in config.iterdir()] == ["ipv6network-blog.yaml"]

    def test_a_file_of_a_person_is_replaced_where_it_is_unless_it_has_comments(
        self, config: Path, tmp_path: Path
    ) -> None:
        file = defined(config, OTHER.replace("shop", "blog"))
        file.chmod(0o600)
        assert run(["apply", "-f", given(tmp_path, BLOG)]).stdout == f"{NAME} configured\n"
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
        assert result.stdout == f"{NAME} created\n"
        assert "no dockerv6 is running" not in result.stderr
        assert "status" not in (config / "ipv6network-blog.yaml").read_text()
        assert run(["validate", str(config), "--strict"]).exit_code == 0

    @pytest.mark.parametrize("option", ["--dry-run", "--dry-run=client", "--dry-run=server"])
    def test_a_dry_run_writes_nothing(self, config: Path, tmp_path: Path, option: str) -> None:
        assert run(["apply", "-f", given(tmp_path, BLOG), option]).stdout == f"{NAME} created (dry run)\n"
        assert not config.exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["-f", "https://example.com/x.yaml"], "is not fetched; download it"),
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
            ("dockerv6: {", "errors (1), so nothing was changed"),
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
        load = manifests.load_paths

        def then_changed(*arguments: Any, **named: Any) -> Snapshot:
            snapshot = load(*arguments, **named)
            Path(source).write_text(OTHER)
            return snapshot

        monkeypatch.setattr(manifests, "load_paths", then_changed)
        result = run(["apply", "-f", "-" if where == "stdin" else source], input=BLOG if where == "stdin" else None)
        assert (result.exit_code, result.stdout) == (0, f"{NAME} created\n")
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
            assert (result.exit_code, result.stdout) == (0, f"{NAME} configured\n")
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
        assert run(["apply", "--dry-run", "-f", given(tmp_path, BLOG)]).stdout == f"{NAME} created (dry run)\n"

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
        running.reads(other, tmp_path / "config2")
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


class TestDelete:
    def test_the_file_is_removed(self, config: Path) -> None:
        file = defined(config, BLOG)
        result = run(["delete", "v6net", "blog"])
        assert (result.exit_code, result.stdout) == (0, f"{NAME} deleted\n")
        assert str(file) in result.stderr
        assert "no dockerv6 is running" in result.stderr
        assert not file.exists()

    def test_it_waits_for_the_daemon(self, config: Path, running: Daemon) -> None:
        defined(config, BLOG)
        running.accept(stored())
        time = FakeTime(lambda: None, lambda: running.remove("IPv6Network", "blog"))
        assert run(["delete", "v6net/blog"], time).exit_code == 0
        assert time.elapsed > 0.3

    def test_a_deletion_that_takes_too_long_says_why(self, config: Path, running: Daemon) -> None:
        defined(config, BLOG)
        running.accept(stored(deleting_since=1.0, status=ready("False", reason="EndpointsAttached")))
        result = run(["delete", "v6net/blog", "--timeout=1s"])
        assert result.exit_code == 1
        assert "it is being deleted; Ready=False (EndpointsAttached)" in result.stderr
        defined(config, BLOG)
        assert run(["delete", "v6net/blog", "--wait=false"]).exit_code == 0

    def test_it_waits_as_long_as_it_takes_and_says_why_once_the_grace_period_is_over(
        self, config: Path, running: Daemon
    ) -> None:
        defined(config, BLOG)
        running.accept(stored(missing_since=NOW))
        attached = stored(deleting_since=NOW, status=ready("False", reason="EndpointsAttached"))

        def after(seconds: float, action: Callable[[], None]) -> list[Callable[[], None]]:
            return [lambda: None] * int(seconds / POLL_INTERVAL) + [action]

        time = FakeTime(
            *after(4, lambda: running.accept(attached)),
            *after(400, lambda: running.remove("IPv6Network", "blog")),
        )
        result = run(["delete", "v6net/blog"], time)
        assert (result.exit_code, time.elapsed > 400) == (0, True)
        said = [line for line in result.stderr.splitlines() if line.startswith("waiting for")]
        assert said == ["waiting for ipv6network/blog: it is being deleted; Ready=False (EndpointsAttached): so it is"]

    def test_a_source_that_is_doubted_is_the_reason(self, config: Path, running: Daemon) -> None:
        defined(config, BLOG)
        running.accept(stored(problem="the directory is empty; the resource is kept"))
        result = run(["delete", "v6net/blog", "--timeout=20s"])
        assert result.exit_code == 1
        assert result.stderr.count("waiting for ipv6network/blog: the directory is empty; the resource is kept\n") == 1

    @pytest.mark.parametrize(
        ("meanwhile", "message"),
        [
            (
                {
                    "missing_since": NOW,
                    "status": {"conditions": [condition("PruneHeld", "True", "PruneHeld", "run `dockerv6 prune`")]},
                },
                "ipv6network/blog is not deleted: run `dockerv6 prune`",
            ),
            ({"file": "/srv/x.yaml", "line": 7}, "is not deleted: it is also defined at /srv/x.yaml:7"),
        ],
        ids=["prune-guard", "another-file"],
    )
    def test_a_wait_that_would_never_end_ends(
        self, config: Path, running: Daemon, meanwhile: dict[str, object], message: str
    ) -> None:
        file = defined(config, BLOG)
        running.accept(stored())
        time = FakeTime(lambda: None, lambda: running.accept(replace(stored(), **meanwhile)))  # type: ignore[arg-type]
        result = run(["delete", "v6net/blog"], time)
        assert (result.exit_code, file.exists()) == (1, False)
        assert message in result.stderr

    @pytest.mark.parametrize("option", ["--wait", "--wait=false"])
    def test_a_daemon_that_does_not_prune(self, config: Path, running: Daemon, option: str) -> None:
        defined(config, BLOG)
        running.accept(stored())
        running.reads(config, prune=False)
        result = run(["delete", "v6net/blog", option])
        assert result.exit_code == 1
        assert "runs with --no-prune: the files are removed, and networks and rules stay" in result.stderr

    @pytest.mark.parametrize("more", ["", "spec: {nope: 1}\n"], ids=["valid", "invalid"])
    def test_what_two_files_define_is_refused(self, config: Path, more: str) -> None:
        files = [
            defined(config, BLOG.replace("spec: {}\n", more if name == "two.yaml" else "spec: {}\n"), name)
            for name in ("one.yaml", "two.yaml")
        ]
        result = run(["delete", "v6net/blog"])
        assert (result.exit_code, [file.exists() for file in files]) == (1, [True, True])
        assert f"is defined at {files[0]}:1:1 and at {files[1]}:1:1, so it would not be deleted" in result.stderr

    @pytest.mark.parametrize("option", ["--wait=false", "--dry-run"])
    def test_what_is_suspended_is_refused(self, config: Path, daemon: Daemon, option: str) -> None:
        files = [defined(config, text, name) for name, text in (("a.yaml", BLOG), ("b.yaml", OTHER))]
        daemon.accept(stored(), stored("shop"))
        daemon.suspend("shop")
        daemon.suspend("gone")
        result = run(["delete", "v6net", "blog", "shop", option])
        assert (result.exit_code, [file.exists() for file in files]) == (1, [True, True])
        assert "ipv6network/shop is suspended: run `dockerv6 resume ipv6network/shop` first" in result.stderr
        assert run(["delete", "v6net", "blog", option]).exit_code == 0

    def test_comments_need_force(self, config: Path) -> None:
        file = defined(config, f"{BLOG}# why\n")
        result = run(["delete", "v6net", "blog"])
        assert (result.exit_code, file.exists()) == (1, True)
        assert "has comments, which would be lost: copy the file, then repeat with --force" in result.stderr
        assert run(["delete", "v6net", "blog", "--force"]).exit_code == 0
        assert not file.exists()

    def test_what_a_file_names_and_what_labels_select(self, config: Path, tmp_path: Path) -> None:
        for number in range(3):
            text = BLOG.replace("{name: blog}", f"{{name: n{number}, labels: {{app: {'x' if number else 'y'}}}}}")
            defined(config, text, f"n{number}.yaml")
        assert run(["delete", "v6net", "-l", "app=x", "--dry-run"]).stdout.count("deleted (dry run)") == 2
        assert len(list(config.iterdir())) == 3
        assert run(["delete", "v6net", "-l", "app=x"]).stdout.count("deleted") == 2
        assert run(["delete", "-f", given(tmp_path, BLOG.replace("blog", "n0"))]).exit_code == 0
        assert list(config.iterdir()) == []
        assert run(["delete", "v6net", "--all"]).stderr == "No resources found\n"

    def test_an_invalid_resource_can_be_deleted(self, config: Path) -> None:
        file = defined(config, BLOG.replace("spec: {}", "spec: {nope: 1}"))
        assert run(["delete", "v6net", "blog"]).exit_code == 0
        assert not file.exists()

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({}, "is in no file of"),
            ({"deleting_since": 1.0}, "is being deleted"),
            ({"file": ""}, "was made by dockerv6"),
            (None, 'ipv6networks "blog" not found'),
        ],
    )
    def test_a_resource_without_a_file(
        self, config: Path, daemon: Daemon, fields: dict[str, object] | None, message: str
    ) -> None:
        assert not config.exists()
        if fields is not None:
            daemon.accept(replace(stored(), **fields))  # type: ignore[arg-type]
        result = run(["delete", "v6net", "blog"])
        assert result.exit_code == 1
        assert message in result.stderr
        assert run(["delete", "v6net", "blog", "--ignore-not-found"]).exit_code == 0

    @pytest.mark.parametrize(
        "arguments", ["", "v6net", "v6net blog -f x", "v6net blog --all", "v6net --all -l a=b", "nope blog"]
    )
    def test_wrong_usage(self, config: Path, arguments: str) -> None:
        file = defined(config, BLOG)
        assert run(["delete", *arguments.split()]).exit_code == 2
        assert file.exists()


class TestEdit:
    """The editor is a program that writes texts, one after the other."""

    @pytest.fixture
    def editor(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        script, shown, texts = tmp_path / "editor", tmp_path / "shown", tmp_path / "texts"
        texts.mkdir()
        script.write_text(
            f'#!/bin/sh\ncp "$2" {shown}.$(ls {shown}.* 2>/dev/null | wc -l)\n'
            f"next=$(ls {texts} | head -1)\n"
            f'[ -z "$next" ] || {{ cp {texts}/$next "$2"; rm {texts}/$next; }}\n'
        )
        script.chmod(0o755)
        monkeypatch.setenv("EDITOR", "false")
        monkeypatch.setenv("KUBE_EDITOR", f"{script} --wait")

        def will_write(*contents: str) -> None:
            for number, content in enumerate(contents):
                (texts / str(number)).write_text(content)

        return SimpleNamespace(
            will_write=will_write, shown=lambda number: Path(f"{shown}.{number}").read_text(), texts=texts
        )

    def test_the_whole_file_is_edited_and_its_comments_stay(self, config: Path, editor: SimpleNamespace) -> None:
        file = defined(config, f"# top\n{BLOG}---\n{OTHER}")
        file.chmod(0o640)
        new = file.read_text().replace("spec: {}", "spec: {internal: true} # now")
        editor.will_write(new)
        result = run(["edit", "v6net", "blog"])
        assert (result.exit_code, result.stdout) == (0, f"{NAME} edited\n")
        assert file.read_text() == new
        assert file.stat().st_mode & 0o777 == 0o640
        first, _, rest = editor.shown(0).partition("\n")
        assert first.startswith(f"#| dockerv6: {file}; these lines are removed.")
        assert rest == f"# top\n{BLOG}---\n{OTHER}"

    def test_an_invalid_file_is_opened_again_with_the_errors(self, config: Path, editor: SimpleNamespace) -> None:
        file = defined(config, BLOG)
        bad = BLOG.replace("spec: {}", "spec: {intrnal: true}")
        editor.will_write(bad, BLOG.replace("spec: {}", "spec: {internal: true}"))
        assert run(["edit", "ipv6network/blog"]).exit_code == 0
        lines = editor.shown(1).splitlines()
        assert lines[0] == "#| dockerv6: Invalid; correct it, or empty the file to cancel:"
        assert lines[1].startswith(f"#| dockerv6: {file}:6:8: error: spec.intrnal: unknown field 'intrnal'")
        assert lines[5] == "spec: {intrnal: true}"  # line 6
        assert "internal" in file.read_text()

    @pytest.mark.parametrize("text", [None, "", "\n", "#| dockerv6: nothing else\n"])
    def test_nothing_happens_if_it_is_unchanged_or_emptied(
        self, config: Path, editor: SimpleNamespace, text: str | None
    ) -> None:
        file = defined(config, BLOG)
        if text is not None:
            editor.will_write(text)
        result = run(["edit", "v6net", "blog"])
        assert (result.exit_code, result.stderr) == (0, "Edit cancelled, no changes made.\n")
        assert file.read_text() == BLOG

    def test_what_stays_invalid_is_kept_elsewhere(self, config: Path, editor: SimpleNamespace) -> None:
        file = defined(config, BLOG)
        editor.will_write("nonsense: [\n")
        result = run(["edit", "v6net", "blog"])
        assert (result.exit_code, file.read_text()) == (1, BLOG)
        kept = Path(result.stderr.strip().rpartition(" ")[2])
        assert kept.read_text() == "nonsense: [\n"
        kept.unlink()

    def test_a_resource_that_is_edited_away_is_an_error(self, config: Path, editor: SimpleNamespace) -> None:
        file = defined(config, BLOG)
        editor.will_write(OTHER)
        result = run(["edit", "v6net", "blog"])
        assert (result.exit_code, file.read_text()) == (1, BLOG)
        assert "IPv6Network blog is missing; `dockerv6 delete` deletes it" in editor.shown(1)
        Path(result.stderr.strip().rpartition(" ")[2]).unlink()

    def test_a_change_by_somebody_else_is_not_lost(
        self, config: Path, editor: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = defined(config, BLOG)
        editor.will_write(BLOG.replace("{}", "{internal: true}"))
        run_editor = edit._run_editor

        def meanwhile(path: Path) -> None:
            run_editor(path)
            file.write_text(f"{BLOG}# theirs\n")

        monkeypatch.setattr(edit, "_run_editor", meanwhile)
        result = run(["edit", "v6net", "blog"])
        assert (result.exit_code, file.read_text()) == (1, f"{BLOG}# theirs\n")
        kept = Path(result.stderr.strip().rpartition(" ")[2])
        assert "internal" in kept.read_text()
        kept.unlink()

    @pytest.mark.parametrize(
        ("command", "message"),
        [
            ("false", "failed with exit code 1"),
            ("/nowhere/vi", "can't be started"),
            ("'", "can't be started"),
        ],
    )
    def test_editors_that_fail(self, config: Path, monkeypatch: pytest.MonkeyPatch, command: str, message: str) -> None:
        file = defined(config, BLOG)
        monkeypatch.setenv("KUBE_EDITOR", command)
        result = run(["edit", "v6net", "blog"])
        assert (result.exit_code, file.read_text()) == (1, BLOG)
        assert message in result.stderr

    @pytest.mark.parametrize(
        ("last", "message"),
        [
            ("exit 3", "failed with exit code 3"),
            ("kill -KILL $$", "failed with exit code -9"),
            ("kill -INT $PPID; kill -QUIT $PPID; exit 1", "failed with exit code 1"),  # the terminal's keys
            ("trap '' TERM; kill -TERM $PPID; exec sleep 600", "ended by SIGTERM"),
            ("kill -HUP $PPID; exec sleep 600", "ended by SIGHUP"),
        ],
    )
    def test_what_was_saved_is_kept_if_the_editor_or_this_program_is_ended(
        self, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str, message: str
    ) -> None:
        monkeypatch.setattr(edit, "_SAVING", 0.1)
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        file, script = defined(config, BLOG), tmp_path / "ends"
        script.write_text(f'#!/bin/sh\necho "# added" >> "$1"\n{last}\n')
        script.chmod(0o755)
        monkeypatch.setenv("KUBE_EDITOR", str(script))
        result = run(["edit", "v6net", "blog"])
        assert (result.exit_code, file.read_text()) == (1, BLOG)
        assert message in result.stderr
        kept = Path(result.stderr.strip().rpartition(" ")[2])
        assert kept.read_text() == f"{BLOG}# added\n"
        kept.unlink()
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers

    def test_the_keys_of_the_terminal_do_not_end_an_edit(
        self, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file, script = defined(config, BLOG), tmp_path / "presses"
        # the editor itself has the default of a signal that this program does not obey: the inner shell is ended
        script.write_text(
            '#!/bin/sh\nkill -INT $PPID; kill -QUIT $PPID\nsh -c "kill -INT \\$\\$" && exit 9\n'
            'sed -i "s/{}/{internal: true}/" "$1"\n'
        )
        script.chmod(0o755)
        monkeypatch.setenv("KUBE_EDITOR", str(script))
        assert run(["edit", "v6net", "blog"]).exit_code == 0
        assert "internal" in file.read_text()

    def test_what_never_becomes_valid_is_kept(
        self, config: Path, editor: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(edit, "_ATTEMPTS", 2)
        file = defined(config, BLOG)
        editor.will_write("one: [\n", "two: [\n")
        result = run(["edit", "v6net", "blog"])
        assert (result.exit_code, file.read_text()) == (1, BLOG)
        kept = Path(result.stderr.strip().rpartition(" ")[2])
        assert kept.read_text() == "two: [\n"
        kept.unlink()

    @pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt(), OSError(28, "No space left")])
    def test_no_failure_loses_what_was_written(
        self,
        config: Path,
        editor: SimpleNamespace,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        error: BaseException,
    ) -> None:
        file, new = defined(config, BLOG), BLOG.replace("{}", "{internal: true}")
        editor.will_write(new)

        def fails(*_: object) -> None:
            raise error

        monkeypatch.setattr(edit, "_errors", fails)
        if isinstance(error, RuntimeError):
            with pytest.raises(RuntimeError):
                edit.command.main(["v6net", "blog"], standalone_mode=False)
            stderr = capsys.readouterr().err
        else:
            stderr = run(["edit", "v6net", "blog"]).stderr
        assert file.read_text() == BLOG
        kept = Path(stderr.strip().rpartition(" ")[2])
        assert kept.read_text() == new
        kept.unlink()

    def test_wrong_usage(self, config: Path) -> None:
        defined(config, BLOG)
        assert run(["edit", "v6net"]).exit_code == 2
        assert run(["edit", "v6net", "a", "b"]).exit_code == 2
        assert 'ipv6networks "nope" not found' in run(["edit", "v6net", "nope"]).stderr


def test_a_read_only_file_system_has_a_remedy(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, os.strerror(30), str(config))

    config.mkdir()
    monkeypatch.setattr("tempfile.mkstemp", read_only)
    result = run(["apply", "-f", given(tmp_path, BLOG)])
    assert result.exit_code == 1
    assert "is read-only: change the resource where it comes from" in result.stderr


def test_closed_standard_input(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dockerv6.cli.manifests.sys", SimpleNamespace(stdin=None))
    result = run(["apply", "-f", "-"])
    assert (result.exit_code, config.exists()) == (2, False)
    assert "standard input is closed" in result.stderr
