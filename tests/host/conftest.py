"""Fixtures of the host tests: network namespaces of their own, so that this machine's network is never touched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.namespace import Namespace
    from tests.lab.session import Session

_HERE = Path(__file__).parent


# first: `-m` chooses among the marks that are there when its turn comes
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.host)


@pytest.fixture
def make_netns(lab_session: Session) -> Iterator[Callable[[], Namespace]]:
    """Make further namespaces for one test; loopback is up, all else is as the kernel makes it."""
    made: list[Namespace] = []

    def make() -> Namespace:
        made.append(lab_session.namespace("h"))
        return made[-1]

    yield make
    for namespace in made:
        namespace.remove()


@pytest.fixture
def netns(make_netns: Callable[[], Namespace]) -> Namespace:
    """A namespace for one test."""
    return make_netns()


@pytest.fixture
def inside_netns(netns: Namespace) -> Iterator[Namespace]:
    """A namespace that the test itself runs in, with all threads and processes that it starts."""
    with netns.entered():
        yield netns


@pytest.fixture(params=["nftables", "iptables"])
def backend(request: pytest.FixtureRequest) -> str:
    """The firewall's backend that packets are sent through."""
    return str(request.param)
