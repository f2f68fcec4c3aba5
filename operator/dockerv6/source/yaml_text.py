"""From the bytes of a file to YAML events, with every failure as a diagnostic."""

import codecs
import re
from collections.abc import Callable
from itertools import islice
from typing import cast
from urllib.parse import unquote_to_bytes

import yaml

from dockerv6.source.files import MAX_BYTES
from dockerv6.source.model import Diagnostic, Position, Severity

MAX_TAG_DIRECTIVES = 100
"""Of a file. libyaml compares each one with those before it in its document, and meanwhile no other thread runs."""

NextEvent = Callable[[], yaml.Event]
"""Returns the next event, at the end a `StreamEndEvent`; raises `yaml.YAMLError`."""


class UnreadableText(Exception):  # noqa: N818 - named for what it is about
    """The rest of a text is not YAML, so its content is unknown."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


def unreadable(file: str, line: int, column: int, message: str, remedy: str = "") -> UnreadableText:
    """An error that concerns the rest of the file."""
    return UnreadableText(Diagnostic(Position(file, line, column), Severity.ERROR, (), message, remedy))


_OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_ESCAPED_LINE_BREAK = rb"(?:\\(?:\r\n?|\n|\xc2\x85|\xe2\x80[\xa8\xa9])[ \t]*)*"
_CASE_BIT = 0x20
_SAVE_AS_UTF8 = "save the file as UTF-8"
_SURROGATE_PAIR = re.compile(
    r"(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})",
    re.IGNORECASE,
)
_TAG = re.compile(r"!(?:<[^>\s]*>|[^\s,\[\]{}]*)")
_TAG_OR_DIRECTIVE = re.compile(r"^%TAG\s.*|!\S*", re.MULTILINE)
_TAG_DIRECTIVE = re.compile("(?:^|[\n\r\x85\u2028\u2029])%TAG")
_ESCAPED_BYTES = re.compile("(?:%[0-9a-f]{2})+", re.IGNORECASE)
_INVALID_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


def decode_text(file: str, content: bytes) -> str:
    """Decode UTF-8 with or without a byte order mark.

    Raises:
        UnreadableText: the file is too large or has another encoding.
    """
    if len(content) > MAX_BYTES:
        limit = MAX_BYTES // 1024 // 1024
        raise unreadable(file, 1, 1, f"the file is larger than {limit} MiB", "split it into several files")
    for mark, encoding in _OTHER_ENCODINGS:
        if content.startswith(mark):
            raise unreadable(file, 1, 1, f"the file is {encoding}, not UTF-8", _SAVE_AS_UTF8)
    content = content.removeprefix(codecs.BOM_UTF8)
    if b"\0" in content[:4]:
        raise unreadable(file, 1, 1, "the file is UTF-16 or binary, not UTF-8", _SAVE_AS_UTF8)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line, column = line_and_column(content[: error.start].decode(), error.start)
        message = f"byte 0x{content[error.start]:02x} is not UTF-8"
        raise unreadable(file, line, column, message, _SAVE_AS_UTF8) from error


def spelled(word: str) -> bytes:
    """A pattern that finds a word of ASCII letters and digits in every way in which YAML and JSON can spell it.

    That is: literally, or with escapes in double quotes, where a line may also be broken. Any other line break would
    become a space or a newline in the word.
    """
    letters = (
        b"(?:%c|\\\\(?:x|u00|U000000)(?:%02x|%02x))" % (letter, letter, letter ^ _CASE_BIT) for letter in word.encode()
    )
    return _ESCAPED_LINE_BREAK.join(letters)


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Line and column of the character at an offset, counted from 1."""
    lines = split_lines(text[:offset])
    return len(lines), len(lines[-1]) + 1


def split_lines(text: str) -> list[str]:
    """The lines as a YAML 1.1 parser counts them. The last one may be empty."""
    return _LINE_BREAK.split(text)


def json_to_yaml(text: str) -> str:
    """Rewrite what JSON (RFC 8259) allows and a YAML 1.1 parser does not. Line numbers stay the same.

    JSON escapes characters beyond the BMP as surrogate pairs, allows tabs for indentation, and allows the characters
    that YAML 1.1 treats as line breaks.
    """
    if "\\u" in text:
        text = _SURROGATE_PAIR.sub(_join_surrogates, text)
    text = text.replace("\t", " ")
    return _INVALID_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _join_surrogates(match: re.Match[str]) -> str:
    high, low = int(match[2], 16), int(match[3], 16)
    return f"{match[1]}\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


def check_directives(file: str, text: str) -> None:
    """Refuse a text whose directives alone would take long to parse.

    Raises:
        UnreadableText: there are too many.
    """
    if text.count("%TAG") <= MAX_TAG_DIRECTIVES:
        return
    found = next(islice(_TAG_DIRECTIVE.finditer(text), MAX_TAG_DIRECTIVES, None), None)
    if found is not None:
        line, column = line_and_column(text, found.end() - len("%TAG"))
        message = f"more than {MAX_TAG_DIRECTIVES} %TAG directives in one file"
        raise unreadable(file, line, column, message, "remove them: no tag needs one here")


def _pure(text: str) -> NextEvent:
    return cast("NextEvent", yaml.BaseLoader(text).get_event)


def _compiled(text: str) -> NextEvent:
    return cast("NextEvent", yaml.CBaseLoader(text).get_event)


open_events: Callable[[str], NextEvent] = _compiled if yaml.__with_libyaml__ else _pure
"""Start to parse a text with libyaml, or with PyYAML's own parser where PyYAML was built without it.

May itself raise `yaml.YAMLError`.
"""


def syntax_error(file: str, text: str, error: yaml.YAMLError) -> UnreadableText:
    """The parser's error with a position and a remedy."""
    if isinstance(error, yaml.reader.ReaderError):
        # libyaml counts bytes, PyYAML's own reader counts characters.
        offset = error.position
        if yaml.__with_libyaml__:
            offset = len(text.encode()[:offset].decode(errors="ignore"))
        line, column = line_and_column(text, offset)
        return unreadable(file, line, column, "control characters are not allowed", "remove the character")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return unreadable(file, 1, 1, f"invalid YAML: {error}")
    problem = getattr(error, "problem", None) or "cannot be parsed"
    lines = split_lines(text)
    if mark.line < len(lines):
        line, column = mark.line, mark.column
    else:  # libyaml reports the end of the text as the start of the line after the last one
        line, column = len(lines) - 1, len(lines[-1])
    message, remedy = _message_and_remedy(problem, lines[line][column : column + 1])
    return unreadable(file, line + 1, column + 1, message, remedy)


def undecodable_tag(file: str, text: str) -> UnreadableText:
    """A tag whose percent escapes are not UTF-8: libyaml passes some of them on, such as halves of surrogate pairs."""
    for tag in _TAG_OR_DIRECTIVE.finditer(text):
        for escapes in _ESCAPED_BYTES.finditer(text, *tag.span()):
            try:
                unquote_to_bytes(escapes[0]).decode()
            except UnicodeDecodeError:
                line, column = line_and_column(text, escapes.start())
                return unreadable(file, line, column, f"{escapes[0]} in a tag is not UTF-8", "remove the tag")
    return unreadable(file, 1, 1, "a tag is not UTF-8", "remove the tag")


def written_tag(text: str, event: yaml.NodeEvent) -> str:
    """The tag of an event that has one, as it is in the text. libyaml cuts it at an escaped NUL."""
    found = _TAG.search(text, event.start_mark.index) if event.start_mark is not None else None
    return found[0] if found is not None else str(getattr(event, "tag", ""))


_REMEDIES = (
    ("mapping values are not allowed", "put a value that contains ': ' in quotes, and check the indentation"),
    ("could not find expected ':'", "write key: value, with a space after the colon"),
    ("did not find expected key", "check the indentation: all keys of a mapping start in the same column"),
    ("expected <block end>", "check the indentation: all entries of a block start in the same column"),
    ("did not find expected '-' indicator", "check the indentation: all entries of a list start in the same column"),
    ("expected ',' or", "close every bracket, brace and quote"),
    ("unexpected end of stream", "close every quote"),
    ("document start", "start each further document with a line ---"),
    ("undefined tag handle", "remove the tag"),
    ("unknown escape character", r"write \\ for a backslash, or use single quotes"),
    ("found duplicate anchor", "give each anchor a different name"),
)
"""Remedies by a part of the parser's message: libyaml's errors carry a text and a mark, and no code."""


def _message_and_remedy(problem: str, character: str) -> tuple[str, str]:
    if "cannot start any token" in problem:
        if character == "\t":
            return "tabs are not allowed for indentation", "indent with spaces"
        return f"a value can't start with {character!r}", "put the value in quotes"
    return f"invalid YAML: {problem}", next((remedy for part, remedy in _REMEDIES if part in problem), "")
