import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from dockerv6.telemetry.logging import NOISY, configure, leads_to_journal


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
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


def test_text_goes_to_the_stream_from_the_level_on() -> None:
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
def test_libraries_only_warn_even_when_debugging(library: str) -> None:
    stream = io.StringIO()
    configure("text", "debug", stream)
    logging.getLogger(library).info("connection pool is full of details")
    logging.getLogger(library + ".inner").debug("even more")
    logging.getLogger(library).warning("this matters")
    assert "this matters" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_libraries_are_not_louder_than_asked() -> None:
    stream = io.StringIO()
    configure("text", "error", stream)
    logging.getLogger("docker").warning("hm")
    assert stream.getvalue() == ""


def test_configuring_again_replaces_what_was() -> None:
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


def test_an_unknown_level_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="use one of debug, info, warning, error"):
        configure("text", "loud", io.StringIO())


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="use text or json"):
        configure(cast("Any", "xml"), "info", io.StringIO())


def test_in_the_journal_lines_have_priorities_and_no_time(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        configure("text", "info", stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        logging.getLogger("dockerv6.x").warning("m")
        stream.seek(0)
        assert stream.read() == "<4>m\n"


def test_a_stream_that_was_redirected_away_from_the_journal_is_not_it(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as stream:
        assert not leads_to_journal(stream, {"JOURNAL_STREAM": "1:1"})
        assert not leads_to_journal(stream, {})
    assert not leads_to_journal(stream, {"JOURNAL_STREAM": "1:1"})
