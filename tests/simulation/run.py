"""Runs a history, and its twin without what goes wrong, and compares what they lead to."""

import asyncio
import inspect
import logging
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from tests.simulation.history import DELETED, RECREATING, UNAVAILABLE, Action
from tests.simulation.machine import TWINS, Machine, Unexpected
from tests.simulation.outcome import Outcome, check_rest, differences, outcome


@dataclass
class Run:
    """What came of a history."""

    trace: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    outcome: Outcome = field(default_factory=dict)
    incomplete: bool = False  # a file can't be read


def run(seed: int, actions: Sequence[Action]) -> Run:
    """Run the actions on a new machine."""
    with tempfile.TemporaryDirectory(prefix="dockerv6-simulation-") as parent:
        machine = Machine(parent, seed)
        log = Unexpected(machine)
        logger = logging.getLogger("dockerv6")
        logger.addHandler(log)
        propagates, logger.propagate = logger.propagate, False
        try:
            with asyncio.Runner(loop_factory=lambda: machine.loop) as runner:
                try:
                    found = runner.run(_run(machine, actions))
                finally:
                    logger.removeHandler(log)
                    machine.loop.reap()
        finally:
            logger.propagate = propagates
        trace, violations = (
            [line.replace(parent, "") for line in each] for each in (machine.trace, machine.violations)
        )
        return Run(trace, violations, found, incomplete=not machine.directory.read().complete)


async def _run(machine: Machine, actions: Sequence[Action]) -> Outcome:
    for action in actions:
        if action.at == 0:
            await _act(machine, action)
    supervisor = asyncio.ensure_future(machine.supervise())
    for action in actions:
        if action.at > 0:
            await machine.clock.sleep(action.at - machine.clock.monotonic())
            await _act(machine, action)
    await machine.rest()
    if supervisor.done():
        supervisor.result()
    found = await outcome(machine)
    await check_rest(machine)
    await machine.restart()
    supervisor.cancel()
    for what, value in found.items():
        machine.record(f"{what}: {value}")
    return found


async def _act(machine: Machine, action: Action) -> None:
    machine.record(str(action))
    result = attrgetter(action.method)(machine)(*action.arguments, **action.keywords)
    if inspect.isawaitable(result):
        await result


_undisturbed: dict[str, object] = {}
"""The last run without what goes wrong, and its actions."""


def failures(seed: int, actions: Sequence[Action]) -> list[str]:
    """Violations in the run, and differences from the run without what goes wrong."""
    bad = run(seed, actions)
    users = tuple(action for action in actions if not action.hazard)
    if _undisturbed.get("users") != (seed // TWINS, users):
        _undisturbed["users"], _undisturbed["run"] = (seed // TWINS, users), run(seed, users)
    good = _undisturbed["run"]
    assert isinstance(good, Run)
    hazards = {action.hazard for action in actions}
    ignored = [DELETED] if bad.incomplete or hazards & UNAVAILABLE else []
    if hazards & RECREATING:
        ignored.append("creations")
    return [*dict.fromkeys((*good.violations, *bad.violations)), *differences(good.outcome, bad.outcome, ignored)]


def shrink(seed: int, actions: Sequence[Action]) -> tuple[Action, ...]:
    """Leave out actions as long as the history fails."""
    kept = list(actions)
    for action in reversed(actions):
        fewer = [each for each in kept if each is not action]
        if _fails(seed, fewer):
            kept = fewer
    return tuple(kept)


def _fails(seed: int, actions: Iterable[Action]) -> bool:
    try:
        return bool(failures(seed, list(actions)))
    except Exception:  # noqa: BLE001 - an action that makes no sense without another one
        return False
