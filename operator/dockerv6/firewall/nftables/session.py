"""One thread for all requests to nf_tables."""

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dockerv6.firewall.nftables import kernel
from dockerv6.firewall.nftables.kernel import NftMessage
from dockerv6.firewall.port import FirewallForbidden, FirewallRejected, FirewallUnavailable
from dockerv6.lib.netlink import NETLINK_NETFILTER, NO_SUBSYSTEM, RefusedMessageError
from dockerv6.lib.processes import process_with, socket_inode

T = TypeVar("T")

_ATTEMPTS = 5
_TRANSIENT = frozenset({errno.EBUSY, errno.EINTR, errno.EAGAIN})
"""Errors of a concurrent commit."""

_TOO_LARGE = frozenset({errno.ENOBUFS, errno.EMSGSIZE, errno.ENOMEM})
"""Errors of sending a transaction that the kernel has no buffer for."""

ABSENT = NO_SUBSYSTEM | {errno.EAFNOSUPPORT, errno.ENOENT}
"""Errors of a kernel without nf_tables, or without netlink for packet filters."""

_TABLE_NAME = 1  # in messages of every kind, attribute 1 is the name of the table
_DENIED = frozenset({errno.EPERM, errno.EACCES})


class NftSession:
    """Makes requests on its own thread, in the network namespace of the first caller."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._kernel = kernel.NfTables()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nftables")

    async def close(self) -> None:
        """Stop the thread."""
        self._thread.submit(self._kernel.close)
        await asyncio.to_thread(self._thread.shutdown)

    async def generation(self) -> int:
        """The number of the kernel's current ruleset. Raises `FirewallUnavailable`."""
        return await self.call(self.generation_now)

    async def inet_table(self, name: str) -> kernel.TableState | None:
        """The table of family inet; None if it doesn't exist. Raises `FirewallUnavailable`."""
        return await self.call(lambda: self.inet_table_now(name))

    async def run(self, messages: Sequence[NftMessage], *, check: bool = False) -> None:
        """Have messages executed as one transaction. With `check`, only check them.

        Raises:
            FirewallRejected: refused; nothing was changed.
            FirewallUnavailable: no nf_tables, or no privilege.
        """
        await self.call(lambda: self.run_now(messages, check=check))

    async def call(self, work: Callable[[], T]) -> T:
        """Run a function on the session's thread, where methods that end in `_now` may be called.

        Several requests in one call are faster, because each switch of threads waits for the interpreter's lock.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def generation_now(self) -> int:
        """As `generation`, on the session's thread."""
        return _request(self._kernel.generation)

    def inet_table_now(self, name: str) -> kernel.TableState | None:
        """As `inet_table`, on the session's thread."""
        return _request(lambda: self._kernel.inet_table(name))

    def dump_now(self, message: int, *names: str, family: int = kernel.NFPROTO_INET) -> list[bytes]:
        """As `kernel.NfTables.dump`, on the session's thread."""
        return self._kernel.dump(message, *names, family=family)

    def dump_families_now(self, message: int, *names: str, family: int) -> list[tuple[int, bytes]]:
        """As `kernel.NfTables.dump_families`, on the session's thread."""
        return self._kernel.dump_families(message, *names, family=family)

    def run_now(self, messages: Sequence[NftMessage], *, check: bool = False) -> None:
        """As `run`, on the session's thread."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._kernel.commit(messages, check=check)
            except RefusedMessageError as error:
                if error.errno not in _TRANSIENT or attempt == _ATTEMPTS:
                    raise (self._owned(error, messages) or _refusal(error, messages)) from error
            except OSError as error:
                if error.errno in _TOO_LARGE:
                    raise FirewallRejected(
                        f"a transaction of {len(messages)} messages is too large for the kernel: {error.strerror}"
                    ) from error
                raise unavailable(error) from error
            else:
                return

    def _owned(self, error: RefusedMessageError, messages: Sequence[NftMessage]) -> "OwnedTableError | None":
        """The error if a message was refused because another process owns its table: EPERM, as without privilege."""
        if error.errno != errno.EPERM or not 0 <= error.place < len(messages):
            return None
        refused = messages[error.place]
        name = kernel.text_in(dict(kernel.attributes_of(refused.attributes))[_TABLE_NAME])
        table = _request(lambda: self._kernel.table(refused.family, name))
        if table is None or table.owner is None:
            return None
        return OwnedTableError(kernel.FAMILIES.get(refused.family, ""), name, table.owner)


class OwnedTableError(FirewallUnavailable):
    """Another process owns a table of ours (`flags owner`): only it can change or delete the table."""

    def __init__(self, family: str, table: str, port: int) -> None:
        """Look up the process with the netlink port."""
        super().__init__(
            f"another process owns the packet filter's table {family} {table} (flags owner, netlink port {port}), so"
            f" nobody else can change it: stop {_owning_process(port)}. The kernel then removes the table or, with"
            " flags persist, lets others change it"
        )


def _owning_process(port: int) -> str:
    inode = socket_inode(NETLINK_NETFILTER, port)
    if inode is None:
        return "that process"
    found = process_with(inode)
    if found is not None:
        return f"process {found.pid} ({found.name}), for example with kill {found.pid}"
    # the unit for systemd hides other processes, and a container has its own
    return f"the process that this shows to root on the host: find /proc/[0-9]*/fd -lname 'socket:*{inode}*'"


def _request(request: Callable[[], T]) -> T:
    try:
        return request()
    except OSError as error:
        raise unavailable(error) from error


def unavailable(error: OSError) -> FirewallUnavailable:
    """What the kernel's error on a request means."""
    if error.errno in _DENIED:
        return FirewallForbidden(
            "not permitted to change the packet filter: run as root, or give CAP_NET_ADMIN "
            "(docker run --cap-add NET_ADMIN)"
        )
    if error.errno not in ABSENT:
        return FirewallUnavailable(f"the kernel's packet filter did not answer: {error}")
    return FirewallUnavailable(
        f"the kernel has no nf_tables here ({error}): load it with `modprobe nf_tables`, "
        "or use a kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET"
    )


def _refusal(error: RefusedMessageError, messages: Sequence[NftMessage]) -> FirewallRejected | FirewallUnavailable:
    cause = os.strerror(error.errno or 0)
    if error.errno in _DENIED or (error.place < 0 and error.errno in NO_SUBSYSTEM):
        return unavailable(error)
    if not 0 <= error.place < len(messages):
        return FirewallRejected(f"the kernel refused the transaction: {cause}")
    return FirewallRejected(f"the kernel refused to {messages[error.place].purpose}: {cause}")
