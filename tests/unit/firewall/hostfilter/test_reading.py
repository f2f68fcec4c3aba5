"""Reading the host's filters: what can not be read has no certain verdict, and what was read is kept."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.hostfilter import reading
from dockerv6.firewall.hostfilter.reading import FilterReader, PacketWalk
from dockerv6.firewall.nftables import kernel
from dockerv6.firewall.walk.verdicts import PASSES
from dockerv6.lib import netlink
from tests.unit.firewall.walk.scene import EGRESS, PATHS

if TYPE_CHECKING:
    from collections.abc import Iterator


def text(kind: int, value: str) -> bytes:
    return kernel.text(kind, value)


def chain(hook: int, priority: int = 0, policy: int = 1, table: str = "site") -> bytes:
    where = kernel.nested(4, kernel.number(1, hook), kernel.number(2, priority))
    return text(1, table) + text(3, "its") + where + kernel.number(5, policy) + text(7, "filter")


def drop(handle: int = 4, packets: int = 0) -> bytes:
    """A rule with a counter."""
    counter = kernel.nested(1, text(1, "counter"), kernel.nested(2, kernel.number(2, packets)))
    verdict = kernel.nested(2, kernel.nested(2, kernel.number(1, 0)))
    dropping = kernel.nested(1, text(1, "immediate"), kernel.nested(2, kernel.number(1, 0), verdict))
    place = netlink.attribute(3, handle.to_bytes(8, "big"))
    return text(1, "site") + text(2, "its") + place + kernel.nested(4, counter, dropping)


class Kernel(kernel.NfTables):
    """A kernel with a table of family inet."""

    def __init__(self, *rules: bytes) -> None:
        super().__init__()
        self.generations: Iterator[int] = iter([1] * 100)
        self.rules = list(rules)
        self.flags = 0
        self.error: Exception | None = None

    def generation(self) -> int:
        return next(self.generations)

    def dump(
        self, message: int, *names: str, family: int = kernel.NFPROTO_INET, most: float = float("inf")
    ) -> list[bytes]:
        del names, most
        if self.error is not None:
            raise self.error
        if family != kernel.NFPROTO_INET:
            return []
        table = text(1, "site") + kernel.number(2, self.flags)
        return {
            kernel.NFT_MSG_GETTABLE: [table],
            kernel.NFT_MSG_GETCHAIN: [chain(2)],
            kernel.NFT_MSG_GETRULE: self.rules,
        }.get(message, [])


@pytest.fixture(autouse=True)
def without_legacy_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "used_tables", frozenset)


def follow(walk: PacketWalk) -> tuple[bool | None, str]:
    (verdict,) = walk.follow((EGRESS,), PATHS)
    return verdict.passes, verdict.doubt


def test_a_rule_that_comes_and_goes_is_noticed() -> None:
    there = Kernel()
    walk = PacketWalk(FilterReader(there))
    assert walk.follow((EGRESS,), PATHS) == (PASSES,)
    there.generations, there.rules = iter([2] * 9), [drop()]
    (verdict,) = walk.follow((EGRESS,), PATHS)
    assert (verdict.passes, str(verdict.place)) == (False, "inet table site, chain its (nftables): rule handle 4")
    there.generations, there.rules = iter([3] * 9), []
    assert walk.follow((EGRESS,), PATHS) == (PASSES,)


def test_counted_packets_change_nothing() -> None:
    there = Kernel(drop())
    walk = PacketWalk(FilterReader(there))
    (before,) = walk.follow((EGRESS,), PATHS)
    there.generations, there.rules = iter([2] * 9), [drop(packets=99)]
    (after,) = walk.follow((EGRESS,), PATHS)
    assert after is before


def test_a_dormant_table_is_left_out() -> None:
    there = Kernel(drop())
    there.flags = 1
    assert PacketWalk(FilterReader(there)).follow((EGRESS,), PATHS) == (PASSES,)


def test_a_filter_that_changes_all_the_time_is_unknown() -> None:
    there = Kernel(drop())
    there.generations = iter(range(100))
    passes, doubt = follow(PacketWalk(FilterReader(there)))
    assert passes is None
    assert "changes all the time" in doubt


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (PermissionError(errno.EPERM, "not permitted"), "not permitted"),
        (OSError(errno.ENOMEM, "no memory"), "no memory"),
        (OverflowError(), "too many rules"),
        (InterruptedError(), "changes all the time"),
    ],
)
def test_a_filter_that_cannot_be_read_is_unknown(error: Exception, why: str) -> None:
    there = Kernel(drop())
    there.error = error
    passes, doubt = follow(PacketWalk(FilterReader(there)))
    assert passes is None
    assert why in doubt


def test_a_kernel_without_nf_tables_has_no_rules_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: Kernel) -> int:
        raise OSError(errno.EPROTONOSUPPORT, "no nfnetlink")

    monkeypatch.setattr(Kernel, "generation", absent)
    assert PacketWalk(FilterReader(Kernel(drop()))).follow((EGRESS,), PATHS) == (PASSES,)


def test_flows_that_were_not_reached_are_followed_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    there = Kernel(drop())
    walk = PacketWalk(FilterReader(there))
    monkeypatch.setattr(reading, "STEPS", 0)
    assert follow(walk)[0] is None
    monkeypatch.undo()
    monkeypatch.setattr(reading, "used_tables", frozenset)
    assert follow(walk)[0] is False
