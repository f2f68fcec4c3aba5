"""Fixtures of the host tests: separate network namespaces, so that this machine's network is never changed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.nftables.session import NftSession
from tests.host.network import private_network
from tests.host.xtables import VARIANTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.lab.namespace import Namespace
    from tests.lab.session import Session

_HERE = Path(__file__).parent


# first, because `-m` selects by the marks that exist when its hook runs
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.host)


@pytest.fixture
def make_netns(lab_session: Session) -> Iterator[Callable[[], Namespace]]:
    """Create additional namespaces for one test, in which only loopback is up."""
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
    """A namespace in which the test itself runs, with all threads and processes that it starts."""
    with netns.entered():
        yield netns


@pytest.fixture(params=["nftables", "iptables"])
def backend(request: pytest.FixtureRequest) -> str:
    """The firewall backend under test."""
    return str(request.param)


@pytest.fixture
def private_netns() -> Iterator[None]:
    """A namespace for the test's thread and everything that it starts; needs no external program."""
    with private_network():
        yield


@pytest.fixture
async def session(private_netns: None) -> AsyncIterator[NftSession]:
    """A session with nftables in the private namespace."""
    assert private_netns is None
    made = NftSession()
    yield made
    await made.close()


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    """A variant of ip6tables: "nft" or "legacy"."""
    return str(request.param)


@pytest.fixture
def docker_ipv6nat(private_netns: None, tmp_path: Path) -> Iterator[int]:
    """A process of that name in the private namespace; its identifier."""
    assert private_netns is None
    program = tmp_path / "docker-ipv6nat"
    program.symlink_to(sys.executable)
    process = subprocess.Popen([program, "-S", "-c", "import time; time.sleep(60)"])
    while (Path(f"/proc/{process.pid}/comm")).read_text().strip() != program.name:
        time.sleep(0.01)  # the program is not executed yet
    yield process.pid
    process.kill()
    process.wait()
