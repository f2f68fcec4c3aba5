"""The names of user-defined chains in a legacy table. The host tests read real ones."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.engine_chains import EngineTables, chain_names
from dockerv6.firewall.nftables import kernel
from dockerv6.firewall.port import FirewallUnavailable
from dockerv6.firewall.xtables import legacy

if TYPE_CHECKING:
    from collections.abc import Callable


def head(name: bytes) -> bytes:
    """The target that begins a chain (xt_error_target)."""
    return b"ERROR".ljust(29, b"\0") + b"\0" + name.ljust(30, b"\0")


def test_names_the_chains_of_a_table() -> None:
    entries = b"\0" * 112 + head(b"DOCKER") + b"\0" * 40 + head(b"DOCKER-USER") + head(b"ERROR")
    assert chain_names(entries) == {"DOCKER", "DOCKER-USER", "ERROR"}


def test_a_table_without_chains_has_none() -> None:
    assert chain_names(b"\0" * 500) == frozenset()


def test_a_truncated_name_is_read_to_its_end() -> None:
    assert chain_names(head(b"DOCKER")[:33]) == {"DOC"}


class Session:
    """The kernel's answers: nf_tables with a chain `DOCKER` in some tables."""

    def __init__(self) -> None:
        self.generation = 1
        self.tables = ["nat"]
        self.listed = 0
        self.error: Exception | None = None

    async def call(self, work: Callable[[], frozenset[str]]) -> frozenset[str]:
        return work()

    def generation_now(self) -> int:
        if self.error is not None:
            raise self.error
        return self.generation

    def dump_families_now(self, _: int, *, family: int) -> list[tuple[int, bytes]]:
        del family
        self.listed += 1
        if self.error is not None:
            raise OSError(errno.EPROTONOSUPPORT, "no nfnetlink")
        return [(2, kernel.text(1, table) + kernel.text(3, "DOCKER")) for table in self.tables]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(legacy, "used_tables", lambda _: frozenset())
    return Session()


async def test_chains_are_listed_once_in_each_generation(session: Session) -> None:
    tables = EngineTables(session)  # type: ignore[arg-type]
    for _ in range(3):
        assert await tables.read() == {"ip nat"}
    assert session.listed == 1
    session.generation, session.tables = 2, []
    assert await tables.read() == frozenset()


async def test_without_nf_tables_there_are_none(session: Session) -> None:
    session.error = FirewallUnavailable("no nf_tables")
    tables = EngineTables(session)  # type: ignore[arg-type]
    assert await tables.read() == frozenset()
    session.error = None
    assert await tables.read() == {"ip nat"}
