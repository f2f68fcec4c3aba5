from __future__ import annotations

import pytest

from dockerv6.dockerd.client import Inspections
from dockerv6.dockerd.port import EngineApiError, EngineUnavailable


async def test_at_most_a_thousand_answers_are_kept_the_last_used_ones() -> None:
    asked: list[str] = []

    async def inspect(object_id: str) -> dict[str, str]:
        asked.append(object_id)
        return {"id": object_id}

    inspections = Inspections(inspect)
    for start in range(0, 2048, 512):
        await inspections.of(["used", *(str(number) for number in range(start, start + 512))])
    assert asked.count("used") == 1
    await inspections.of(["2047", "0"])
    assert (asked.count("2047"), asked.count("0")) == (1, 2)


async def test_an_object_that_can_not_be_inspected_is_tried_again_and_harms_no_other() -> None:
    answers: dict[str, object] = {"one": {"a": "b"}, "bad": EngineApiError("blob not found", 500)}

    async def inspect(object_id: str) -> dict[str, str]:
        answer = answers[object_id]
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[return-value]

    inspections = Inspections(inspect)
    assert await inspections.of(["one", "bad"]) == answers
    answers["bad"] = {"c": "d"}
    assert await inspections.of(["one", "bad"]) == answers


async def test_an_engine_that_does_not_answer_is_not_the_fault_of_an_object() -> None:
    async def inspect(object_id: str) -> dict[str, str]:
        raise EngineUnavailable(f"timeout reading {object_id}")

    with pytest.raises(EngineUnavailable):
        await Inspections(inspect).of(["one"])
