"""``plan --out`` and ``apply FILE``, on a simulated host with a real state directory."""

# ruff: noqa: F811 - fixtures of another module

import os
import socket
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from dockerv6.daemon import preview, process
from dockerv6.daemon.preview import plan_now, read_plan, write_plan
from dockerv6.daemon.settings import Settings
from dockerv6.planning.saved_plan import PlanOrigin, PlanRefused, SavedPlan, SavedStep
from dockerv6.source.git.location import parse_git_location
from dockerv6.source.load import load_paths
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


def test_resources_that_are_given_are_planned_in_place_of_those_of_the_sources(
    host: Host, settings: Settings, tmp_path: Path
) -> None:
    write(settings)
    process.apply(settings, 60)
    before = len(host.engine.changes)
    (file,) = (each for each in Path(settings.config_dirs[0]).iterdir())
    unchanged = load_paths((str(file),), BytesIO()).resources
    assert not any(plan.steps for plan in plan_now(settings, unchanged).plans)
    moved = f"{NETWORK}spec: {{addressing: {{subnet: 'fd55::/64'}}}}"
    (tmp_path / "given.yaml").write_text("\n---\n".join([moved, NETWORK.replace("blog", "new")]))
    file.write_text(f"{NETWORK}spec: {{odd: 1}}")  # invalid, and not what is asked about
    given = load_paths((str(tmp_path / "given.yaml"),), BytesIO()).resources
    assert len(given) == 2
    found = plan_now(settings, given)
    steps = {plan.name: [step.describe() for step in plan.steps] for plan in found.plans}
    assert any("fd55::/64" in step for step in steps["blog"])
    assert any("create Docker network new" in step for step in steps["new"])
    assert found.diagnostics == ()
    assert len(host.engine.changes) == before
    assert [each.name for each in Path(settings.config_dirs[0]).iterdir()] == [file.name]


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
    without = replace(plan, steps=tuple(step for step in plan.steps if step.action != "CreateNetwork"))
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


EXAMPLE = SavedPlan(PlanOrigin("0.2.0", "1a2b", "dockerv6", "web1"), (SavedStep("IPv6Network/blog", "X", "+ x"),))


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_the_plan_is_written_to_its_target(tmp_path: Path, *, exists: bool) -> None:
    target, link, second = tmp_path / "target.plan", tmp_path / "link.plan", tmp_path / "second.plan"
    if exists:
        target.write_text("an earlier one")
    link.symlink_to("target.plan")
    second.symlink_to(link)
    write_plan(EXAMPLE, second)
    assert (second.readlink(), link.readlink()) == (link, Path("target.plan"))
    assert read_plan(target) == EXAMPLE
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        write_plan(EXAMPLE, tmp_path / "a")
    assert (tmp_path / "a").is_symlink()


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    fifo, found = tmp_path / "pipe", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: found.append(fifo.read_text()))
    reader.start()
    write_plan(EXAMPLE, fifo)
    reader.join()
    assert found == [EXAMPLE.encode()]
    assert fifo.is_fifo()


def _null(directory: Path) -> Path:
    link = directory / "null"
    link.symlink_to("/dev/null")
    return link


def _terminal(directory: Path) -> Path:
    link = directory / "terminal"
    link.symlink_to(os.ttyname(os.openpty()[1]))
    return link


@pytest.mark.parametrize("make", [_null, _terminal])
def test_a_device_is_written_into_and_stays(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    device = make(tmp_path)
    before = device.stat()
    write_plan(EXAMPLE, device)
    assert device.is_char_device()
    assert (device.stat().st_ino, device.stat().st_rdev) == (before.st_ino, before.st_rdev)


def _directory(directory: Path) -> Path:
    (directory / "plans").mkdir()
    return directory / "plans"


def _socket(directory: Path) -> Path:
    path = directory / "socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
    return path


@pytest.mark.parametrize("make", [_directory, _socket])
def test_directories_and_sockets_are_refused_and_stay(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    before = path.stat()
    with pytest.raises(OSError, match="name a file"):
        write_plan(EXAMPLE, path)
    assert (path.stat().st_ino, path.stat().st_mode) == (before.st_ino, before.st_mode)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_long_name_is_no_problem(tmp_path: Path) -> None:
    file = tmp_path / ("x" * 250)
    write_plan(EXAMPLE, file)
    assert read_plan(file) == EXAMPLE


def _no_directory(settings: Settings) -> Settings:
    return replace(settings, config_dirs=(*settings.config_dirs, str(Path(settings.state_dir) / "none")))


def _no_remote(settings: Settings) -> Settings:
    return replace(settings, git=(parse_git_location(str(Path(settings.state_dir) / "none.git")),))


def _half_written(settings: Settings) -> Settings:
    Path(settings.config_dirs[0], "half.yaml").write_text("kind: IPv6Network\nmetadata: {")
    return settings


@pytest.mark.parametrize(
    ("breaking", "named"), [(_no_directory, "/none: "), (_no_remote, "none.git"), (_half_written, "half.yaml: ")]
)
def test_incomplete_sources_make_no_plan_file(
    host: Host, settings: Settings, tmp_path: Path, breaking: Callable[[Settings], Settings], named: str
) -> None:
    write(settings)
    plan = read_plan(saved(settings, tmp_path / "blog.plan"))
    broken = breaking(settings)
    with pytest.raises(PlanRefused, match=named) as refused:
        saved(broken, tmp_path / "other.plan")
    assert "not every source could be read" in str(refused.value)
    assert not (tmp_path / "other.plan").exists()
    with pytest.raises(PlanRefused, match=named):
        process.apply(broken, 60, plan)
    assert host.engine.changes == []
