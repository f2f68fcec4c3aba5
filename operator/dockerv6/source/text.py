"""Bytes of a file to text, or a clear word on why not."""

import codecs
import re
from dataclasses import dataclass

from dockerv6.source.limits import MAX_BYTES


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong at one place of a text; line and column count from 1.

    Attributes:
        path: keys and indexes that lead to the place in its document; empty when it has none.
    """

    line: int
    column: int
    message: str
    remedy: str = ""
    path: tuple[str | int, ...] = ()


class UnreadableText(Exception):  # noqa: N818 - named for what it is about
    """The text can't be read as YAML from some place on; what it holds is unknown."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.message)
        self.flaw = flaw


_FOREIGN_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_SAVE_AS_UTF8 = "save the file as UTF-8"
_SURROGATE_PAIR = re.compile(
    r"(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})",
    re.IGNORECASE,
)
_ONLY_JSON_KEEPS = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


def decode_text(content: bytes) -> str:
    """UTF-8, with or without a byte order mark, to text.

    Raises:
        UnreadableText: too large, or in another encoding.
    """
    if len(content) > MAX_BYTES:
        raise UnreadableText(
            Flaw(1, 1, f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB", "split it into several files")
        )
    for mark, name in _FOREIGN_MARKS:
        if content.startswith(mark):
            raise UnreadableText(Flaw(1, 1, f"the file is {name}, not UTF-8", _SAVE_AS_UTF8))
    content = content.removeprefix(codecs.BOM_UTF8)
    if b"\0" in content[:4]:
        raise UnreadableText(Flaw(1, 1, "the file is UTF-16 or binary, not UTF-8", _SAVE_AS_UTF8))
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line, column = place_of(content[: error.start].decode(), error.start)
        message = f"byte 0x{content[error.start]:02x} is not UTF-8"
        raise UnreadableText(Flaw(line, column, message, _SAVE_AS_UTF8)) from error


def place_of(text: str, offset: int) -> tuple[int, int]:
    """Line and column, counted from 1, of the character at an offset."""
    before = lines_of(text[:offset])
    return len(before), len(before[-1]) + 1


def lines_of(text: str) -> list[str]:
    """The lines as a YAML 1.1 parser counts them; the last one may be empty."""
    return _LINE_BREAK.split(text)


def yaml_of_json(text: str) -> str:
    """Rewrite what JSON (RFC 8259) allows and a YAML 1.1 parser does not; lines keep their numbers.

    JSON writes characters beyond the BMP as two escaped surrogates, may indent with tabs, and keeps the characters
    that YAML 1.1 takes for line breaks.
    """
    if "\\u" in text:
        text = _SURROGATE_PAIR.sub(_joined, text)
    text = text.replace("\t", " ")
    return _ONLY_JSON_KEEPS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _joined(match: re.Match[str]) -> str:
    high, low = int(match[2], 16), int(match[3], 16)
    return f"{match[1]}\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"
