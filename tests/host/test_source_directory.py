"""Directories whose owner decides: only root can give a file to another user, and only its sticky directories count."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dockerv6.lib.tasks import CancellationToken
from dockerv6.source.directory import list_root
from dockerv6.source.files import FileOwnership

if TYPE_CHECKING:
    from pathlib import Path


def test_a_sticky_directory_above_the_root_is_trusted(tmp_path: Path) -> None:
    root = tmp_path.resolve() / "etc"
    root.mkdir(mode=0o755)
    (root / "x.yaml").touch(mode=0o644)
    tmp_path.chmod(0o1777)
    ownership = FileOwnership.of_this_process()
    assert list(list_root(str(root), ownership, CancellationToken()).files) == [str(root / "x.yaml")]
    os.chown(root, 4711, 4711)
    assert "owned by user 4711" in list_root(str(root), ownership, CancellationToken()).problems[0]
