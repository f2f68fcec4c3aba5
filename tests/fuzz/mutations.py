"""Damaged copies of valid inputs, as a Hypothesis strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from tests.fuzz.targets import LONGEST_INPUT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TOKENS = (
    *(b"\0", b"\xff" * 2, b"\xff" * 4, b"\0" * 4, b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc2\x85", b"\x1b"),
    *(b'"', b"\\", b"\\ud800", b"\\u0000", b"null", b"[]", b"{}", b"-1", b"1e999", b"NaN", b"9" * 5000, b"true"),
    *(b"\n", b"\r\n", b"\t", b" " * 3000, b"---\n", b"&a ", b"*a", b"<<: ", b"!!str ", b"? ", b": ", b"- ", b",", b"/"),
    *(b"apiVersion", b"dockerv6.io/v1alpha1", b"kind", b"metadata", b"spec", b"::/0", b"%eth0", b"/129", b"0.0.0.0"),
)
_BRACKETS = ((b"[", b"]"), (b'{"a":', b"}"), (b"[", b""), (b"- ", b""), (b"{a: ", b""), (b"(", b")"))
_NUMBERS = (0, 1, 3, 4, 15, 16, 17, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFC, 0xFFFF)


def _flip(data: bytes, at: int, choice: int) -> bytes:
    return data[:at] + bytes(((data[at] if at < len(data) else 0) ^ (1 << choice % 8),)) + data[at + 1 :]


def _truncate(data: bytes, at: int, _: int) -> bytes:
    return data[:at]


def _remove(data: bytes, at: int, choice: int) -> bytes:
    return data[:at] + data[at + choice % 64 :]


def _repeat(data: bytes, at: int, choice: int) -> bytes:
    part = data[at : at + 1 + choice % 997]
    return data[:at] + part * (2 << choice % 9) + data[at:]


def _insert(data: bytes, at: int, choice: int) -> bytes:
    return data[:at] + _TOKENS[choice % len(_TOKENS)] + data[at:]


def _replace(data: bytes, at: int, choice: int) -> bytes:
    token = _TOKENS[choice % len(_TOKENS)]
    return data[:at] + token + data[at + len(token) :]


def _number(data: bytes, at: int, choice: int) -> bytes:
    """An aligned number of 16 bits in host byte order, such as a length in a header."""
    at &= ~1
    return data[:at] + _NUMBERS[choice % len(_NUMBERS)].to_bytes(2, "little") + data[at + 2 :]


def _nest(data: bytes, at: int, choice: int) -> bytes:
    opening, closing = _BRACKETS[choice % len(_BRACKETS)]
    depth = (3, 30, 300, 3000)[choice // len(_BRACKETS) % 4]
    return data[:at] + opening * depth + data[at : at + 20] + closing * depth + data[at + 20 :]


_MUTATIONS: tuple[Callable[[bytes, int, int], bytes], ...] = (
    *(_flip, _truncate, _remove, _repeat, _insert, _replace, _number, _nest),
)


def _mutated(valid: bytes, changes: Sequence[tuple[int, int, int]]) -> bytes:
    for mutation, at, choice in changes:
        valid = _MUTATIONS[mutation](valid, at % (len(valid) + 1), choice)[:LONGEST_INPUT]
    return valid


def damaged(valid: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Up to eight changes to one of the valid inputs."""
    place = st.integers(0, 1 << 16)
    changes = st.lists(st.tuples(st.integers(0, len(_MUTATIONS) - 1), place, place), max_size=8)
    return st.builds(_mutated, st.sampled_from(valid), changes)
