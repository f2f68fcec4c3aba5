from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.nftables import kernel
from dockerv6.firewall.nftables.commands import delete_table
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallError, FirewallRejected, FirewallUnavailable
from dockerv6.lib.netlink import NetlinkSocket, RefusedMessageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

BATCH_BEGIN, DELTABLE, BATCH_END = 16, 10 << 8 | 2, 17


class Kernel:
    """Transactions that are recorded, and the errors that they end with."""

    def __init__(self) -> None:
        self.errors: list[OSError] = []
        self.kinds: list[list[int]] = []

    def transaction(self, requests: Sequence[tuple[int, int, bytes]]) -> None:
        self.kinds.append([kind for kind, _, _ in requests])
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(NetlinkSocket, "transaction", lambda _, requests: made.transaction(requests))
    return made


@pytest.fixture
async def session() -> AsyncIterator[NftSession]:
    made = NftSession()
    yield made
    await made.close()


async def test_messages_are_one_transaction_which_a_check_does_not_end(session: NftSession, answers: Kernel) -> None:
    await session.run([delete_table()])
    await session.run([delete_table(), delete_table()], check=True)
    await session.run([])
    assert answers.kinds == [[BATCH_BEGIN, DELTABLE, BATCH_END], [BATCH_BEGIN, DELTABLE, DELTABLE]]


@pytest.mark.parametrize(
    ("code", "place", "error", "text"),
    [
        (errno.ENOENT, 1, FirewallRejected, "refused to delete table inet dockerv6: No such file"),
        (errno.ELOOP, 0, FirewallRejected, "refused the transaction: Too many levels"),
        (errno.EPERM, 0, FirewallUnavailable, "CAP_NET_ADMIN"),
        (errno.EOPNOTSUPP, 0, FirewallUnavailable, "modprobe nf_tables"),
        (errno.EOPNOTSUPP, 1, FirewallRejected, "refused to delete"),
    ],
)
async def test_a_refusal_names_its_cause(
    session: NftSession, answers: Kernel, code: int, place: int, error: type[FirewallError], text: str
) -> None:
    answers.errors = [RefusedMessageError(code, place)]
    with pytest.raises(error, match=text):
        await session.run([delete_table()])


@pytest.mark.parametrize("code", [errno.ENOBUFS, errno.EMSGSIZE, errno.ENOMEM])
async def test_a_transaction_that_can_not_be_sent_is_refused(session: NftSession, answers: Kernel, code: int) -> None:
    answers.errors = [OSError(code, "no buffer")]
    with pytest.raises(FirewallRejected, match="1 messages is too large for the kernel: no buffer"):
        await session.run([delete_table()])


async def test_a_kernel_that_does_not_answer_lacks_no_module(session: NftSession, answers: Kernel) -> None:
    for error in (TimeoutError("timed out"), OSError(errno.EMFILE, "too many open files")):
        answers.errors = [error]
        with pytest.raises(FirewallUnavailable) as raised:
            await session.run([delete_table()])
        assert "modprobe" not in str(raised.value)
        assert str(error) in str(raised.value)


async def test_a_transaction_is_repeated_while_the_kernel_is_busy(session: NftSession, answers: Kernel) -> None:
    answers.errors = [RefusedMessageError(errno.EBUSY, 1) for _ in range(2)]
    await session.run([delete_table()])
    assert len(answers.kinds) == 3
    answers.errors = [RefusedMessageError(errno.EBUSY, 1) for _ in range(9)]
    with pytest.raises(FirewallRejected, match="busy"):
        await session.run([delete_table()])


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EPERM, "run as root"),
        (errno.EPROTONOSUPPORT, "modprobe nf_tables"),
        (errno.EOPNOTSUPP, "modprobe nf_tables"),
    ],
)
async def test_the_error_names_what_the_host_lacks(
    session: NftSession, answers: Kernel, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, "no")

    monkeypatch.setattr(kernel.NfTables, "_get", refuse)
    answers.errors = [OSError(number, "no")]
    for question in (session.generation(), session.inet_table("dockerv6"), session.run([delete_table()])):
        with pytest.raises(FirewallUnavailable, match=remedy):
            await question
