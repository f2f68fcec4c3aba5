"""The CI gates of manifests/ci: their shell is run here as the CI systems run it."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GOOD = "apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {name: blog}\n"
WRONG = GOOD + "spec: {egres: {}}\n"
ODD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: dockerv6}\n"  # a warning


def run(
    script: str, directory: Path, environment: Mapping[str, str], *, interpreter: str = "bash"
) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        (interpreter, "-e", "-c", script),
        cwd=directory,
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def github(directory: Path, **given: str) -> subprocess.CompletedProcess[str]:
    """Run the steps of the action with its inputs, by the rules of a composite action."""
    action = yaml.safe_load((ROOT / "manifests/ci/action.yaml").read_text())
    inputs = {name: each["default"] for name, each in action["inputs"].items()} | given
    done = None
    for step in action["runs"]["steps"]:
        assert "${{" not in step["run"], "an expression in a script lets an input inject commands"
        environment = {
            name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda found: inputs[found[1]], value)
            for name, value in step["env"].items()
        }
        done = run(step["run"], directory, environment, interpreter=step["shell"])
        if done.returncode:
            break
    assert done is not None
    return done


@pytest.mark.parametrize(
    ("content", "strict", "code"),
    [(GOOD, "true", 0), (WRONG, "false", 1), (GOOD + "---\n" + ODD, "false", 0), (GOOD + "---\n" + ODD, "true", 1)],
)
def test_the_github_action_fails_when_validation_does(tmp_path: Path, content: str, strict: str, code: int) -> None:
    (tmp_path / "hosts $(touch x)").mkdir()
    (tmp_path / "hosts $(touch x)" / "blog.yaml").write_text(content)
    done = github(tmp_path, path="hosts $(touch x)", strict=strict)
    assert done.returncode == code, done.stderr
    commands = [line.partition(" file=")[0] for line in done.stdout.splitlines() if line.startswith("::")]
    assert commands == ([] if content == GOOD else ["::error"] if content == WRONG else ["::warning"])
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("content", "code"), [(GOOD, 0), (WRONG, 1)])
def test_the_gitlab_job_writes_its_report_and_fails_when_validation_does(
    tmp_path: Path, content: str, code: int
) -> None:
    job = yaml.safe_load((ROOT / "manifests/ci/gitlab.yaml").read_text())["dockerv6-validate"]
    (tmp_path / "blog.yaml").write_text(content)
    done = run("\n".join(job["script"]), tmp_path, job["variables"], interpreter="sh")
    assert done.returncode == code, done.stderr
    assert job["artifacts"]["reports"]["codequality"] == job["variables"]["REPORT"]
    report = json.loads((tmp_path / job["variables"]["REPORT"]).read_text())
    found = [(each["severity"], each["location"]["path"], each["location"]["lines"]["begin"]) for each in report]
    assert found == ([] if code == 0 else [("major", "blog.yaml", 4)])


@pytest.mark.parametrize(("content", "code"), [(GOOD, 0), (WRONG, 1)])
def test_the_pre_commit_hook_takes_the_names_of_files(tmp_path: Path, content: str, code: int) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (tmp_path / "a b.yaml").write_text(content)
    done = run(f"{hook['entry']} {shlex.quote('a b.yaml')}", tmp_path, {})
    assert done.returncode == code, done.stderr
