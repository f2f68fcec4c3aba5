import asyncio
import errno
import json
from collections.abc import AsyncIterator, Callable

import pytest

from dockerv6.firewall.nftables import kernel, session
from dockerv6.firewall.nftables.library import NftError
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallError, FirewallRejected, FirewallUnavailable


class Answers:
    """An `Nft` that answers from a script."""

    def __init__(self, *answers: str | NftError) -> None:
        self.answers = list(answers)
        self.batches: list[tuple[str, bool]] = []
        self.tidied = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def tidy(self) -> None:
        self._loop.call_soon_threadsafe(self.tidied.set)

    def run(self, batch: str, *, check: bool = False) -> str:
        self.batches.append((batch, check))
        answer = self.answers.pop(0)
        if isinstance(answer, NftError):
            raise answer
        return answer


@pytest.fixture
async def opened() -> AsyncIterator[Callable[[Answers | None], NftSession]]:
    made: list[NftSession] = []

    def make(answers: Answers | None) -> NftSession:
        made.append(NftSession(answers))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def test_commands_are_one_batch_and_listings_are_returned(
    opened: Callable[[Answers | None], NftSession],
) -> None:
    answers = Answers('{"nftables": [{"metainfo": {}}]}', "")
    nft = opened(answers)
    assert await nft.run([{"list": {"chains": None}}]) == [{"metainfo": {}}]
    assert await nft.run([{"add": None}, {"delete": None}], check=True) == []
    assert [json.loads(batch)["nftables"] for batch, _ in answers.batches][1] == [{"add": None}, {"delete": None}]
    assert [check for _, check in answers.batches] == [False, True]


async def test_the_library_is_tidied_when_idle(
    opened: Callable[[Answers | None], NftSession],
) -> None:
    answers = Answers("")
    await opened(answers).run([])
    assert not answers.tidied.is_set()
    await asyncio.wait_for(answers.tidied.wait(), 30)


async def test_the_library_is_tidied_at_the_end() -> None:
    answers = Answers("")
    nft = NftSession(answers)
    await nft.run([])
    await nft.close()
    await asyncio.wait_for(answers.tidied.wait(), 30)


@pytest.mark.parametrize(
    ("message", "error", "text"),
    [
        ("Error: Could not process rule: File exists", FirewallRejected, "File exists"),
        ("Error: Could not process rule: Operation not permitted", FirewallUnavailable, "CAP_NET_ADMIN"),
    ],
)
async def test_a_refusal_names_its_cause(
    opened: Callable[[Answers | None], NftSession], message: str, error: type[FirewallError], text: str
) -> None:
    with pytest.raises(error, match=text):
        await opened(Answers(NftError(message))).run([])


async def test_a_batch_is_repeated_while_the_kernel_is_busy(opened: Callable[[Answers | None], NftSession]) -> None:
    busy = NftError("Error: Could not process rule: Device or resource busy")
    assert await opened(Answers(busy, busy, "")).run([]) == []
    with pytest.raises(FirewallRejected, match="busy"):
        await opened(Answers(*[busy] * 9)).run([])


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EPERM, "run as root"),
        (errno.EPROTONOSUPPORT, "modprobe nf_tables"),
        (errno.EOPNOTSUPP, "modprobe nf_tables"),
    ],
)
async def test_the_error_names_what_the_host_lacks(
    opened: Callable[[Answers | None], NftSession], monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, "no")

    monkeypatch.setattr(kernel.NfTables, "_get", refuse)
    nft = opened(None)
    for question in (nft.generation(), nft.inet_table("dockerv6"), nft.run([])):
        with pytest.raises(FirewallUnavailable, match=remedy):
            await question


async def test_without_library_and_program_the_remedy_is_a_package(
    opened: Callable[[Answers | None], NftSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel.NfTables, "generation", lambda _: 1)
    monkeypatch.setattr(session, "LibNft", _not_installed)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FirewallUnavailable, match="apt install nftables"):
        await opened(None).run([])


def _not_installed() -> None:
    raise OSError("libnftables.so.1: cannot open shared object file")
