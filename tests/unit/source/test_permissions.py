import os
from pathlib import Path
from stat import S_IFDIR, S_IFLNK, S_IFREG

import pytest

from dockerv6.source.permissions import FileOwnership

ROOT_ONLY = FileOwnership(frozenset({0}))


def status(mode: int, uid: int = 0) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, uid, 0, 0, 0, 0, 0))


@pytest.mark.parametrize("mode", [S_IFREG | 0o644, S_IFREG | 0o600, S_IFDIR | 0o755, S_IFLNK | 0o777])
def test_what_only_its_owner_can_write_is_trusted(mode: int) -> None:
    assert ROOT_ONLY.objection("/p", status(mode)) is None


@pytest.mark.parametrize("mode", [S_IFREG | 0o664, S_IFREG | 0o646, S_IFDIR | 0o775, S_IFREG | 0o1666])
def test_what_others_can_write_is_not(mode: int) -> None:
    objection = ROOT_ONLY.objection("/p", status(mode))
    assert objection is not None
    assert objection.remedy == "run chmod go-w /p"


def test_another_users_file_is_not_trusted() -> None:
    objection = ROOT_ONLY.objection("/p", status(S_IFREG | 0o600, uid=1000))
    assert objection is not None
    assert "1000" in str(objection)
    assert FileOwnership(frozenset({1000})).objection("/p", status(S_IFREG | 0o600, uid=1000)) is None


def test_another_users_link_is_not_trusted() -> None:
    assert ROOT_ONLY.objection("/p", status(S_IFLNK | 0o777, uid=1000)) is not None


def test_sticky_directory_is_trusted_only_when_it_is_roots() -> None:
    assert ROOT_ONLY.objection("/p", status(S_IFDIR | 0o1777)) is None
    assert FileOwnership(frozenset({0, 5})).objection("/p", status(S_IFDIR | 0o1777, uid=5)) is not None


def test_root_and_this_user_are_trusted_by_default(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert FileOwnership.of_this_process().objection(str(tmp_path), tmp_path.stat()) is None
    assert 0 in FileOwnership.of_this_process().uids
