from __future__ import annotations

import pytest

from dockerv6.dockerd.decode import labels_at_creation

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
