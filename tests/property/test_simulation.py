"""What goes wrong with one thing harms that one thing, in random histories of the whole operator."""

import asyncio
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.fakes.clock import FakeClock
from tests.simulation.history import HAZARDS, Action, history
from tests.simulation.loop import SimulatedLoop
from tests.simulation.run import failures, shrink

REPOSITORY = Path(__file__).parents[2]
SEEDS = 300
CHUNK = 25


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A process of its own: the order of sets depends on its hash seed."""
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_everything_else_is_as_if_it_had_not_gone_wrong(first: int) -> None:
    done = simulate("--seeds", str(CHUNK), "--from", str(first))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_seed_has_one_history() -> None:
    arguments = ("--show", "--from", "3", "--hazards", "crashes,engine-errors,encodings")
    once, again = simulate(*arguments), simulate(*arguments)
    assert "process 2 starts" in once.stdout
    assert once.stdout == again.stdout


def test_a_difference_is_found_and_the_history_is_shortened() -> None:
    calm = history(0, ("foreign-tables",))
    harm = Action(40, "directory.delete", (b"team/idle.yaml",), hazard="nonsense")
    found = failures(0, [*calm, harm])
    assert any("Docker network idle: None instead of" in line for line in found), found
    assert [action.method for action in shrink(0, [*calm[:8], harm]) if action.hazard] == ["directory.delete"]


@pytest.mark.parametrize("hazard", HAZARDS)
def test_every_class_of_what_goes_wrong_occurs(hazard: str) -> None:
    for seed in range(40):
        actions = history(seed, (hazard,))
        assert hazard in {action.hazard for action in actions}
        assert [action.at for action in actions] == sorted(action.at for action in actions)


def order(seed: int) -> list[int]:
    """The order in which tasks run that are ready together."""
    found: list[int] = []

    async def one(number: int) -> None:
        await asyncio.sleep(number % 2)
        found.append(number)

    async def all_of_them() -> None:
        await asyncio.gather(*map(one, range(8)))

    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(FakeClock(), Random(seed))) as runner:
        runner.run(all_of_them())
    return found


def test_the_order_of_tasks_depends_on_the_seed_alone() -> None:
    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(9)}) > 1
    assert [number % 2 for number in order(1)] == [0] * 4 + [1] * 4


def test_a_killed_process_runs_no_more_code() -> None:
    steps: list[str] = []
    loop = SimulatedLoop(FakeClock(), Random(0))

    async def process() -> None:
        try:
            while True:
                steps.append("step")
                await asyncio.sleep(1)
        finally:
            steps.append("cleanup")

    async def host() -> None:
        loop.spawn(1, process())
        await asyncio.sleep(3.5)
        loop.kill(1)
        await asyncio.sleep(10)
        assert steps == ["step"] * 4
        loop.reap()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(host())
    assert steps[-1] == "cleanup"


def test_a_timer_between_two_nanoseconds_fires() -> None:
    clock = FakeClock()
    clock.advance(0.1)
    loop = SimulatedLoop(clock, Random(0))

    async def wait() -> bool:
        fired = asyncio.Event()
        loop.call_at(0.1 + 4e-10, fired.set)
        return await fired.wait()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(wait())


def test_an_endless_loop_is_an_error() -> None:
    loop = SimulatedLoop(FakeClock(), Random(0))

    def again() -> None:
        loop.call_soon(again)

    async def spin() -> None:
        again()
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="endless loop"), asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(spin())
