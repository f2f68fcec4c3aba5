from pathlib import Path

import pytest

from dockerv6.daemon.settings import Settings, parse_directory, parse_duration, parse_mark, parse_uid


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600), ("1h30m", 5400), ("500ms", 0.5), ("2d", 172800), ("90", 90), ("1.5s", 1.5)]
)
def test_a_duration_has_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "10 m", "10x", "-1s", "1h-1m", "10mm", "\u0661s"])
def test_an_invalid_duration_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0", "3", "0x3", "4294967296", "-1", "x"])
def test_a_mark_is_one_bit(text: str) -> None:
    with pytest.raises(ValueError, match="write one such as 0x10000000"):
        parse_mark(text)


@pytest.mark.parametrize("text", ["0", "-1", "root", "1.5", "", "4294967295", "9" * 5000])
def test_a_trusted_user_is_the_id_of_another_user_than_root(text: str) -> None:
    with pytest.raises(ValueError, match="such as 65533"):
        parse_uid(text)


def test_a_directory_may_be_missing_but_must_not_be_a_file(tmp_path: Path) -> None:
    assert parse_directory(str(tmp_path / "new")) == str(tmp_path / "new")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        parse_directory(str(tmp_path / "file"))


def test_the_http_address_is_a_socket_in_the_run_directory_by_default() -> None:
    assert Settings(run_dir="/r").address == "unix:/r/http.sock"
    assert Settings(listen="[::1]:9153").address == "[::1]:9153"
    assert Settings(listen="none").address == ""
