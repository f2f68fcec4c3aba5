import json
from pathlib import Path

import pytest

from tests.unit.cli.harness import Daemon, run, stored

GOOD = "apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {name: good}\n"
IGNORED = "dockerv6 writes the status; it is ignored here"
WARNED = GOOD.replace("good", "pasted") + "status: {}\n"
BAD = GOOD.replace("good", "bad") + "spec:\n  egres: {}\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, text in {"good": GOOD, "warned": WARNED, "bad": BAD}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def test_a_valid_file_passes(files: Path) -> None:
    result = run(["validate", str(files / "good.yaml")])
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "1 valid resource in 1 file; 0 errors, 0 warnings\n"


def test_diagnostics_have_positions_and_errors_fail(files: Path) -> None:
    result = run(["validate", str(files)])
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{files}/bad.yaml:5:3: error: spec.egres: unknown field 'egres'; did you mean egress?",
        f"{files}/warned.yaml:4:1: warning: status: {IGNORED}; remove it",
    ]
    assert result.stderr == "2 valid resources in 3 files; 1 error, 1 warning\n"


def test_warnings_fail_only_when_strict(files: Path) -> None:
    assert run(["validate", str(files / "warned.yaml")]).exit_code == 0
    assert run(["validate", "--strict", str(files / "warned.yaml")]).exit_code == 1


def test_as_the_daemon_a_file_that_others_may_write_is_refused(files: Path) -> None:
    path = files / "good.yaml"
    path.chmod(0o666)
    trust = ["--trust-uid", str(path.stat().st_uid)] if path.stat().st_uid else []
    assert run(["validate", str(path)]).exit_code == 0
    result = run(["validate", "--as-daemon", *trust, str(path)])
    assert result.exit_code == 1
    assert f"{path} is writable by other users; run chmod go-w {path}" in result.stdout


def test_standard_input_is_validated(files: Path) -> None:
    result = run(["validate", "-", str(files / "good.yaml")], input=BAD)
    assert result.exit_code == 1
    assert result.stdout.startswith("<stdin>:5:3: error: spec.egres: ")
    assert result.stderr == "1 valid resource in 2 files; 1 error, 0 warnings\n"


def test_without_a_path_the_config_directories_are_checked(files: Path) -> None:
    assert run(["validate", "--config-dir", str(files)]).exit_code == 1
    assert run(["validate"], env={"DOCKERV6_CONFIG_DIR": f"{files}/good.yaml:{files}/warned.yaml"}).exit_code == 0


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    result = run(["validate", str(tmp_path / "nope")])
    assert result.exit_code == 1
    assert "nope" in result.stdout


def test_json_has_the_same_content(files: Path) -> None:
    result = run(["validate", "-o", "json", str(files)])
    shown = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (shown["valid"], shown["errors"], shown["warnings"]) == (False, 1, 1)
    assert [resource["name"] for resource in shown["resources"]] == ["good", "pasted"]
    assert shown["diagnostics"][0] == {
        "file": f"{files}/bad.yaml",
        "line": 5,
        "column": 3,
        "severity": "error",
        "field": "spec.egres",
        "message": "unknown field 'egres'",
        "remedy": "did you mean egress?",
    }


def test_the_output_of_get_is_valid(tmp_path: Path) -> None:
    """The output of ``get -o yaml`` is a valid file."""
    daemon = Daemon(tmp_path)
    daemon.accept(stored("a"), stored("b"))
    for words in (["v6net"], ["v6net", "a"]):
        for form in ("yaml", "json"):
            shown = run(["get", *words, "-o", form, "--state-dir", str(tmp_path)]).stdout
            assert run(["validate", "-"], input=shown).exit_code == 0, shown
