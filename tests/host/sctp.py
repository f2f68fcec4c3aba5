"""SCTP chunks by hand (RFC 9260), since not every kernel has its sockets."""

import socket
import struct
from dataclasses import dataclass

PROTOCOL = 132
INIT, INIT_ACK = 1, 2

_HEADER = struct.Struct("!HHI")  # ports, verification tag; the checksum follows
_CHUNK = struct.Struct("!BBHIIHHI")  # type, flags, length, initiate tag, window, streams out and in, first number


@dataclass(frozen=True)
class Packet:
    """A packet of one INIT or INIT ACK chunk."""

    source: int
    destination: int
    kind: int
    tag: int  # what the receiver chose; none yet for INIT
    own_tag: int

    def encoded(self) -> bytes:
        chunk = _CHUNK.pack(self.kind, 0, _CHUNK.size, self.own_tag, 65536, 1, 1, 1)
        header = _HEADER.pack(self.source, self.destination, self.tag)
        return header + struct.pack("<I", _crc32c(header + bytes(4) + chunk)) + chunk

    @classmethod
    def decoded(cls, data: bytes) -> "Packet":
        source, destination, tag = _HEADER.unpack_from(data)
        checked = data[: _HEADER.size] + bytes(4) + data[_HEADER.size + 4 :]
        assert struct.unpack_from("<I", data, _HEADER.size)[0] == _crc32c(checked), "a wrong checksum"
        kind, _, _, own_tag, *_ = _CHUNK.unpack_from(data, _HEADER.size + 4)
        return cls(source, destination, kind, tag, own_tag)


def receive(at: socket.socket) -> tuple[Packet, str]:
    """The next packet, and the address that it came from."""
    data, source = at.recvfrom(1500)
    return Packet.decoded(data), str(source[0])


def _crc32c(data: bytes) -> int:
    """RFC 9260, appendix A."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF
