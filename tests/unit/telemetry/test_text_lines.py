import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.telemetry.logging import JournalLines, TextLines, rfc3339_milliseconds

PLAIN = TextLines(timestamps=False)


def record(message: str, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "levelno": level, "levelname": logging.getLevelName(level), **extra})


def failed(message: str) -> logging.LogRecord:
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("tcp://me:hunter2@192.0.2.1 broke")
    return record(message, logging.ERROR, exc_info=(caught.type, caught.value, caught.tb))


def test_fields_follow_the_message_in_their_order() -> None:
    line = PLAIN.format(record("rules were gone", kind="IPv6Network", resource="blog", seconds=0.5))
    assert line == "rules were gone kind=IPv6Network resource=blog seconds=0.5"


def test_values_that_would_be_ambiguous_are_quoted() -> None:
    line = PLAIN.format(record("m", a="two words", b='"', c="x=y", d="", e="fd00::/8", f="ü"))
    assert line == 'm a="two words" b="\\"" c="x=y" d="" e=fd00::/8 f=ü'


def test_the_time_is_in_utc_with_milliseconds() -> None:
    made = record("hello", logging.WARNING)
    made.created = 1_700_000_000.1239
    assert TextLines(timestamps=True).format(made) == "2023-11-14T22:13:20.124Z WARNING hello"


def test_milliseconds_carry_into_the_next_second() -> None:
    assert rfc3339_milliseconds(1_700_000_000.9999) == "2023-11-14T22:13:21.000Z"


def test_secrets_are_hidden_in_messages_fields_and_tracebacks() -> None:
    made = record("can't reach tcp://me:hunter2@192.0.2.1", password="hunter2", url="http://me:hunter2@192.0.2.1")  # noqa: S106
    line = PLAIN.format(made) + PLAIN.format(failed("m"))
    assert "hunter2" not in line
    assert "password=*** url=http://***@192.0.2.1" in line


def test_a_traceback_follows_on_its_own_lines() -> None:
    lines = PLAIN.format(failed("it failed")).split("\n")
    assert lines[:2] == ["it failed", "Traceback (most recent call last):"]
    assert lines[-1] == "RuntimeError: tcp://***@192.0.2.1 broke"


@given(st.text(), st.text())
def test_no_message_or_value_can_forge_a_line_or_drive_a_terminal(message: str, value: str) -> None:
    line = PLAIN.format(record(message.replace("%", ""), field=value))
    assert len(line.splitlines()) <= 1
    assert not any(character < " " or "\x7f" <= character <= "\x9f" for character in line if character != "\t")


@pytest.mark.parametrize(
    ("level", "prefix"),
    [
        (logging.DEBUG, "<7>"),
        (logging.INFO, "<6>"),
        (logging.WARNING, "<4>"),
        (logging.ERROR, "<3>"),
        (logging.CRITICAL, "<2>"),
    ],
)
def test_the_journal_gets_its_priorities(level: int, prefix: str) -> None:
    assert JournalLines(PLAIN).format(record("m", level)) == f"{prefix}m"


def test_in_the_journal_every_line_of_a_traceback_has_the_priority() -> None:
    assert all(line.startswith("<3>") for line in JournalLines(PLAIN).format(failed("m")).split("\n"))
