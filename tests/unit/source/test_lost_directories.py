"""Which losses of directories and files delete resources: real directories, read by the loader, judged by admission."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockerv6.planning.admission import PruneRules, admit_resources
from dockerv6.source.load import Loader
from tests.fakes.clock import FakeClock

if TYPE_CHECKING:
    from dockerv6.store.model import StoredObject

NETWORK = "apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {{name: {}}}\n"


class Tree:
    """A root with a file of its own, ``sub/deep/x.yaml``, and a link to a directory outside with ``y.yaml``."""

    def __init__(self, base: Path) -> None:
        self.root, self.outside = base / "etc", base / "outside"
        for path, name in (
            (self.root / "own.yaml", "own"),
            (self.root / "sub" / "deep" / "x.yaml", "x"),
            (self.outside / "v1" / "y.yaml", "y"),
            (self.outside / "v2" / "other.yaml", "other"),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(NETWORK.format(name))
        (self.root / "link").symlink_to(self.outside / "v1")
        self._loader = Loader([str(self.root)], clock=FakeClock(0.0), ownership=None, settle=0)
        self._stored: dict[str, StoredObject] = {}
        self._identities: dict[str, dict[str, str]] = {}
        self.read(0.0)

    def read(self, now: float) -> None:
        admission = admit_resources(
            self._loader.load(), tuple(self._stored.values()), self._identities, now, PruneRules(grace=5.0)
        )
        self._stored |= {each.name: each for each in admission.writes}
        self._identities = {root: dict(known) for root, known in admission.identities.items()}

    def deleted(self) -> set[str]:
        """The names of the resources that are deleted after the grace period."""
        self.read(100.0)
        assert not any(each.deleting_since for each in self._stored.values())
        self.read(105.0)
        return {each.name for each in self._stored.values() if each.deleting_since}

    def swap_link(self, target: Path) -> None:
        (self.root / "new").symlink_to(target)
        (self.root / "new").rename(self.root / "link")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path.resolve())


def replace_directory(path: Path) -> None:
    path.rename(path.with_name(".kept"))  # so that the inode is not used again
    path.mkdir()


KEPT: dict[str, Callable[[Tree], object]] = {
    "replaced by an empty directory": lambda tree: replace_directory(tree.root / "sub" / "deep"),
    "its parent replaced by an empty directory": lambda tree: replace_directory(tree.root / "sub"),
    "the target of the link removed": lambda tree: shutil.rmtree(tree.outside / "v1"),
    "the target of the link emptied": lambda tree: replace_directory(tree.outside / "v1"),
    "the link leads nowhere": lambda tree: tree.swap_link(tree.outside / "nowhere"),
    "the link leads to itself": lambda tree: tree.swap_link(tree.root / "link"),
    "the link leads to a file": lambda tree: tree.swap_link(tree.root / "own.yaml"),
    "the file emptied": lambda tree: (tree.root / "sub" / "deep" / "x.yaml").write_text(""),
    "the file truncated": lambda tree: (tree.root / "sub" / "deep" / "x.yaml").write_text("apiV"),
    "the file truncated to its comments": lambda tree: (tree.root / "own.yaml").write_text("# dockerv6\n"),
    "the root replaced": lambda tree: replace_directory(tree.root),
    "the root removed": lambda tree: shutil.rmtree(tree.root),
}


@pytest.mark.parametrize("loss", KEPT.values(), ids=KEPT)
def test_a_loss_deletes_nothing(tree: Tree, loss: Callable[[Tree], object]) -> None:
    loss(tree)
    assert tree.deleted() == set()


DELETED: dict[str, tuple[Callable[[Tree], object], str]] = {
    "the file removed": (lambda tree: (tree.root / "sub" / "deep" / "x.yaml").unlink(), "x"),
    "the directory removed": (lambda tree: shutil.rmtree(tree.root / "sub" / "deep"), "x"),
    "the directory above removed": (lambda tree: shutil.rmtree(tree.root / "sub"), "x"),
    "the link removed": (lambda tree: (tree.root / "link").unlink(), "y"),
    "the link swapped": (lambda tree: tree.swap_link(tree.outside / "v2"), "y"),
    "the file behind the link removed": (lambda tree: (tree.outside / "v1" / "y.yaml").unlink(), "y"),
}


@pytest.mark.parametrize(("change", "name"), DELETED.values(), ids=DELETED)
def test_a_removal_by_hand_is_a_deletion(tree: Tree, change: Callable[[Tree], object], name: str) -> None:
    change(tree)
    assert tree.deleted() == {name}


def test_a_directory_that_comes_back_was_never_lost(tree: Tree) -> None:
    kept = tree.root / ".kept"
    replace_directory(tree.root / "sub")
    tree.read(50.0)
    (tree.root / "sub").rmdir()
    kept.rename(tree.root / "sub")
    assert tree.deleted() == set()


def test_removing_the_empty_directory_confirms_the_deletion(tree: Tree) -> None:
    replace_directory(tree.root / "sub")
    assert tree.deleted() == set()
    (tree.root / "sub").rmdir()
    assert tree.deleted() == {"x"}
