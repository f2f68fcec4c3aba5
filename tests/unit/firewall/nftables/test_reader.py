"""How rules are recognised, from dumps that are made here; tests/host reads the real kernel's."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from dockerv6.firewall.expr import Chain, Rule, UnknownExpr, Verdict
from dockerv6.firewall.nftables import kernel
from dockerv6.firewall.nftables.kernel import TableState, nested, number
from dockerv6.firewall.nftables.reader import TableReader
from dockerv6.firewall.port import FirewallRejected, FirewallUnavailable
from dockerv6.firewall.ruleset import EMPTY, Ruleset
from dockerv6.lib.netlink import attribute

if TYPE_CHECKING:
    from dockerv6.firewall.nftables.session import NftSession

TABLE = attribute(1, b"dockerv6\0")
DROP = Rule((Verdict.DROP,), "why")
ACCEPT = Rule((Verdict.ACCEPT,), "why not")
LOOKUP_IN_AN_ANONYMOUS_SET = "lookup", attribute(1, b"__set7\0")


class Session:
    """The part of an `NftSession` that the reader uses, with one chain `c`."""

    def __init__(self) -> None:
        self.generation = 1
        self.table: TableState | None = TableState()
        self.rules: list[bytes] = []
        self.chain = TABLE + attribute(3, b"c\0")
        self.sets: list[bytes] = []
        self.elements = b"one"
        self.commits = 0  # of other processes, one during each reading

    def generation_now(self) -> int:
        if self.commits:
            self.commits -= 1
            self.generation += 1
        return self.generation

    def inet_table_now(self, name: str) -> TableState | None:
        assert name == "dockerv6"
        return self.table

    def dump_now(self, message: int, *_: str) -> list[bytes]:
        element = attribute(1, attribute(1, self.elements))
        return {
            kernel.NFT_MSG_GETCHAIN: [self.chain],
            kernel.NFT_MSG_GETRULE: self.rules,
            kernel.NFT_MSG_GETSET: self.sets,
            kernel.NFT_MSG_GETSETELEM: [attribute(3, attribute(1, element))],
        }.get(message, [])

    def write(self, *rules: bytes) -> None:
        self.rules = list(rules)
        self.generation += 1


def rule(comment: str, *expressions: tuple[str, bytes]) -> bytes:
    listed = (attribute(1, attribute(1, name.encode() + b"\0") + attribute(2, data)) for name, data in expressions)
    text = comment.encode() + b"\0"
    userdata = attribute(7, bytes((0, len(text))) + text) if comment else b""
    return TABLE + attribute(2, b"c\0") + attribute(4, b"".join(listed)) + userdata


def written(of: Rule, *expressions: tuple[str, bytes]) -> bytes:
    return rule(f"{of.comment} #{of.digest}", *(expressions or (("immediate", b"as rendered"),)))


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def reader(session: Session) -> TableReader:
    return TableReader(cast("NftSession", session))


def rules(reader: TableReader, own_commit: int | None = None) -> tuple[Rule, ...]:
    (chain,) = reader.read(own_commit)[1].chains
    return chain.rules


def test_a_rule_is_recognised_by_its_digest(session: Session, reader: TableReader) -> None:
    session.write(written(ACCEPT), written(DROP))
    assert reader.read() == (2, Ruleset((Chain("c", (ACCEPT, DROP)),), exists=True))


@pytest.mark.parametrize("comment", ["", "why", f"why #{DROP.digest[1:]}", f"why #{ACCEPT.digest}", f"#{DROP.digest}"])
def test_any_other_rule_is_drift(session: Session, reader: TableReader, comment: str) -> None:
    session.write(rule(comment, ("immediate", b"as rendered")))
    assert rules(reader) != (DROP,)


def test_other_expressions_with_the_same_digest_are_drift(session: Session, reader: TableReader) -> None:
    session.write(written(DROP))
    assert rules(reader, own_commit=2) == (DROP,)
    session.write(written(DROP, ("immediate", b"edited")))
    (found,) = rules(reader)
    assert isinstance(found.terms[0], UnknownExpr)
    session.write(written(DROP))
    assert rules(reader) == (DROP,)


def test_a_new_process_remembers_its_first_reading(session: Session, reader: TableReader) -> None:
    session.write(written(DROP, ("immediate", b"in another version")))
    assert rules(reader) == (DROP,)
    session.write(written(DROP, ("immediate", b"edited")))
    assert rules(reader) != (DROP,)


def test_an_own_commit_replaces_what_is_remembered(session: Session, reader: TableReader) -> None:
    session.write(written(DROP, ("immediate", b"in another version")))
    rules(reader)
    session.write(written(DROP))
    assert rules(reader, own_commit=session.generation - 1) != (DROP,)  # another process has committed since
    session.write(written(DROP))
    assert rules(reader, own_commit=session.generation) == (DROP,)


def test_an_anonymous_set_counts_as_its_elements(session: Session, reader: TableReader) -> None:
    session.sets = [TABLE + attribute(2, b"__set7\0") + attribute(3, b"\0\0\0\1")]
    session.write(written(DROP, LOOKUP_IN_AN_ANONYMOUS_SET))
    assert rules(reader, own_commit=2) == (DROP,)
    session.elements = b"two"
    session.write(written(DROP, LOOKUP_IN_AN_ANONYMOUS_SET))
    assert rules(reader) != (DROP,)


def test_an_anonymous_set_whose_name_is_no_text_is_read(session: Session, reader: TableReader) -> None:
    session.sets = [TABLE + attribute(2, b"\xff0\0") + attribute(3, (1).to_bytes(4, "big"))]
    session.write(written(DROP))
    assert rules(reader) == (DROP,)


@pytest.mark.parametrize(
    ("chain", "hook", "policy"),
    [
        (nested(4, number(1, 9), number(2, 0)) + number(5, 1) + attribute(7, b"filter\0"), "9", "accept"),
        (nested(4, number(1, 2), number(2, 0)) + attribute(7, b"filter\0"), "forward", "accept"),
        (nested(4, number(1, 2), number(2, 0)) + number(5, 7) + attribute(7, b"filter\0"), "forward", "7"),
    ],
    ids=["a hook that is unknown", "no policy", "a policy that is unknown"],
)
def test_a_chain_of_a_newer_kernel_is_read(
    session: Session, reader: TableReader, chain: bytes, hook: str, policy: str
) -> None:
    session.chain += chain
    _, found = reader.read()
    assert [(each.hook, each.policy) for each in found.chains] == [(hook, policy)]


def test_an_unchanged_table_is_the_same_object(session: Session, reader: TableReader) -> None:
    session.write(written(DROP))
    _, first = reader.read()
    session.generation += 1
    assert reader.read() == (3, first)
    assert reader.read()[1] is first


def test_without_a_table_the_ruleset_is_empty(session: Session, reader: TableReader) -> None:
    session.table = None
    assert reader.read()[1] == EMPTY


@pytest.mark.parametrize("flag", ["dormant", "persist"])
def test_a_table_with_a_flag_is_read_all_the_same(session: Session, reader: TableReader, flag: str) -> None:
    session.write(written(DROP))
    _, plain = reader.read()
    session.table = TableState((flag,))
    session.generation += 1
    assert reader.read()[1] == replace(plain, foreign=(f"the {flag} flag",))


def test_a_table_that_another_process_owns_is_an_error_with_the_process(session: Session, reader: TableReader) -> None:
    session.table = TableState(owner=0xFFFF_FFF0)
    with pytest.raises(FirewallUnavailable, match=r"another process owns .*inet dockerv6.*netlink port 4294967280"):
        reader.read()


def test_a_reading_is_repeated_until_no_commit_comes_in_between(session: Session, reader: TableReader) -> None:
    session.commits = 4
    assert reader.read()[0] == session.generation
    session.commits = 1_000_000
    with pytest.raises(FirewallRejected, match="other programs"):
        reader.read()


@pytest.mark.parametrize("error", [OSError(errno.ENOBUFS, "no buffer"), TimeoutError("timed out")])
def test_a_dump_that_fails_is_no_change_by_others(
    session: Session, reader: TableReader, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def fail(*_: object) -> list[bytes]:
        raise error

    monkeypatch.setattr(session, "dump_now", fail)
    with pytest.raises(FirewallUnavailable, match=str(error.strerror or error)):
        reader.read()


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "gone"), InterruptedError(errno.EINTR, "changed")])
def test_a_dump_that_others_interrupt_is_repeated(
    session: Session, reader: TableReader, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    dump, errors = session.dump_now, [error, error]

    def interrupted(message: int, *names: str) -> list[bytes]:
        if errors:
            raise errors.pop()
        return dump(message, *names)

    session.write(written(DROP))
    monkeypatch.setattr(session, "dump_now", interrupted)
    assert rules(reader) == (DROP,)
