"""A kernel in place of netlink sockets."""

import os
from collections.abc import Sequence

from dockerv6.lib import netlink
from tests.unit.lib.encoding import message

INTERFACES = {5: "eth0", 6: "eth1", 7: "br0"}


class Kernel:
    """Answers dumps, and records everything else."""

    def __init__(self) -> None:
        self.dumps: dict[int, list[bytes]] = {}
        """Payloads by type of request."""
        self.requests: list[tuple[int, int, bytes]] = []
        """Protocol, type and payload of each dump."""
        self.objects: list[bytes] = []
        """Payloads of the answer to a request for one object; none: ENOENT."""
        self.commands: list[tuple[int, int, int, bytes]] = []
        """Protocol, type, flags and payload."""
        self.errors: dict[int, int] = {}
        """Errno by type of request."""

    def dump(self, protocol: int, kind: int, payload: bytes) -> list[netlink.Payload]:
        self._fail(kind)
        self.requests.append((protocol, kind, payload))
        return self._spans(kind, self.dumps.get(kind, []))

    def get(self, _protocol: int, kind: int, _payload: bytes) -> list[netlink.Payload]:
        self._fail(kind)
        if not self.objects:
            raise FileNotFoundError
        return self._spans(kind, self.objects)

    def command(self, protocol: int, kind: int, flags: int, payload: bytes) -> None:
        self._fail(kind)
        self.commands.append((protocol, kind, flags, payload))

    def command_each(self, protocol: int, kind: int, payloads: Sequence[bytes], *, tolerated: int) -> int:
        del tolerated
        self.commands += [(protocol, kind, 0, payload) for payload in payloads]
        return len(payloads)

    def index(self, name: str) -> int:
        indices = {name: index for index, name in INTERFACES.items()}
        if name not in indices:
            raise OSError
        return indices[name]

    def _fail(self, kind: int) -> None:
        if (code := self.errors.get(kind)) is not None:
            raise OSError(code, os.strerror(code))

    def _spans(self, kind: int, payloads: list[bytes]) -> list[netlink.Payload]:
        datagram = b"".join(message(kind, payload) for payload in payloads)
        return [(datagram, start, end) for _, start, end in netlink.messages(datagram)]
