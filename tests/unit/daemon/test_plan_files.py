"""``plan --out`` and ``apply FILE``, on a simulated host with a real state directory."""

# ruff: noqa: F811 - fixtures of another module

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from dockerv6.daemon import preview, process
from dockerv6.daemon.preview import plan_now, read_plan, write_plan
from dockerv6.daemon.settings import Settings
from dockerv6.planning.saved_plan import PlanRefused
from tests.unit.daemon.test_process import NETWORK, host, settings, write  # noqa: F401 - fixtures
from tests.world import Host


@pytest.fixture(autouse=True)
def _simulated(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    assert host
    simulated = process.open_context  # type: ignore[attr-defined] # the one of the fixture

    def open_context(settings: Settings, state: object, **_: object) -> object:
        return simulated(settings, state)  # type: ignore[arg-type]

    monkeypatch.setattr(preview, "open_context", open_context)


def saved(settings: Settings, file: Path) -> Path:
    write_plan(plan_now(settings).saved, file)
    return file


def test_exactly_the_plan_is_executed(host: Host, settings: Settings, tmp_path: Path) -> None:
    write(settings)
    file = saved(settings, tmp_path / "blog.plan")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert host.engine.changes == []
    results = process.apply(settings, 60, read_plan(file))
    assert {(each.name, each.ready) for each in results} == {("blog", True), ("default", True)}
    assert not any(plan.steps for plan in plan_now(settings).plans)


def test_a_stale_plan_changes_nothing(host: Host, settings: Settings, tmp_path: Path) -> None:
    write(settings)
    file = saved(settings, tmp_path / "blog.plan")
    write(settings, NETWORK.replace("blog", "shop"))
    with pytest.raises(PlanRefused, match="stale") as refused:
        process.apply(settings, 60, read_plan(file))
    assert any("create Docker network blog" in line for line in refused.value.difference if line.startswith("-"))
    assert any("create Docker network shop" in line for line in refused.value.difference if line.startswith("+"))
    assert host.engine.changes == []


def test_an_applied_plan_is_stale(host: Host, settings: Settings, tmp_path: Path) -> None:
    assert host
    write(settings)
    file = saved(settings, tmp_path / "blog.plan")
    process.apply(settings, 60, read_plan(file))
    with pytest.raises(PlanRefused, match="stale"):
        process.apply(settings, 60, read_plan(file))


def test_a_step_that_is_not_in_the_plan_is_not_executed(host: Host, settings: Settings, tmp_path: Path) -> None:
    write(settings)
    plan = read_plan(saved(settings, tmp_path / "blog.plan"))
    without = replace(plan, steps=tuple(step for step in plan.steps if "create Docker network" not in step))
    assert without != plan

    without_check = type("Unchecked", (), {"check": lambda *_: None, "approval": lambda _: without.approval()})()
    results = process.apply(settings, 60, without_check)
    (blog,) = (each for each in results if each.name == "blog")
    assert not blog.ready
    assert "not in the plan file" in blog.message
    assert not any("create" in str(change) for change in host.engine.changes)


def test_a_plan_file_that_can_not_be_written_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "x.plan").mkdir()
    with pytest.raises(OSError, match="directory"):
        saved(settings, tmp_path / "x.plan")
    assert [path.name for path in tmp_path.glob("*.plan*")] == ["x.plan"]
    assert not list(tmp_path.glob(".x.plan*"))
