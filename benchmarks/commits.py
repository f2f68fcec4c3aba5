"""An independent witness: every commit to the packet filter of a network namespace, from the kernel's notifications."""

from __future__ import annotations

import json
import queue
import select
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from dockerv6.firewall.nftables.commands import FAMILY, TABLE
from dockerv6.lib.netlink import NETLINK_NETFILTER, RECEIVE_SIZE, attributes, messages, subscribe, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from tests.lab.namespace import Namespace

_NFNLGRP_NFTABLES = 7
_SUBSYSTEM = 10
_NEWGEN = 15
_TABLE = 1  # attribute of every kind of object; linux/netfilter/nf_tables.h
_NFGENMSG = 4
_MAKES = frozenset({0, 3, 6, 9, 12})  # NEWTABLE, NEWCHAIN, NEWRULE, NEWSET, NEWSETELEM
_REMOVES = frozenset({2, 5, 8, 11, 14})
_BUFFER = 8 << 20


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit that changed our table, and the time of its last notification (`time.monotonic`)."""

    at: float
    makes: bool
    removes: bool


class Witness:
    """Reads notifications on its own thread, independently of the operator."""

    def __init__(self, namespace: Namespace) -> None:
        """Subscribe in the namespace."""
        with namespace.entered():
            self._socket = subscribe(NETLINK_NETFILTER, (_NFNLGRP_NFTABLES,), _BUFFER)
        self._commits: queue.SimpleQueue[Commit] = queue.SimpleQueue()
        self._kinds: set[int] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def next(self, timeout: float) -> Commit | None:
        """The next commit to our table; None after `timeout` seconds without one."""
        try:
            return self._commits.get(timeout=timeout)
        except queue.Empty:
            return None

    def drain(self) -> int:
        """Drop the commits that were not read, and return their number."""
        count = 0
        while self.next(0) is not None:
            count += 1
        return count

    def _read(self) -> None:
        buffer = memoryview(bytearray(RECEIVE_SIZE))
        while not self._ended.is_set():
            if not select.select([self._socket], [], [], 0.1)[0]:
                continue
            size = self._socket.recv_into(buffer)
            now = time.monotonic()
            for kind, start, end in messages(buffer[:size]):
                self._message(kind, buffer[:size], start, end, now)

    def _message(self, kind: int, buffer: memoryview, start: int, end: int, now: float) -> None:
        if kind >> 8 != _SUBSYSTEM:
            return
        if kind & 0xFF == _NEWGEN:
            if self._kinds:
                self._commits.put(Commit(now, bool(self._kinds & _MAKES), bool(self._kinds & _REMOVES)))
            self._kinds = set()
            return
        for attribute, value, stop in attributes(buffer, start + _NFGENMSG, end):
            if attribute == _TABLE:
                if text(buffer, value, stop) == TABLE:
                    self._kinds.add(kind & 0xFF)
                return


class Vandal:
    """Damages the packet filter of a namespace with the nft program."""

    def __init__(self, namespace: Namespace) -> None:
        """Run nft in this namespace."""
        self._namespace = namespace

    def run(self, *commands: Mapping[str, object]) -> list[dict[str, object]]:
        """Run commands as one transaction."""
        output = self._namespace.exec("nft", "-j", "-f", "-", stdin=json.dumps({"nftables": commands})).stdout
        return list(json.loads(output)["nftables"]) if output.strip() else []

    def listing(self) -> list[str]:
        """Our table in a comparable form: without handles, elements sorted."""
        found = self.run({"list": {"table": {"family": FAMILY, "name": TABLE}}})
        return sorted(json.dumps(_comparable(item), sort_keys=True) for item in found)

    def delete_rule(self, chain: str) -> None:
        """Like `nft delete rule`: delete the chain's last rule."""
        here = {"family": FAMILY, "table": TABLE}
        found = self.run({"list": {"chain": {"family": FAMILY, "table": TABLE, "name": chain}}})
        handles = [item["rule"]["handle"] for item in found if isinstance(item.get("rule"), dict)]  # type: ignore[index]
        self.run({"delete": {"rule": {**here, "chain": chain, "handle": handles[-1]}}})

    def flush_table(self) -> None:
        """Like `nft flush table`: delete rules, keep chains and sets."""
        self.run({"flush": {"table": {"family": FAMILY, "name": TABLE}}})

    def delete_table(self) -> None:
        """Like `nft delete table`."""
        self.run({"delete": {"table": {"family": FAMILY, "name": TABLE}}})

    def flush_ruleset(self) -> None:
        """Like `nft flush ruleset`, or loading a ruleset that begins with it."""
        self.run({"flush": {"ruleset": None}})


def _comparable(item: object) -> object:
    if isinstance(item, dict):
        return {key: _comparable(value) for key, value in item.items() if key != "handle"}
    if isinstance(item, list):
        return sorted((_comparable(each) for each in item), key=lambda each: json.dumps(each, sort_keys=True))
    return item
