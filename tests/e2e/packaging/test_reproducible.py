"""`make dist` gives the same bytes in another directory, with everything downloaded and compiled again."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.dist import DIST, ROOT
from tests.lab.process import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(1800)
def test_two_builds_have_the_same_bytes(tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    tracked = run(["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    epoch = run(["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]).stdout.strip()
    environment = {**os.environ, "SOURCE_DATE_EPOCH": epoch, "PYTHONPATH": str(copy)}
    run(["env", f"--chdir={copy}", sys.executable, "-m", "scripts.dist"], env=environment, timeout=900)
    assert (copy / "dist/SHA256SUMS").read_text() == (DIST / "SHA256SUMS").read_text()
    run(["sh", "-c", f"cd {copy}/dist && sha256sum --check --strict SHA256SUMS"])
