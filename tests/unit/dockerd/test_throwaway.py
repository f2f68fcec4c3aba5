"""The program of temporary containers."""

from __future__ import annotations

import os
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from dockerv6.dockerd import throwaway
from dockerv6.dockerd.port import EngineError
from dockerv6.dockerd.throwaway import sleeper

if TYPE_CHECKING:
    from pathlib import Path


def test_the_program_sleeps_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throwaway, "LIFETIME", 0)
    program = tmp_path / "sleep"
    program.write_bytes(sleeper(os.uname().machine))
    program.chmod(0o755)
    assert subprocess.run([str(program)], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 62), ("aarch64", 183)])
def test_the_program_is_for_its_processor_and_has_its_lifetime(machine: str, number: int) -> None:
    program = sleeper(machine)
    assert struct.unpack_from("<H", program, 18) == (number,)
    assert struct.unpack_from("<QQ", program, len(program) - 16) == (throwaway.LIFETIME, 0)


def test_another_processor_needs_an_image() -> None:
    with pytest.raises(EngineError, match="--probe-image IMAGE"):
        sleeper("s390x")
