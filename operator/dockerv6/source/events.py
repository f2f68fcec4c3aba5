"""YAML events out of libyaml, or PyYAML's own parser where that is not compiled in, and their errors in plain words."""

from collections.abc import Callable
from typing import cast

import yaml

from dockerv6.source.text import Flaw, UnreadableText, lines_of, place_of

NextEvent = Callable[[], yaml.Event]
"""Gives one event after another, the last a `StreamEndEvent`; raises `yaml.YAMLError`."""


def _pure(text: str) -> NextEvent:
    return cast("NextEvent", yaml.BaseLoader(text).get_event)


def _compiled(text: str) -> NextEvent:
    return cast("NextEvent", yaml.CBaseLoader(text).get_event)


open_events: Callable[[str], NextEvent] = _compiled if yaml.__with_libyaml__ else _pure
"""Start parsing a text; may itself raise `yaml.YAMLError`."""


def unreadable(text: str, error: yaml.YAMLError) -> UnreadableText:
    """The parser's error as something to tell a person."""
    if isinstance(error, yaml.reader.ReaderError):
        # libyaml counts bytes, PyYAML's own reader counts characters.
        offset = error.position
        if yaml.__with_libyaml__:
            offset = len(text.encode()[:offset].decode(errors="ignore"))
        line, column = place_of(text, offset)
        return UnreadableText(Flaw(line, column, "a control character is not allowed here", "remove it"))
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return UnreadableText(Flaw(1, 1, f"not YAML: {error}"))
    problem = getattr(error, "problem", None) or "cannot be parsed"
    lines = lines_of(text)
    if mark.line < len(lines):
        line, column = mark.line, mark.column
    else:  # libyaml puts the end of the text at the start of a line that is not there
        line, column = len(lines) - 1, len(lines[-1])
    message, remedy = _explain(problem, lines[line][column : column + 1])
    return UnreadableText(Flaw(line + 1, column + 1, message, remedy))


_REMEDIES = (
    ("mapping values are not allowed", "put a value that contains ': ' in quotes, and check the indentation"),
    ("could not find expected ':'", "write key: value, with a space after the colon"),
    ("did not find expected key", "check the indentation: keys of one mapping stand in the same column"),
    ("expected <block end>", "check the indentation: entries of one block stand in the same column"),
    ("did not find expected '-' indicator", "check the indentation: entries of one list stand in the same column"),
    ("expected ',' or", "check that every bracket, brace and quote is closed"),
    ("unexpected end of stream", "check that every quote is closed"),
    ("document start", "begin each further document with a line ---"),
    ("undefined tag handle", "remove the tag"),
    ("unknown escape character", r"write \\ for a backslash, or use single quotes"),
    ("found duplicate anchor", "give each anchor a name of its own"),
)


def _explain(problem: str, character: str) -> tuple[str, str]:
    if "cannot start any token" in problem:
        if character == "\t":
            return "a tab can't be used for indentation", "indent with spaces"
        return f"a value can't begin with {character!r}", "put it in quotes"
    return f"not YAML: {problem}", next((remedy for known, remedy in _REMEDIES if known in problem), "")
