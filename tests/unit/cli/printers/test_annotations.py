"""Formats of continuous integration, read back by the rules of their readers."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from dockerv6.cli.printers.annotations import github, gitlab, sarif
from dockerv6.source.model import Diagnostic, Position, Severity
from tests.unit.cli.harness import run

ERROR = Diagnostic(Position("a dir/x,y:z%.yaml", 3, 5), Severity.ERROR, ("spec", "egres"), "unknown", "use 100%")
WARNING = Diagnostic(Position("b.yaml", 1, 1), Severity.WARNING, (), "odd\n::error::injected\r\x1b[0m")
FILE = "apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {name: blog}\nspec:\n  egres: {}\n"


def runner(line: str) -> tuple[str, dict[str, str], str]:
    """Parse a workflow command as actions/runner does (ActionCommand.cs)."""
    found = re.fullmatch(r"::(\w+) (.*?)::(.*)", line)
    assert found is not None

    def data(text: str) -> str:
        return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")

    properties = dict(pair.split("=", 1) for pair in found[2].split(","))
    decoded = {k: data(v.replace("%3A", ":").replace("%2C", ",")) for k, v in properties.items()}
    return found[1], decoded, data(found[3])


def test_github_reads_what_was_written() -> None:
    lines = github([ERROR, WARNING]).splitlines()
    assert runner(lines[0]) == (
        "error",
        {"file": "a dir/x,y:z%.yaml", "line": "3", "col": "5", "title": "dockerv6: spec.egres"},
        "spec.egres: unknown; use 100%",
    )
    level, properties, message = runner(lines[1])
    assert (level, properties["file"], len(lines)) == ("warning", "b.yaml", 2)
    assert message == "odd ::error::injected\\r\\x1b[0m"  # on its own line it would be a command


def test_the_report_of_gitlab() -> None:
    report = json.loads(gitlab([ERROR, WARNING, WARNING]))
    assert report[0] == {
        "description": "spec.egres: unknown; use 100%",
        "check_name": "invalid-resource",
        "fingerprint": report[0]["fingerprint"],
        "severity": "major",
        "location": {"path": "a dir/x,y:z%.yaml", "lines": {"begin": 3}},
    }
    assert report[1]["severity"] == "minor"
    assert len({each["fingerprint"] for each in report}) == 3
    assert json.loads(gitlab([])) == []


def test_a_fingerprint_stays_when_lines_are_added() -> None:
    moved = Diagnostic(Position("a dir/x,y:z%.yaml", 9, 5), Severity.ERROR, ("spec", "egres"), "unknown", "use 100%")
    assert json.loads(gitlab([ERROR]))[0]["fingerprint"] == json.loads(gitlab([moved]))[0]["fingerprint"]


REQUIRED = {
    "log": {"version", "runs"},
    "run": {"tool"},
    "tool": {"driver"},
    "driver": {"name"},
    "rule": {"id"},
    "result": {"message"},
}
"""The required properties of the SARIF 2.1.0 schema (sarif-schema-2.1.0.json) for the objects that are used."""


def test_sarif_has_what_its_schema_requires() -> None:
    log = json.loads(sarif([ERROR, WARNING]))
    (only,) = log["runs"]
    driver = only["tool"]["driver"]
    objects = {"log": [log], "run": [only], "tool": [only["tool"]], "driver": [driver], "rule": driver["rules"]}
    objects["result"] = only["results"]
    for name, found in objects.items():
        assert all(REQUIRED[name] <= each.keys() for each in found), name
    assert log["version"] == "2.1.0"
    assert {each["ruleId"] for each in only["results"]} <= {rule["id"] for rule in driver["rules"]}
    assert [each["level"] for each in only["results"]] == ["error", "warning"]
    place = only["results"][0]["locations"][0]["physicalLocation"]
    assert place["region"] == {"startLine": 3, "startColumn": 5}
    elsewhere = Diagnostic(Position("/etc/dockerv6.d/a.yaml"), Severity.ERROR, (), "wrong")
    assert '"uri": "file:///etc/dockerv6.d/a.yaml"' in sarif([elsewhere])
    assert unquote(place["artifactLocation"]["uri"]) == "a dir/x,y:z%.yaml"
    assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", place["artifactLocation"]["uri"])  # RFC 3986, without a colon


@pytest.mark.parametrize("form", ["github", "gitlab", "sarif"])
def test_validate_prints_files_relative_to_the_repository(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "blog.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    relative = run(["validate", "-o", form, "networks"])
    assert relative.exit_code == 1
    assert "networks/blog.yaml" in relative.stdout
    assert "did you mean egress?" in relative.stdout
    assert relative.stderr == "0 valid resources in 1 file; 1 error, 0 warnings\n"
    assert run(["validate", "-o", form, str(tmp_path / "networks")]).stdout == relative.stdout
    (tmp_path / "networks" / "blog.yaml").write_text(FILE.replace("egres:", "egress:"))
    good = run(["validate", "-o", form, "networks"])
    assert good.exit_code == 0
    if form != "github":
        json.loads(good.stdout)
    else:
        assert good.stdout == ""
    assert run(["validate", "-o", form, "-"], input=FILE).exit_code == 1
