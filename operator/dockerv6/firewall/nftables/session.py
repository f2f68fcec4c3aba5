"""One thread for all requests to nftables."""

import asyncio
import errno
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dockerv6.firewall.nftables import kernel
from dockerv6.firewall.nftables.library import SONAME, JsonObject, LibNft, Nft, NftError, NftExecutable
from dockerv6.firewall.port import FirewallForbidden, FirewallRejected, FirewallUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

_ATTEMPTS = 5
_IDLE = 0.2
"""Seconds without a request before unused memory and sockets of the library are freed."""
_TRANSIENT = ("Device or resource busy", "Interrupted system call", "Resource temporarily unavailable")
"""libnftables reports errors as text only. These three (EBUSY, EINTR, EAGAIN) are those of a concurrent commit."""


class NftSession:
    """Runs nftables commands on its own thread, in the network namespace of the first caller.

    The library or the program is loaded at the first use, so that the daemon starts without it and can report that.
    """

    def __init__(self, nft: Nft | None = None) -> None:
        """Use `nft` if given, otherwise libnftables or the nft program, whichever the host has."""
        self._nft = nft
        self._kernel = kernel.NfTables()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nftables")
        self._tidying: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """Stop the thread."""
        if self._tidying is not None:
            self._tidying.cancel()
        self._thread.submit(self._tidy)
        self._thread.submit(self._kernel.close)
        await asyncio.to_thread(self._thread.shutdown)

    async def generation(self) -> int:
        """The number of the kernel's current ruleset. Raises `FirewallUnavailable`."""
        return await self.call(self.generation_now)

    async def inet_table(self, name: str) -> kernel.TableState | None:
        """The table of family inet; None if it doesn't exist. Raises `FirewallUnavailable`."""
        return await self.call(lambda: self.inet_table_now(name))

    async def run(self, commands: Sequence[JsonObject], *, check: bool = False) -> list[JsonObject]:
        """Run commands as one transaction and return what they list. With `check`, only check them.

        Raises:
            FirewallRejected: refused; nothing was changed.
            FirewallUnavailable: no library, no nf_tables, or no privilege.
        """
        return await self.call(lambda: self.run_now(commands, check=check))

    async def call(self, work: Callable[[], T]) -> T:
        """Run a function on the session's thread, where methods that end in `_now` may be called.

        Several requests in one call are faster, because each switch of threads waits for the interpreter's lock.
        """
        loop = asyncio.get_running_loop()
        if self._tidying is not None:
            self._tidying.cancel()
        try:
            return await loop.run_in_executor(self._thread, work)
        finally:
            self._tidying = loop.call_later(_IDLE, self._thread.submit, self._tidy)

    def _tidy(self) -> None:
        """On the session's thread, when no request is waiting."""
        if self._nft is not None:
            self._nft.tidy()

    def generation_now(self) -> int:
        """As `generation`, on the session's thread."""
        return _request(self._kernel.generation)

    def inet_table_now(self, name: str) -> kernel.TableState | None:
        """As `inet_table`, on the session's thread."""
        return _request(lambda: self._kernel.inet_table(name))

    def dump_now(self, message: int, *names: str, family: int = kernel.NFPROTO_INET) -> list[bytes]:
        """As `kernel.NfTables.dump`, on the session's thread."""
        return self._kernel.dump(message, *names, family=family)

    def run_now(self, commands: Sequence[JsonObject], *, check: bool = False) -> list[JsonObject]:
        """As `run`, on the session's thread."""
        if self._nft is None:
            self.generation_now()  # libnftables ends the whole process where the kernel has no nfnetlink
            self._nft = _load_library()
        batch = json.dumps({"nftables": commands})
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                output = self._nft.run(batch, check=check)
            except NftError as error:
                if attempt == _ATTEMPTS or not any(text in str(error) for text in _TRANSIENT):
                    raise _translated(str(error)) from error
            else:
                break
        listed = json.loads(output)["nftables"] if output.strip() else []
        return list(listed)


def _load_library() -> Nft:
    try:
        return LibNft()
    except OSError as error:
        missing = error
    if shutil.which("nft") is None:
        raise FirewallUnavailable(
            f"neither {SONAME} nor the nft program is installed: apt install nftables (or your distribution's nftables)"
        )
    logger.warning("%s can't be loaded (%s); running the nft program instead", SONAME, missing)
    return NftExecutable()


def _request(request: Callable[[], T]) -> T:
    try:
        return request()
    except OSError as error:
        if error.errno in {errno.EPERM, errno.EACCES}:
            raise _denied() from error
        raise FirewallUnavailable(
            f"the kernel has no nf_tables here ({error}): load it with `modprobe nf_tables`, "
            "or use a kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET"
        ) from error


def _denied() -> FirewallForbidden:
    return FirewallForbidden(
        "not permitted to change the packet filter: run as root, or give CAP_NET_ADMIN (docker run --cap-add NET_ADMIN)"
    )


def _translated(message: str) -> FirewallRejected | FirewallUnavailable:
    if "Operation not permitted" in message:
        return _denied()
    return FirewallRejected(f"nftables refused: {message}")
