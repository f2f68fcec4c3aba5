"""Fixtures of the packages that `make dist` has built; `make test-dist` runs these tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.dist import DIST
from tests.lab.debian import SUITES, DebianRoot

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.session import Session

BLOG = "apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {name: blog}\nspec: {}\n"

_HERE = Path(__file__).parent


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.path.is_relative_to(_HERE):
        item.add_marker(pytest.mark.dist)


@pytest.fixture(params=SUITES, ids=lambda release: f"debian-{release}")
def release(request: pytest.FixtureRequest) -> str:
    """A release of Debian."""
    return str(request.param)


@pytest.fixture
def built() -> Callable[[str], Path]:
    """Find the package of `make dist` that fits a pattern."""

    def find(pattern: str) -> Path:
        found = sorted(DIST.glob(pattern))
        if len(found) != 1:
            pytest.fail(f"dist/ has {len(found)} files {pattern}: run `make dist`", pytrace=False)
        return found[0]

    return find


@pytest.fixture
def fresh(lab_session: Session, release: str) -> DebianRoot:
    """A fresh installation of the release."""
    return DebianRoot(lab_session, release)
