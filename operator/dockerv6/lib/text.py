"""Text from outside, made safe to print and to store: names of files and containers, messages, values of resources.

Three kinds of characters are dangerous in a terminal or a log (CWE-117, CWE-150, CVE-2021-42574): control characters
(C0, DEL, C1), line and paragraph separators, and invisible characters such as those that change the writing direction.
Halves of surrogate pairs can't be encoded at all.
"""

import json
import re
import shlex
from unicodedata import category

_NOT_ASCII = re.compile("[^\x00-\x7e]")
_ESCAPED_UNENCODABLE = re.compile(r"\\u(0000|d[89a-f])", re.IGNORECASE)
_SMALL_NUMBER = re.compile("[0-9]{1,20}")
_ASCII_END = 0x80
_BMP_END = 0x10000
_BYTES = range(0xDC80, 0xDD00)
"""The surrogates that stand for bytes that are not UTF-8 (PEP 383)."""


def escaped(text: str) -> str:
    """The text with every dangerous character as a backslash escape, so that it is one line and can be encoded."""
    return text if text.isprintable() else "".join(c if _harmless(c) else _escape(c) for c in text)


def escaped_json(document: str) -> str:
    """A JSON document in which every dangerous character is a JSON escape. It means the same.

    JSON itself requires escapes of C0 only.
    """
    if document.isascii() and "\x7f" not in document:
        return document
    return _NOT_ASCII.sub(lambda found: found[0] if _harmless(found[0]) else _json_escape(found[0]), document)


def printable_path(path: str) -> str:
    r"""A path of the file system as text that can be encoded: bytes that are not UTF-8 become ``\xff``.

    A backslash is doubled, so that different paths have different texts.
    """
    return path.replace("\\", "\\\\").encode(errors="surrogateescape").decode(errors="backslashreplace")


def shell_quoted(path: str) -> str:
    r"""A path of the file system for a command line of a shell: ``/etc/x``, ``'/a b'`` or ``$'/\xff'``."""
    if path.isprintable():
        return shlex.quote(path)
    return "$'{}'".format("".join(c if _harmless(c) else _escape(c) for c in re.sub(r"[\\']", r"\\\g<0>", path)))


def encodable(text: str) -> str:
    """The text with U+FFFD in place of what UTF-8 or a C string can't hold: halves of surrogate pairs, and NUL."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode(errors="surrogatepass").decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def small_number(text: str) -> int | None:
    """A number of at most 20 decimal digits of ASCII (enough for 64 bits); None: the text is something else.

    ``int()`` also reads other digits, signs and underscores, and raises at 4300 digits.
    """
    return int(text) if _SMALL_NUMBER.fullmatch(text) else None


def json_value(content: bytes) -> object:
    """Decode JSON. All text in it can be encoded as UTF-8 and as a C string.

    Raises:
        ValueError: it is not JSON, or it is nested too deeply.
    """
    text = content.decode(errors="replace")
    try:
        value: object = json.loads(text)
        return _encodable(value) if _ESCAPED_UNENCODABLE.search(text) else value
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def _encodable(value: object) -> object:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {encodable(key): _encodable(item) for key, item in value.items()}
    return value


def _harmless(character: str) -> bool:
    return character.isprintable() or category(character) == "Zs"


def _escape(character: str) -> str:
    code = ord(character)
    if code in _BYTES:
        return f"\\x{code - 0xDC00:02x}"
    if code < _ASCII_END:
        return repr(character)[1:-1]
    return f"\\u{code:04x}" if code < _BMP_END else f"\\U{code:08x}"


def _json_escape(character: str) -> str:
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]
