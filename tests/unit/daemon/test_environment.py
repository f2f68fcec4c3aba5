"""The unit's EnvironmentFile: systemd's reading of it, and what a reload makes of a change."""

from pathlib import Path

import pytest

from dockerv6.daemon.environment import ENVIRONMENT_FILE, EnvironmentFile, assignments


def start(path: Path, **environment: str) -> tuple[EnvironmentFile, dict[str, str]]:
    """The file of a daemon that systemd started: the file's variables replace those of the unit."""
    content = dict(assignments(path.read_text())) if path.exists() else {}
    found = {**environment, ENVIRONMENT_FILE: str(path), **content}
    return EnvironmentFile(found), found


def test_a_reload_sets_what_the_file_has_and_removes_what_a_reload_brought(tmp_path: Path) -> None:
    path = tmp_path / "dockerv6"
    path.write_text("# a comment\nDOCKERV6_RESYNC=5m\n")
    file, environment = start(path, HOME="/", DOCKERV6_FWMARK="0x1")
    path.write_text('DOCKERV6_RESYNC=9m\nDOCKERV6_TRUST_UID="1 2"\nDOCKERV6_FWMARK=0x2\nnonsense\n')
    file.apply()
    kept = {ENVIRONMENT_FILE: str(path), "HOME": "/"}
    assert environment == {
        **kept,
        "DOCKERV6_RESYNC": "9m",
        "DOCKERV6_TRUST_UID": "1 2",
        "DOCKERV6_FWMARK": "0x2",
    }
    path.write_text("DOCKERV6_RESYNC=9m\n")
    file.apply()
    assert environment == {**kept, "DOCKERV6_RESYNC": "9m", "DOCKERV6_FWMARK": "0x1"}


@pytest.mark.parametrize("later", ["", "DOCKERV6_RESYNC=7m\n", None])
def test_what_the_unit_may_set_too_stays_and_a_restart_is_asked_for(
    later: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "dockerv6"
    path.write_text("DOCKERV6_LOG_LEVEL=info\n")
    file, environment = start(path, DOCKERV6_LOG_LEVEL="debug")  # Environment= of a drop-in, which a restart would use
    path.write_text("DOCKERV6_LOG_LEVEL=sometimes\n")
    file.apply()
    if later is None:
        path.unlink()
    else:
        path.write_text(later)
    file.apply()
    assert environment["DOCKERV6_LOG_LEVEL"] == "info"
    (record,) = caplog.records
    assert "no longer sets DOCKERV6_LOG_LEVEL" in record.getMessage()
    assert "until the daemon is restarted" in record.getMessage()
    path.write_text("DOCKERV6_LOG_LEVEL=warning\n")
    file.apply()
    assert environment["DOCKERV6_LOG_LEVEL"] == "warning"
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A=1", [("A", "1")]),
        ("A=1\r\nB=2\r\n", [("A", "1"), ("B", "2")]),
        (" A b = c  d \t\n", [("A b", "c  d")]),
        ("A=\n B =\n", [("A", ""), ("B", "")]),
        ("A\nB=2\n", [("B", "2")]),
        ("=x\nB=2", [("B", "2")]),
        ("==x", [("=", "x")]),
        ("A=b=c", [("A", "b=c")]),
        # quotes count at the start of a value, and after others
        ("A=it's\nB=2", [("A", "it's"), ("B", "2")]),
        ('A=say "hi"', [("A", 'say "hi"')]),
        ("A='one' \"two\" three's", [("A", "onetwothree's")]),
        ("A='1\n2\\'\nB=3", [("A", "1\n2\\"), ("B", "3")]),
        ('A=" x "  \n', [("A", " x ")]),
        ('A="open\nB=2\n', [("A", "open\nB=2\n")]),
        # escapes
        ("A=one \\\n  two\nB=3", [("A", "one   two"), ("B", "3")]),
        ("A=\\\nx", [("A", "x")]),
        ("A=a\\bc\\ \n", [("A", "abc ")]),
        ("A=a \\", [("A", "a ")]),
        ('A="\\$\\`\\"\\\\ \\n \\\nx"', [("A", '$`"\\ \\n x')]),
        # comments
        ("#A=1\n;B=2\n  # C=3\nD=4 # no comment\n", [("D", "4 # no comment")]),
        ("# goes on \\\nA=1\n# \\x\nB=2", [("A", "1"), ("B", "2")]),
        ("", []),
    ],
)
def test_a_file_is_read_by_the_rules_of_systemd(text: str, found: list[tuple[str, str]]) -> None:
    assert list(assignments(text)) == found


@pytest.mark.parametrize("line", ["==x", "1A=x", "A B=x", "A-B=x", "É=x"])
def test_an_invalid_name_is_ignored_with_a_warning(line: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "dockerv6"
    file, environment = start(path)
    path.write_text(f"DOCKERV6_RESYNC=5m\n{line}\nDOCKERV6_LISTEN=none\n")
    before = dict(environment)
    file.apply()
    assert environment == {**before, "DOCKERV6_RESYNC": "5m", "DOCKERV6_LISTEN": "none"}
    assert "is not a valid variable name" in caplog.text


@pytest.mark.parametrize("content", [b"DOCKERV6_RESYNC=5m\nX=\xff\n", b"DOCKERV6_RESYNC=5m\nX=a\0b\n"])
def test_a_file_that_no_environment_can_hold_changes_nothing(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "dockerv6"
    file, environment = start(path)
    before = dict(environment)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"null byte|utf-8"):
        file.apply()
    assert environment == before


def test_a_line_without_a_name_is_no_assignment(tmp_path: Path) -> None:
    path = tmp_path / "dockerv6"
    file, environment = start(path)
    path.write_text("DOCKERV6_RESYNC=5m\n=x\nDOCKERV6_LISTEN=none\n")
    file.apply()
    assert environment == {ENVIRONMENT_FILE: str(path), "DOCKERV6_RESYNC": "5m", "DOCKERV6_LISTEN": "none"}


def test_without_a_file_nothing_changes() -> None:
    environment = {"HOME": "/"}
    EnvironmentFile(environment).apply()
    assert environment == {"HOME": "/"}
