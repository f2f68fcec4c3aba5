import os
from pathlib import Path

import pytest

from dockerv6.lib.processes import open_files


def test_the_open_files_of_a_process_are_listed(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w"):
        assert str(tmp_path / "file") in open_files(Path(f"/proc/{os.getpid()}"))


def test_a_descriptor_that_is_closed_meanwhile_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fd").mkdir()
    for number in "345":
        (tmp_path / "fd" / number).symlink_to(f"socket:[{number}]")
    readlink = Path.readlink

    def closed(path: Path) -> Path:
        if path.name == "4":
            raise FileNotFoundError(path)
        return readlink(path)

    monkeypatch.setattr(Path, "readlink", closed)
    assert sorted(open_files(tmp_path)) == ["socket:[3]", "socket:[5]"]


def test_a_process_that_has_ended_has_no_list(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(open_files(tmp_path / "1"))
