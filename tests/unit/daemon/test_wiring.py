from pathlib import Path

import pytest

from dockerv6.daemon import wiring
from dockerv6.daemon.settings import Settings
from dockerv6.store.memory import MemoryStore


async def installation(store: MemoryStore, state_dir: str = "/var/lib/dockerv6", instance: str = "dockerv6") -> str:
    return await wiring._installation(Settings(state_dir=state_dir, instance=instance), store)


async def test_the_installation_is_the_same_after_the_state_was_lost() -> None:
    assert await installation(MemoryStore()) == await installation(MemoryStore())


async def test_the_installation_stays_when_the_state_directory_is_moved() -> None:
    store = MemoryStore()
    first = await installation(store)
    assert await installation(store, "/srv/dockerv6") == first


async def test_another_machine_state_directory_or_instance_is_another_installation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = await installation(MemoryStore())
    assert await installation(MemoryStore(), "/srv/dockerv6") != here
    assert await installation(MemoryStore(), instance="two") != here
    (tmp_path / "machine-id").write_text("another\n")
    monkeypatch.setattr(wiring, "_MACHINE_ID", tmp_path / "machine-id")
    assert await installation(MemoryStore()) != here


async def test_a_machine_without_an_id_has_an_installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wiring, "_MACHINE_ID", tmp_path / "missing")
    assert await installation(MemoryStore())
