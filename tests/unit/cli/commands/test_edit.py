"""``edit``: what was written is in the file, or in a copy."""

import os
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from dockerv6.cli.commands import edit
from tests.unit.cli.harness import BLOG, BLOG_NAME, OTHER, defined, run


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
        assert (result.exit_code, result.stdout) == (0, f"{BLOG_NAME} edited\n")
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

    def test_an_editor_that_is_being_started_is_ended_too(self, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        started: list[subprocess.Popen[bytes]] = []

        class Starting(subprocess.Popen[bytes]):
            def __init__(self, _: object) -> None:
                super().__init__(["sleep", "600"])
                started.append(self)
                os.kill(os.getpid(), signal.SIGTERM)

        monkeypatch.setattr(subprocess, "Popen", Starting)
        defined(config, BLOG)
        result = run(["edit", "v6net", "blog"])
        assert (result.exit_code, result.stderr) == (1, "Error: ended by SIGTERM: nothing was changed\n")
        assert [each.returncode for each in started] == [-signal.SIGTERM]

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
