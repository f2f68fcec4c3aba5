import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.telemetry.logging import NOISY, configure, leads_to_journal
from dockerv6.telemetry.text_lines import JournalLines, TextLines, is_secret, redacted, rfc3339_milliseconds


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in NOISY}
    root.handlers[:] = []
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, previous in levels.items():
        logging.getLogger(name).setLevel(previous)


def test_text_at_or_above_the_level_goes_to_the_stream() -> None:
    stream = io.StringIO()
    configure("text", "Warning", stream)
    logging.getLogger("dockerv6.x").warning("rules were gone", extra={"resource": "blog"})
    logging.getLogger("dockerv6.x").info("not this")
    assert stream.getvalue().endswith("Z WARNING rules were gone resource=blog\n")
    assert stream.getvalue().count("\n") == 1


def test_json_is_one_object_a_line() -> None:
    stream = io.StringIO()
    configure("json", "debug", stream)
    logging.getLogger("dockerv6.x").debug("first")
    logging.getLogger("dockerv6.x").error("second")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["first", "second"]


@pytest.mark.parametrize("library", NOISY)
def test_libraries_log_only_warnings_even_at_debug(library: str) -> None:
    stream = io.StringIO()
    configure("text", "debug", stream)
    logging.getLogger(library).info("connection pool is full of details")
    logging.getLogger(library + ".inner").debug("even more")
    logging.getLogger(library).warning("this matters")
    assert "this matters" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_libraries_respect_a_higher_level() -> None:
    stream = io.StringIO()
    configure("text", "error", stream)
    logging.getLogger("docker").warning("hm")
    assert stream.getvalue() == ""


def test_a_second_configuration_replaces_the_first() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure("text", "info", first)
    configure("text", "info", second)
    logging.getLogger("dockerv6.x").info("m")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1


def test_pythons_warnings_are_logged() -> None:
    stream = io.StringIO()
    configure("text", "info", stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        configure("text", "info", stream)
        warnings.warn("something is deprecated", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    assert "something is deprecated" in stream.getvalue()


def test_the_error_for_an_unknown_level_lists_the_levels() -> None:
    with pytest.raises(ValueError, match="use one of debug, info, warning, error"):
        configure("text", "loud", io.StringIO())


def test_an_unknown_format_is_an_error() -> None:
    with pytest.raises(ValueError, match="use text or json"):
        configure(cast("Any", "xml"), "info", io.StringIO())


def test_in_the_journal_lines_have_priorities_and_no_time(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        configure("text", "info", stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        logging.getLogger("dockerv6.x").warning("m")
        stream.seek(0)
        assert stream.read() == "<4>m\n"


def test_a_redirected_stream_is_not_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as stream:
        assert not leads_to_journal(stream, {"JOURNAL_STREAM": "1:1"})
        assert not leads_to_journal(stream, {})
    assert not leads_to_journal(stream, {"JOURNAL_STREAM": "1:1"})


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
    logged = record("hello", logging.WARNING)
    logged.created = 1_700_000_000.1239
    assert TextLines(timestamps=True).format(logged) == "2023-11-14T22:13:20.124Z WARNING hello"


def test_milliseconds_carry_into_the_next_second() -> None:
    assert rfc3339_milliseconds(1_700_000_000.9999) == "2023-11-14T22:13:21.000Z"


def test_secrets_are_hidden_in_messages_fields_and_tracebacks() -> None:
    logged = record("can't reach tcp://me:hunter2@192.0.2.1", password="hunter2", url="http://me:hunter2@192.0.2.1")  # noqa: S106
    line = PLAIN.format(logged) + PLAIN.format(failed("m"))
    assert "hunter2" not in line
    assert "password=*** url=http://***@192.0.2.1" in line


def test_a_traceback_follows_on_its_own_lines() -> None:
    lines = PLAIN.format(failed("it failed")).split("\n")
    assert lines[:2] == ["it failed", "Traceback (most recent call last):"]
    assert lines[-1] == "RuntimeError: tcp://***@192.0.2.1 broke"


@given(st.text(), st.text())
def test_messages_and_values_can_not_forge_lines_or_control_a_terminal(message: str, value: str) -> None:
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp://admin:hunter2@192.0.2.1:2376 refused", "tcp://***@192.0.2.1:2376 refused"),
        ("https://token@example.org/a@b", "https://***@example.org/a@b"),
        ("http://[2001:db8::1]:2375/v1.43", "http://[2001:db8::1]:2375/v1.43"),
        ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("{'X-Registry-Auth': 'eyJ1c2VyIjoi'}", "{'X-Registry-Auth': ***"),
        ("container web@sha256:0123 of alice@example.org", "container web@sha256:0123 of alice@example.org"),
    ],
)
def test_only_credentials_are_hidden(text: str, expected: str) -> None:
    assert redacted(text) == expected


@given(st.text(alphabet="abcXYZ0189:!$%", min_size=1))
def test_all_credentials_in_a_url_are_hidden(credentials: str) -> None:
    assert redacted(f"at tcp://{credentials}@192.0.2.1:1") == "at tcp://***@192.0.2.1:1"


@pytest.mark.parametrize("key", ["password", "registry_token", "clientSecret", "Authorization", "api_key", "passwd"])
def test_a_key_with_a_secret_name_is_secret(key: str) -> None:
    assert is_secret(key)


@pytest.mark.parametrize("key", ["kind", "resource", "reason", "networkID", "keys", "queue_key", "pass_count"])
def test_other_keys_are_not_secret(key: str) -> None:
    assert not is_secret(key)
