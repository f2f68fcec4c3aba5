"""Completion, as the shells ask for it. bash is run; zsh and fish are asked for with their variables."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.harness import Daemon, run, stored

BIN = Path(sys.executable).parent


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script(shell: str) -> None:
    result = run(["completion", shell])
    assert result.exit_code == 0
    assert f"_DOCKERV6_COMPLETE={shell}_complete" in result.stdout
    assert result.stderr == ""


def test_the_default_shell_is_that_of_the_user() -> None:
    assert "_DOCKERV6_COMPLETE=zsh_complete" in run(["completion"], env={"SHELL": "/usr/bin/zsh"}).stdout
    assert run(["completion"], env={"SHELL": "/bin/dash"}).exit_code == 2


LINES = [
    ("dockerv6 exp", ["explain"]),
    ("dockerv6 get v6net --sh", ["--show-labels", "--show-kind"]),
    ("dockerv6 get ipv6n", ["ipv6networks"]),
    ("dockerv6 get v6net ", ["blog", "shop"]),
    ("dockerv6 describe v6net/b", ["v6net/blog"]),
    ("dockerv6 delete v6net/b", ["v6net/blog"]),
    ("dockerv6 suspend v6net s", ["shop"]),
    ("dockerv6 get v6net -o custom-columns", ["custom-columns=", "custom-columns-file="]),
    ("dockerv6 get v6net -o j", ["json", "jsonpath=", "jsonpath-as-json=", "jsonpath-file="]),
    ("dockerv6 wait v6net/blog --for condition=R", ["condition=Ready", "condition=Reconciling"]),
    ("dockerv6 wait v6net/blog --for de", ["delete"]),
    ("dockerv6 explain v6net.spec.eg", ["v6net.spec.egress"]),
    ("dockerv6 validate -o g", ["github", "gitlab"]),
]


def completed_by_bash(daemon: Daemon, line: str) -> list[str]:
    """What bash would insert in place of the last word, which it divides at ``=`` and ``:``."""
    script = (
        "complete() { :; }; source <(dockerv6 completion bash); compopt() { :; }\n"
        'COMP_LINE="$1"; COMP_POINT=${#1}; _dockerv6_completion dockerv6\n'
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", line],
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "DOCKERV6_STATE_DIR": str(daemon.directory)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def _resources(daemon: Daemon) -> None:
    daemon.accept(stored("blog"), stored("shop"))


@pytest.mark.usefixtures("_resources")
@pytest.mark.parametrize(("line", "words"), LINES)
def test_bash(daemon: Daemon, line: str, words: list[str]) -> None:
    before = line.rpartition(" ")[2].rpartition("=")[0]
    whole = [f"{before}={word}" if before else word for word in completed_by_bash(daemon, line)]
    assert whole == words


@pytest.mark.usefixtures("_resources")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dockerv6 wait v6net/blog --for=condition=R", ["Ready", "Reconciling"]),
        ("dockerv6 wait v6net/blog --for=", [*[f"condition={name}" for name in ("Ready", "Reconciling")]]),
        ("dockerv6 get v6net --output=cust", ["custom-columns=", "custom-columns-file="]),
    ],
)
def test_bash_completes_behind_equals_signs(daemon: Daemon, line: str, words: list[str]) -> None:
    assert completed_by_bash(daemon, line)[: len(words)] == words


@pytest.mark.usefixtures("_resources")
@pytest.mark.parametrize(("line", "words"), [*LINES, ("dockerv6 wait x --for=de", ["--for=delete"])])
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_zsh_and_fish(daemon: Daemon, shell: str, line: str, words: list[str]) -> None:
    *before, last = line.split(" ")
    current = last if shell == "fish" else str(len(before))
    done = subprocess.run(
        [BIN / "dockerv6"],
        env={
            **os.environ,
            "DOCKERV6_STATE_DIR": str(daemon.directory),
            "_DOCKERV6_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": current,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    found = [each.partition(",")[2].partition("\t")[0] for each in lines] if shell == "fish" else lines[1::3]
    assert found == words
