import asyncio
from random import Random

import pytest

from dockerv6.lib.clock import FakeClock
from dockerv6.reconciler.errors import PermanentError, TemporaryError
from dockerv6.reconciler.execution import Execution
from dockerv6.reconciler.observer import Role
from dockerv6.reconciler.outcome import Outcome, Requeue
from dockerv6.reconciler.request import Key
from tests.fakes.reconciler.lookup import FakeLookup
from tests.unit.reconciler.harness import BACKOFF, Script, registry

A = Key("Network", "a")
TEMPORARY = TemporaryError("later", delay=9)
PERMANENT = PermanentError("never")
UNFORESEEN = LookupError("what?")


@pytest.fixture
def script() -> Script:
    return Script(FakeClock())


@pytest.fixture
def lookup() -> FakeLookup:
    return FakeLookup(A)


@pytest.fixture
def execution(script: Script, lookup: FakeLookup) -> Execution[Script]:
    return Execution(registry(), lookup=lookup, context=script, backoff=BACKOFF, random=Random(0))


@pytest.mark.parametrize("role", list(Role)[:2])
@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        (None, Outcome(final=True)),
        (Requeue(5), Outcome(final=False, delay=5, result=Requeue(5))),
        (TEMPORARY, Outcome(final=False, delay=9, error=TEMPORARY)),
        (PERMANENT, Outcome(final=True, error=PERMANENT)),
        (UNFORESEEN, Outcome(final=False, delay=1, error=UNFORESEEN)),
    ],
)
async def test_every_way_to_end_has_its_outcome(
    execution: Execution[Script],
    script: Script,
    lookup: FakeLookup,
    role: Role,
    step: Requeue | Exception | None,
    outcome: Outcome,
) -> None:
    if role is Role.FINALIZE:
        lookup.delete(A)
    script.plan(A, step)
    assert await execution.run(A) == (role, outcome)


@pytest.mark.parametrize("end", [None, PERMANENT, Requeue(60)])
async def test_backoff_begins_anew_after_anything_but_a_retry(
    execution: Execution[Script], script: Script, end: Requeue | Exception | None
) -> None:
    script.plan(A, UNFORESEEN, UNFORESEEN, TEMPORARY, UNFORESEEN, end, UNFORESEEN)
    delays = [(await execution.run(A))[1].delay for _ in range(6)]
    assert delays[:4] == [1, 2, 9, 4]
    assert delays[5] == 1


async def test_forgotten_key_has_never_failed(execution: Execution[Script], script: Script) -> None:
    script.plan(A, UNFORESEEN, UNFORESEEN)
    await execution.run(A)
    execution.forget(A)
    assert (await execution.run(A))[1].delay == 1


async def test_cancellation_of_the_worker_is_honoured(execution: Execution[Script], script: Script) -> None:
    script.plan(A, 60.0)
    worker = asyncio.ensure_future(execution.run(A))
    await script.clock.settle()
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker


async def test_cancellation_of_something_else_is_a_temporary_failure(
    execution: Execution[Script], script: Script
) -> None:
    script.plan(A, asyncio.CancelledError())
    _, outcome = await execution.run(A)
    assert isinstance(outcome.error, TemporaryError)
    assert outcome.delay == 1
