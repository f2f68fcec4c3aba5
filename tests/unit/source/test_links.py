import errno
from pathlib import Path

import pytest

from dockerv6.source.links import ancestors, is_inside, nearest_existing, route


def test_route_names_every_link_and_where_it_lies(tmp_path: Path) -> None:
    real = tmp_path.resolve()
    (real / "store" / "v1").mkdir(parents=True)
    (real / "a").mkdir()
    (real / "a" / "current").symlink_to("../b/hop")
    (real / "b").mkdir()
    (real / "b" / "hop").symlink_to(real / "store" / "v1")
    (real / "store" / "v1" / "x.yaml").touch()
    way = route(str(real / "a" / "current" / "x.yaml"))
    assert way.target == str(real / "store" / "v1" / "x.yaml")
    assert way.links == (str(real / "a" / "current"), str(real / "b" / "hop"))
    assert way.directories == {str(real / "a"), str(real / "b")}


def test_parent_of_a_link_is_the_parent_of_its_target(tmp_path: Path) -> None:
    real = tmp_path.resolve()
    (real / "x" / "y").mkdir(parents=True)
    (real / "link").symlink_to("x/y")
    assert route(f"{real}/link/..").target == str(real / "x")


def test_loop_and_dead_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "dead").symlink_to("nowhere")
    with pytest.raises(OSError, match="symbolic links") as caught:
        route(str(tmp_path / "a"))
    assert caught.value.errno == errno.ELOOP
    with pytest.raises(FileNotFoundError):
        route(str(tmp_path / "dead"))


def test_ancestors() -> None:
    assert list(ancestors("/a/b/c", "/a")) == ["/a/b", "/a"]
    assert list(ancestors("/a/b")) == ["/a", "/"]
    assert list(ancestors("/a", "/a")) == []


def test_is_inside() -> None:
    assert is_inside("/a/b", "/a")
    assert is_inside("/a", "/a")
    assert is_inside("/a", "/")
    assert not is_inside("/ab", "/a")


def test_nearest_existing(tmp_path: Path) -> None:
    assert nearest_existing(str(tmp_path / "x" / "y")) == str(tmp_path)
    (tmp_path / "file").touch()
    assert nearest_existing(str(tmp_path / "file")) == str(tmp_path)
