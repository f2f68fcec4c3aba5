from __future__ import annotations

import pytest

from dockerv6.dockerd.images import ImageLabels, labels_at_creation
from dockerv6.dockerd.port import EngineApiError, EngineUnavailable

PROJECT, SERVICE, HASH = (f"com.docker.compose.{name}" for name in ("project", "service", "config-hash"))


@pytest.mark.parametrize(
    ("labels", "of_image", "own"),
    [
        ({"app": "blog"}, {}, {"app": "blog"}),
        ({"app": "blog"}, {"app": "blog"}, {}),
        ({"app": "blog"}, {"app": "shop"}, {"app": "blog"}),
        ({"app": "blog", "vendor": "acme"}, {"vendor": "acme"}, {"app": "blog"}),
        ({PROJECT: "blog", SERVICE: "db"}, {PROJECT: "blog", SERVICE: "db"}, {}),
        (
            {PROJECT: "blog", SERVICE: "db", HASH: "1", "app": "x"},
            {PROJECT: "blog", SERVICE: "db", "app": "x"},
            {PROJECT: "blog", SERVICE: "db", HASH: "1"},
        ),
        ({PROJECT: "blog", SERVICE: "db", HASH: "1"}, {PROJECT: "blog", SERVICE: "db", HASH: "1"}, {}),
        ({HASH: "1"}, {}, {HASH: "1"}),
    ],
)
def test_what_was_set_at_creation(labels: dict[str, str], of_image: dict[str, str], own: dict[str, str]) -> None:
    assert labels_at_creation(labels, of_image) == own


async def test_at_most_a_thousand_images_are_kept_the_last_used_ones() -> None:
    asked: list[str] = []

    async def inspect(image_id: str) -> dict[str, str]:
        asked.append(image_id)
        return {"id": image_id}

    images = ImageLabels(inspect)
    for start in range(0, 2048, 512):
        await images.of(["used", *(str(number) for number in range(start, start + 512))])
    assert asked.count("used") == 1
    await images.of(["2047", "0"])
    assert (asked.count("2047"), asked.count("0")) == (1, 2)


async def test_an_image_that_can_not_be_inspected_is_tried_again_and_harms_no_other() -> None:
    answers: dict[str, object] = {"one": {"a": "b"}, "bad": EngineApiError("blob not found", 500)}

    async def inspect(image_id: str) -> dict[str, str]:
        answer = answers[image_id]
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[return-value]

    images = ImageLabels(inspect)
    assert await images.of(["one", "bad"]) == answers
    answers["bad"] = {"c": "d"}
    assert await images.of(["one", "bad"]) == answers


async def test_an_engine_that_does_not_answer_is_not_the_fault_of_an_image() -> None:
    async def inspect(image_id: str) -> dict[str, str]:
        raise EngineUnavailable(f"timeout reading {image_id}")

    with pytest.raises(EngineUnavailable):
        await ImageLabels(inspect).of(["one"])
