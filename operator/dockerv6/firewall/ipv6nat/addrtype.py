"""Whether a rule's addrtype match means the source or the destination, asked of nf_tables itself.

iptables-nft stores the match as xtables' own bytes, of which libnftables (1.1) shows the name alone. One dump of one
chain over nfnetlink (linux/netfilter/nf_tables.h, nf_tables_compat.h), a few attributes deep.
"""

import os
import socket
import struct
from collections.abc import Iterator

_NETLINK_NETFILTER = 12
_NFNL_SUBSYS_NFTABLES = 10
_NFT_MSG_GETRULE = 7
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_REQUEST_DUMP = 0x1 | 0x300  # NLM_F_REQUEST | NLM_F_DUMP
_NFPROTO_IPV6 = 10
_RULE_TABLE, _RULE_CHAIN, _RULE_HANDLE, _RULE_EXPRESSIONS = 1, 2, 3, 4
_EXPR_NAME, _EXPR_DATA = 1, 2
_MATCH_NAME, _MATCH_INFO = 1, 3
_NAME = b"addrtype\0"
_LEGACY_DATA = 30  # name and revision (XT_EXTENSION_MAXNAMELEN + 1): from a match's name to its data
_LOCAL = 1 << 2  # XT_ADDRTYPE_LOCAL, linux/netfilter/xt_addrtype.h
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_FAMILY = struct.Struct("!BBH")  # nfgenmsg: family, version, resource id
_ATTRIBUTE = struct.Struct("=HH")
_TYPES = struct.Struct("=HH")  # xt_addrtype_info, both revisions: source, dest
_TYPE_MASK = 0x3FFF
_BUFFER = 1 << 17
_TIMEOUT = 5.0  # seconds; the kernel answers at once


def local_addresses(table: str, chain: str) -> dict[int, str]:
    """Rules of an ip6 chain that match on a local address: handle to "src" or "dst". Blocks, of this thread's network.

    Raises:
        OSError: no nf_tables, or no CAP_NET_ADMIN.
    """
    body = _FAMILY.pack(_NFPROTO_IPV6, 0, 0) + _text(_RULE_TABLE, table) + _text(_RULE_CHAIN, chain)
    kind = _NFNL_SUBSYS_NFTABLES << 8 | _NFT_MSG_GETRULE
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as channel:
        channel.settimeout(_TIMEOUT)
        channel.bind((0, 0))
        channel.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_DUMP, 1, 0) + body)
        found: dict[int, str] = {}
        while True:
            for message_kind, message in _messages(channel.recv(_BUFFER)):
                if message_kind == _NLMSG_DONE:
                    return found
                if message_kind == _NLMSG_ERROR:
                    number = -struct.unpack_from("=i", message)[0]
                    raise OSError(number, os.strerror(number))
                found.update(_meant(message[_FAMILY.size :]))


def in_entry(entry: bytes) -> str:
    """The same of a rule of iptables-legacy (struct ip6t_entry, with xt_entry_match in it); empty: no such match."""
    at = entry.find(_NAME)
    return _side(entry[at + _LEGACY_DATA :]) if at >= 0 else ""


def _meant(message: bytes) -> dict[int, str]:
    if _NAME not in message:  # most rules: spared the walk
        return {}
    rule = dict(_attributes(message))
    for _, item in _attributes(rule.get(_RULE_EXPRESSIONS, b"")):
        expression = dict(_attributes(item))
        if expression.get(_EXPR_NAME) != b"match\0":
            continue
        match = dict(_attributes(expression.get(_EXPR_DATA, b"")))
        if match.get(_MATCH_NAME) == _NAME:
            handle = int.from_bytes(rule.get(_RULE_HANDLE, b""), "big")
            return {handle: _side(match.get(_MATCH_INFO, b""))}
    return {}


def _side(information: bytes) -> str:
    if len(information) < _TYPES.size:
        return "?"
    return {(_LOCAL, 0): "src", (0, _LOCAL): "dst"}.get(_TYPES.unpack_from(information), "?")


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, _, _, _ = _HEADER.unpack_from(data)
        if length < _HEADER.size:
            return
        yield kind, data[_HEADER.size : length]
        data = data[length + (-length % 4) :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[_ATTRIBUTE.size : length]
        data = data[length + (-length % 4) :]


def _text(kind: int, text: str) -> bytes:
    content = text.encode() + b"\0"
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(content), kind) + content + b"\0" * (-len(content) % 4)
