"""A configuration directory, and its loader."""

from pathlib import Path

import pytest

from dockerv6.source import load as load_module
from dockerv6.source.files import FileOwnership, Signature, read_file
from dockerv6.source.load import Loader
from tests.fakes.clock import FakeClock
from tests.unit.source.trees import NOW


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path.resolve() / "etc"
    path.mkdir(mode=0o755)
    return path


@pytest.fixture
def loader(root: Path, clock: FakeClock) -> Loader:
    return Loader([str(root)], clock=clock, ownership=FileOwnership.of_this_process())


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the files that were read."""
    paths: list[str] = []

    def recording(path: str, listed: Signature) -> bytes:
        paths.append(path)
        return read_file(path, listed)

    monkeypatch.setattr(load_module, "read_file", recording)
    return paths
