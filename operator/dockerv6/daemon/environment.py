"""The unit's EnvironmentFile, read by the rules of systemd: a reload gives the settings that a restart would give."""

import logging
import os
import re
from collections.abc import Iterator, MutableMapping
from enum import Enum, auto
from pathlib import Path

ENVIRONMENT_FILE = "DOCKERV6_ENVIRONMENT_FILE"
"""The variable that names the unit's EnvironmentFile, which only a start of the service would read otherwise."""

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BLANKS, _NEWLINES = " \t\n\r", "\n\r"
_COMMENTS = "#;"
_ESCAPED_IN_QUOTES = '"\\`$'


class EnvironmentFile:
    """The unit's EnvironmentFile, read again at a reload, as at a start (systemd.exec(5))."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Read the file once. A variable in the file overrides one of the same name in the unit."""
        self._environment = environment
        self._path = environment.get(ENVIRONMENT_FILE, "")
        try:
            names = frozenset(self._read())
        except (OSError, ValueError):  # systemd has ignored it too
            names = frozenset()
        self._hiding = names
        self._at_start = {name: environment.get(name) for name in names}

    def apply(self) -> None:
        """Change the environment to what the file has now.

        A variable that the file loses gets back the value that it had when the daemon started. If that was the file's
        own, a restart may give another (``Environment=`` of the unit), which the process can't know: a warning says so.

        Raises:
            OSError, ValueError: the file can't be read; the environment is unchanged.
        """
        found = self._read()
        for name in found.keys() - self._at_start.keys():
            self._at_start[name] = self._environment.get(name)
        for name in sorted(self._at_start.keys() - found.keys()):
            former = self._at_start[name]
            if former is None:
                self._environment.pop(name, None)
                continue
            self._environment[name] = former
            if name in self._hiding:
                message = "%s no longer sets %s; the value of the daemon's start is used until the daemon is restarted"
                logger.warning(message, self._path, name)
        self._environment.update(found)

    def _read(self) -> dict[str, str]:
        if not self._path:
            return {}
        try:
            text = Path(self._path).read_bytes().decode()
        except FileNotFoundError:
            return {}
        if "\0" in text:
            raise ValueError(f"{self._path} has a null byte, which no variable can have")
        found = dict(assignments(text))
        wrong = sorted(name for name in found if not _NAME.fullmatch(name))
        for name in wrong:
            logger.warning("%s: %r is not a valid variable name and is ignored", self._path, name)
        return {name: value for name, value in found.items() if name not in wrong}


class _State(Enum):
    BEFORE_NAME = auto()
    NAME = auto()
    BEFORE_VALUE = auto()
    VALUE = auto()
    ESCAPE = auto()
    SINGLE_QUOTES = auto()
    DOUBLE_QUOTES = auto()
    ESCAPE_IN_QUOTES = auto()
    COMMENT = auto()
    ESCAPE_IN_COMMENT = auto()


_IN_VALUE = frozenset(_State) - {
    *(_State.BEFORE_NAME, _State.NAME, _State.COMMENT, _State.ESCAPE_IN_COMMENT),
}


def assignments(text: str) -> Iterator[tuple[str, str]]:
    """The names and values in an EnvironmentFile, in its order; names are not checked.

    Quotes count at the start of a value and after a closing quote only. A backslash before a newline continues the
    value. An open quote ends with the file. A comment ends with its line, as since systemd 254. Source: systemd,
    src/basic/env-file.c (parse_env_file_internal).
    """
    scanner = _Scanner()
    for character in text:
        if scanner.ends_value(character):
            yield scanner.assignment()
            scanner = _Scanner()
        else:
            scanner.take(character)
    if scanner.state in _IN_VALUE:
        yield scanner.assignment()


class _Scanner:
    """Reads one assignment, or comments and lines without one."""

    def __init__(self) -> None:
        self.state = _State.BEFORE_NAME
        self._name = ""
        self._value: list[str] = []
        self._kept = 0
        """The part of the value that is not blanks at its end."""

    def ends_value(self, character: str) -> bool:
        return character in _NEWLINES and self.state in {_State.BEFORE_VALUE, _State.VALUE}

    def assignment(self) -> tuple[str, str]:
        value = self._value[: self._kept] if self.state is _State.VALUE else self._value
        return self._name.rstrip(_BLANKS), "".join(value)

    def take(self, character: str) -> None:
        match self.state:
            case _State.BEFORE_NAME:
                self._before_name(character)
            case _State.NAME:
                self._in_name(character)
            case _State.COMMENT | _State.ESCAPE_IN_COMMENT:
                self._in_comment(character)
            case _State.BEFORE_VALUE:
                self._before_value(character)
            case _State.VALUE:
                self._in_value(character)
            case _State.ESCAPE:
                self.state = _State.VALUE
                self._add("" if character in _NEWLINES else character)
            case _State.SINGLE_QUOTES | _State.DOUBLE_QUOTES:
                self._in_quotes(character)
            case _State.ESCAPE_IN_QUOTES:
                self.state = _State.DOUBLE_QUOTES
                kept = "" if character in _ESCAPED_IN_QUOTES else "\\"
                self._add("" if character == "\n" else kept + character)

    def _add(self, text: str) -> None:
        self._value.extend(text)
        self._kept = len(self._value)

    def _before_name(self, character: str) -> None:
        if character in _COMMENTS:
            self.state = _State.COMMENT
        elif character not in _BLANKS:
            self.state, self._name = _State.NAME, character

    def _in_name(self, character: str) -> None:
        if character in _NEWLINES:
            self.state = _State.BEFORE_NAME
        elif character == "=":
            self.state = _State.BEFORE_VALUE
        else:
            self._name += character

    def _in_comment(self, character: str) -> None:
        if character in _NEWLINES:
            self.state = _State.BEFORE_NAME
        else:
            escapes = character == "\\" and self.state is _State.COMMENT
            self.state = _State.ESCAPE_IN_COMMENT if escapes else _State.COMMENT

    def _before_value(self, character: str) -> None:
        if character == "'":
            self.state = _State.SINGLE_QUOTES
        elif character == '"':
            self.state = _State.DOUBLE_QUOTES
        elif character == "\\":
            self.state = _State.ESCAPE
        elif character not in _BLANKS:
            self.state = _State.VALUE
            self._add(character)

    def _in_value(self, character: str) -> None:
        if character == "\\":
            self.state = _State.ESCAPE
            self._kept = len(self._value)
        elif character in _BLANKS:
            self._value.append(character)
        else:
            self._add(character)

    def _in_quotes(self, character: str) -> None:
        single = self.state is _State.SINGLE_QUOTES
        if character == ("'" if single else '"'):
            self.state = _State.BEFORE_VALUE
        elif character == "\\" and not single:
            self.state = _State.ESCAPE_IN_QUOTES
        else:
            self._add(character)
