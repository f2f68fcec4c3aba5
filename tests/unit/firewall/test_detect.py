"""The choice of a backend, on a fake kernel."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall import detect
from dockerv6.firewall.hostfilter.linux import engine_variants
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.nftables.kernel import NFPROTO_UNSPEC, NFT_MSG_GETCHAIN
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallError, FirewallRejected, FirewallUnavailable
from dockerv6.firewall.xtables import legacy as kernel
from dockerv6.firewall.xtables.legacy import LegacyReader, LegacyTable
from tests.unit.lib.encoding import attribute

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from dockerv6.firewall.nftables.kernel import NftMessage, TableState

NO_NFT = FirewallUnavailable("the kernel has no nf_tables here: modprobe nf_tables")
OLD = FirewallRejected("Operation not supported")


class Session(NftSession):
    """nf_tables that works, is too old, or is missing."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: FirewallError | None = None
        self.chains: list[tuple[int, bytes]] = []
        self.checked = 0

    async def inet_table(self, name: str) -> TableState | None:
        assert name == "dockerv6"
        if isinstance(self.failure, FirewallUnavailable):
            raise self.failure
        return None

    async def run(self, messages: Sequence[NftMessage], *, check: bool = False) -> None:
        assert messages
        assert check
        if self.failure is not None:
            raise self.failure
        self.checked += 1

    def dump_families_now(self, message: int, *names: str, family: int) -> list[tuple[int, bytes]]:
        assert (message, names, family) == (NFT_MSG_GETCHAIN, (), NFPROTO_UNSPEC)
        if self.failure is NO_NFT:
            raise OSError(errno.EPROTONOSUPPORT, os.strerror(errno.EPROTONOSUPPORT))
        return self.chains


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    made = Session()
    yield made
    await made.close()


@pytest.fixture
def legacy(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """The legacy tables that the kernel has; modprobe loads none."""
    tables = {"mangle": True, "nat": True}
    monkeypatch.setattr(LegacyReader, "has_table", lambda _, name: tables[name])
    monkeypatch.setattr(kernel, "used_tables", frozenset)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: None)
    return tables


@pytest.mark.usefixtures("legacy")
async def test_nftables_is_used_if_it_accepts_our_ruleset(session: Session) -> None:
    choice = await detect.choose("auto", session)
    assert (choice.backend, choice.others, choice.limits, choice.warnings) == ("nftables", ("iptables",), (), ())
    assert session.checked == 1
    assert detect.build(choice, session).backend == "nftables"
    assert [each.backend for each in detect.others(choice, session)] == ["iptables"]


@pytest.mark.usefixtures("legacy")
@pytest.mark.parametrize(("failure", "remedy"), [(NO_NFT, "modprobe nf_tables"), (OLD, "kernel 5.8 or newer")])
async def test_iptables_is_used_where_nftables_does_not_work(
    session: Session, failure: FirewallError, remedy: str
) -> None:
    session.failure = failure
    choice = await detect.choose("auto", session)
    assert (choice.backend, choice.others) == ("iptables", ())
    assert remedy in choice.why
    assert "[::1]" in choice.limits[0]
    assert detect.build(choice, session).backend == "iptables"
    assert detect.others(choice, session) == ()
    with pytest.raises(FirewallUnavailable, match="--firewall-backend nftables"):
        await detect.choose("nftables", session)


async def test_iptables_is_used_when_asked_for(session: Session, legacy: dict[str, bool]) -> None:
    choice = await detect.choose("iptables", session)
    assert (choice.backend, choice.why, choice.others) == ("iptables", "as asked for", ("nftables",))
    legacy["nat"] = False
    with pytest.raises(FirewallUnavailable, match=r"--firewall-backend iptables: .*modprobe"):
        await detect.choose("iptables", session)


async def test_without_a_working_backend_the_error_has_both_remedies(session: Session, legacy: dict[str, bool]) -> None:
    session.failure, legacy["mangle"] = NO_NFT, False
    with pytest.raises(FirewallUnavailable, match=r"modprobe nf_tables.*modprobe ip6table_mangle"):
        await detect.choose("auto", session)


async def test_without_the_privilege_the_error_says_so(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_: LegacyReader, name: str) -> bool:
        raise FirewallUnavailable(f"not permitted: {name}")

    monkeypatch.setattr(LegacyReader, "has_table", denied)
    session.failure = NO_NFT
    with pytest.raises(FirewallUnavailable, match="not permitted: mangle"):
        await detect.choose("auto", session)


async def test_an_unknown_backend_is_refused(session: Session) -> None:
    with pytest.raises(ValueError, match="pf"):
        await detect.choose("pf", session)


@pytest.mark.usefixtures("legacy")
async def test_engine_chains_in_both_variants_are_a_warning(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    chain, ours, native, ipv4 = (
        (family, attribute(1, table.encode() + b"\0") + attribute(3, name.encode() + b"\0"))
        for family, table, name in (
            (10, "nat", "DOCKER"),
            (10, "nat", "DOCKERV6-OUTPUT"),
            (10, "docker-bridges", "filter-FORWARD"),
            (2, "nat", "DOCKER"),
        )
    )
    session.chains = [ours, ipv4]
    assert await engine_variants(session) == frozenset()
    session.chains = [chain, native]
    assert await engine_variants(session) == {FilterVariant.XTABLES_NFT, FilterVariant.NFTABLES}
    assert (await detect.choose("auto", session)).warnings == ()
    monkeypatch.setattr(LegacyReader, "read", lambda *_: LegacyTable())
    monkeypatch.setattr(LegacyTable, "entries", lambda _: {"DOCKER-USER": ()})
    assert FilterVariant.XTABLES_LEGACY in await engine_variants(session)
    assert "both get our accept rule" in (await detect.choose("auto", session)).warnings[0]
