import json
import logging
from ipaddress import IPv6Network

import pytest

from dockerv6.telemetry.json_lines import JsonLines


def parsed(message: str, **extra: object) -> dict[str, object]:
    made = logging.makeLogRecord(
        {
            "msg": message,
            "name": "dockerv6.x",
            "levelno": 30,
            "levelname": "WARNING",
            "created": 1_700_000_000.5,
            **extra,
        }
    )
    line = JsonLines().format(made)
    assert "\n" not in line
    found: dict[str, object] = json.loads(line)
    return found


def test_fields_are_at_the_top_level() -> None:
    assert parsed("rules were gone", kind="IPv6Network", count=3) == {
        "time": "2023-11-14T22:13:20.500Z",
        "level": "warning",
        "logger": "dockerv6.x",
        "message": "rules were gone",
        "kind": "IPv6Network",
        "count": 3,
    }


def test_a_field_can_not_replace_a_standard_field() -> None:
    assert parsed("m", level="debug", time="never")["level"] == "warning"


def test_other_types_than_those_of_json_are_written_as_text() -> None:
    assert parsed("m", subnet=IPv6Network("fd00::/64"))["subnet"] == "fd00::/64"


def test_secrets_are_hidden() -> None:
    found = parsed("at tcp://me:hunter2@192.0.2.1", token="hunter2")  # noqa: S106
    assert (found["message"], found["token"]) == ("at tcp://***@192.0.2.1", "***")


def test_a_traceback_is_one_string() -> None:
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("tcp://me:hunter2@192.0.2.1 broke")
    exception = str(parsed("m", exc_info=(caught.type, caught.value, caught.tb))["exception"])
    assert exception.startswith("Traceback")
    assert exception.endswith("RuntimeError: tcp://***@192.0.2.1 broke")


def test_dangerous_characters_are_escaped() -> None:
    written = JsonLines().format(logging.makeLogRecord({"msg": "\x7f\x9b\u202e\u2028", "kind": "\u2066\ud800ß"}))
    assert written.isprintable()
    assert '"\\u007f\\u009b\\u202e\\u2028"' in written
    assert "\\u2066\\ud800ß" in written


def test_a_stack_is_one_string() -> None:
    assert (
        parsed("m", stack_info="Stack (most recent call last):\n  x")["stack"] == "Stack (most recent call last):\n  x"
    )
