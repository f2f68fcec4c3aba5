import json
from ipaddress import IPv6Network
from pathlib import Path
from typing import cast

import pytest

from dockerv6.daemon import preview
from dockerv6.daemon.preview import Preview
from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.planning.plan import Finding, Plan
from dockerv6.planning.saved_plan import PlanOrigin, SavedPlan
from dockerv6.planning.steps import BindSubnet
from dockerv6.source.model import Diagnostic, Position, Severity, SourcedResource
from dockerv6.store.port import StoreError
from tests.unit.cli.harness import Patch, returning, run

STEP = BindSubnet("blog", "default", IPv6Network("fd00::/64"), None, "it has none")
OPEN = Plan("IPv6Network", "blog", (STEP,))
DONE = Plan("IPv6Network", "shop")
BLOCKED = Plan("IPv6Network", "bad", findings=(Finding("SubnetAllocated", "SubnetOverlap", "overlap"),))
WARNING = Diagnostic(Position("a.yaml", 1, 1), Severity.WARNING, (), "odd")
ERROR = Diagnostic(Position("a.yaml", 1, 1), Severity.ERROR, ("spec",), "wrong", "correct it")


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (Preview((DONE,), ()), 0),
        (Preview((DONE,), (WARNING,)), 0),
        (Preview((OPEN, DONE), ()), 2),
        (Preview((OPEN, BLOCKED), ()), 1),
        (Preview((OPEN,), (ERROR,)), 1),
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_the_exit_code_depends_on_the_plan(monkeypatch: Patch, found: Preview, code: int, form: str) -> None:
    returning(monkeypatch, preview, "plan_now", found)
    assert run(["plan", "-o", form]).exit_code == code


def test_a_plan_can_be_limited_to_resources(monkeypatch: Patch) -> None:
    returning(monkeypatch, preview, "plan_now", Preview((OPEN, DONE), ()))
    assert run(["plan", "v6net/shop"]).exit_code == 0
    assert [plan["name"] for plan in json.loads(run(["plan", "v6net", "-o", "json"]).stdout)["plans"]] == [
        "blog",
        "shop",
    ]
    assert run(["plan", "v6net/x"]).stderr == 'Error: ipv6networks "x" not found\n'


def test_diagnostics_go_to_standard_error(monkeypatch: Patch) -> None:
    returning(monkeypatch, preview, "plan_now", Preview((), (ERROR,)))
    result = run(["plan"])
    assert result.stderr == "a.yaml:1:1: error: spec: wrong; correct it\n"
    assert result.stdout == "No changes.\n"


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (Preview((DONE,), ()), 0),
        (Preview((OPEN, DONE), ()), 1),
        (Preview((OPEN, BLOCKED), ()), 2),
        (Preview((OPEN,), (ERROR,)), 2),
        (StoreError("the disk is full"), 2),
        (EngineUnavailable("no engine"), 2),
    ],
)
def test_diff_shows_the_plan_with_the_exit_codes_of_kubectl(
    monkeypatch: Patch, found: Preview | Exception, code: int
) -> None:
    calls = returning(monkeypatch, preview, "plan_now", found)
    result = run(["diff", "--fwmark", "0x1"])
    assert result.exit_code == code
    assert result.stdout == run(["plan", "--fwmark", "0x1"]).stdout
    assert result.stderr == run(["plan", "--fwmark", "0x1"]).stderr
    assert calls[0] == calls[1]
    assert run(["diff", "v6net/none"]).exit_code == 2


@pytest.mark.parametrize(("found", "code"), [((OPEN, DONE), 1), ((DONE,), 0)])
def test_diff_of_a_file_plans_its_resources_in_place_of_those_that_are_there(
    monkeypatch: Patch, tmp_path: Path, found: tuple[Plan, ...], code: int
) -> None:
    calls = returning(monkeypatch, preview, "plan_now", Preview(found, ()))
    for plan in found:
        document = {"apiVersion": "dockerv6.io/v1alpha1", "kind": plan.kind, "metadata": {"name": plan.name}}
        (tmp_path / f"{plan.name}.json").write_text(json.dumps(document))
    result = run(["diff", "-f", str(tmp_path), "-o", "json"])
    assert (result.exit_code, result.stderr) == (code, "")
    assert {plan["name"] for plan in json.loads(result.stdout)["plans"]} == {plan.name for plan in found}
    (_, given), *_ = calls
    assert {each.resource.metadata.name for each in cast("tuple[SourcedResource, ...]", given)} == {
        plan.name for plan in found
    }


@pytest.mark.parametrize("kind", ["IPv6Pool", "IPv6Policy", "IPv6Network"])
@pytest.mark.parametrize(("other", "code"), [(OPEN, 1), (BLOCKED, 2), (DONE, 0)], ids=["changed", "blocked", "same"])
def test_diff_of_a_file_shows_what_it_causes_for_other_resources(
    monkeypatch: Patch, kind: str, other: Plan, code: int
) -> None:
    returning(monkeypatch, preview, "plan_now", Preview((other, Plan(kind, "own")), ()))
    spec = "{prefix: 'fd00::/48'}" if kind == "IPv6Pool" else "{}"
    text = f"{{apiVersion: dockerv6.io/v1alpha1, kind: {kind}, metadata: {{name: own}}, spec: {spec}}}"
    result = run(["diff", "-f", "-", "-o", "json"], input=text)
    assert (result.exit_code, result.stderr) == (code, "")
    assert [plan["name"] for plan in json.loads(result.stdout)["plans"]] == [other.name, "own"]


def test_diff_of_files_that_are_refused_is_an_error(monkeypatch: Patch, tmp_path: Path) -> None:
    returning(monkeypatch, preview, "plan_now", Preview((DONE,), ()))
    (tmp_path / "bad.yaml").write_text("kind: IPv6Network\n")
    for arguments in (["-f", str(tmp_path / "bad.yaml")], ["-f", str(tmp_path / "none.yaml")], ["-f", "x", "v6net/a"]):
        result = run(["diff", *arguments])
        assert result.exit_code == 2
        assert not any(word in result.stderr for word in ("changed", "apply"))  # diff does neither
    url = run(["diff", "-f", "https://example.com/x.yaml"])
    assert (url.exit_code, "and name the file" in url.stderr) == (2, True)


def test_a_plan_is_written_to_a_file_that_only_its_owner_reads(monkeypatch: Patch, tmp_path: Path) -> None:
    returning(monkeypatch, preview, "plan_now", Preview((OPEN,), (), PlanOrigin("0.2.0", "1a", "dockerv6", "web1")))
    file = tmp_path / "blog.plan"
    file.write_text("an earlier one")
    file.chmod(0o644)
    assert run(["plan", "--out", str(file)]).exit_code == 2
    assert file.stat().st_mode & 0o777 == 0o600
    (step,) = SavedPlan.decode(file.read_text(), "x").steps
    assert str(step) == "IPv6Network/blog: + allocate fd00::/64 from IPv6Pool default"
    assert run(["plan", "v6net/blog", "--out", str(file)]).exit_code == 2
    assert "--out writes the plan of all resources" in run(["plan", "v6net/blog", "--out", str(file)]).stderr


@pytest.mark.parametrize("form", ["text", "json"])
def test_standard_output_is_no_plan_file(monkeypatch: Patch, tmp_path: Path, form: str) -> None:
    returning(monkeypatch, preview, "plan_now", Preview((OPEN,), ()))
    monkeypatch.chdir(tmp_path)
    result = run(["plan", "--out", "-", "-o", form])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--out needs a file" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("problem", ["/etc/dockerv6.d: No such file or directory", "https://x: it was not fetched yet"])
def test_a_plan_of_incomplete_sources_is_not_written(monkeypatch: Patch, tmp_path: Path, problem: str) -> None:
    returning(monkeypatch, preview, "plan_now", Preview((DONE,), (), unread=(problem,)))
    result = run(["plan", "--out", str(tmp_path / "x.plan")])
    assert result.exit_code == 1
    assert f"not every source could be read: {problem}; correct that" in result.stderr
    assert not list(tmp_path.iterdir())
