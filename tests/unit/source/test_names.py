"""Names of files and text in them that a later layer could not encode."""

import os
from pathlib import Path

import pytest

from dockerv6.source.documents import load_text
from dockerv6.source.files import FileOwnership
from dockerv6.source.load import Loader
from dockerv6.source.model import Severity, Snapshot
from tests.fakes.clock import FakeClock

NETWORK = "apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {{name: {}}}\n"


def read(root: Path) -> Snapshot:
    return Loader([str(root)], clock=FakeClock(0.0), ownership=FileOwnership.of_this_process(), settle=0).load()


def write(root: Path, name: bytes, text: str, mode: int = 0o644) -> None:
    path = root / os.fsdecode(name)
    path.parent.mkdir(mode=0o755, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path.resolve() / "etc"
    path.mkdir(mode=0o755)
    return path


NAMES = [b"a\xff.yaml", b"\xff/a.yaml", b"\xed\xa0\x80.yaml", b"a\n.yaml", b"a\x1b[2J.yaml", b"a\\xff.yaml"]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_with_any_name_is_read(root: Path, name: bytes) -> None:
    write(root, name, NETWORK.format("odd"))
    write(root, b"good.yaml", NETWORK.format("good"))
    snapshot = read(root)
    assert {item.resource.metadata.name for item in snapshot.resources} == {"odd", "good"}
    assert snapshot.complete
    for item in snapshot.resources:
        item.position.file.encode()


@pytest.mark.parametrize("name", NAMES)
def test_problems_of_a_file_with_any_name_can_be_encoded(root: Path, name: bytes) -> None:
    write(root, name, NETWORK.format("odd") + "spec: {foo: 1}\n")
    write(root, name + b".broken.yaml", "kind: [IPv6Network")
    write(root, name + b".writable.yaml", NETWORK.format("writable"), mode=0o666)
    (root / os.fsdecode(b"link" + name.replace(b"/", b""))).symlink_to("nowhere")
    snapshot = read(root)
    assert len(snapshot.diagnostics) == 4
    for found in snapshot.diagnostics:
        str(found).encode()
    for file in (*snapshot.broken_files, *snapshot.roots[0].subdirectories):
        file.encode()


def test_a_root_with_any_name(root: Path) -> None:
    odd = root / os.fsdecode(b"\xff")
    odd.mkdir(mode=0o755)
    write(odd, b"a/b.yaml", NETWORK.format("a"))
    snapshot = read(odd)
    assert [item.resource.metadata.name for item in snapshot.resources] == ["a"]
    assert snapshot.roots[0].path == f"{root}/\\xff"
    assert snapshot.roots[0].subdirectories[f"{root}/\\xff/a"].files == 1


@pytest.mark.parametrize("escape", [r"\0", r"\x00", r"\u0000"])
@pytest.mark.parametrize("place", ['metadata: {{name: a, labels: {{x: "{}"}}}}', 'metadata: {{name: a, "{}": 1}}'])
def test_nul_is_an_error_at_its_position(escape: str, place: str) -> None:
    text = NETWORK.replace("metadata: {{name: {}}}\n", "") + place.format(escape)
    contents = load_text("f.yaml", text)
    assert contents.resources == ()
    assert [(item.kind, item.name) for item in contents.invalid] == [("IPv6Network", "a")]
    first = contents.diagnostics[0]
    assert (first.severity, first.position.line) == (Severity.ERROR, 3)
    assert first.remedy == "remove it"
    assert all("\0" not in str(found) for found in contents.diagnostics)


@pytest.mark.parametrize("file", ["f.yaml", "f.json"])
@pytest.mark.parametrize("escape", [r"\ud800", r"\udfff", r"\uD800\u0041"])
def test_half_a_surrogate_pair_is_an_error_at_its_position(file: str, escape: str) -> None:
    text = '{"apiVersion": "dockerv6.io/v1alpha1", "kind": "IPv6Network",\n "metadata": {"name": "a", "labels": {"x": "'
    contents = load_text(file, f'{text}{escape}"}}}}}}')
    assert contents.resources == ()
    assert contents.diagnostics[0].position.line == 2
    for found in contents.diagnostics:
        str(found).encode()


@pytest.mark.parametrize("name", [r"a\nb", r"a\x1b[2J", r"\u202e", "x" * 300])
def test_what_can_not_be_a_name_identifies_nothing(name: str) -> None:
    contents = load_text("f.yaml", NETWORK.replace("{{name: {}}}", f'{{name: "{name}"}}'))
    assert [item.name for item in contents.invalid] == [""]
    assert contents.broken


def test_an_unknown_kind_identifies_no_resource() -> None:
    contents = load_text("f.yaml", NETWORK.format("a").replace("IPv6Network", "IPV6Network"))
    assert [(item.kind, item.name) for item in contents.invalid] == [("", "a")]
    assert contents.broken
    assert contents.diagnostics[0].remedy == "did you mean IPv6Network?"


@pytest.mark.parametrize("name", NAMES)
def test_a_diagnostic_is_one_printable_line(root: Path, name: bytes) -> None:
    write(root, name, "kind: IPv6Netwrok\napiVersion: dockerv6.io/v1alpha1\n")
    [diagnostic] = read(root).diagnostics
    assert str(diagnostic).isprintable()
    assert str(diagnostic).endswith("did you mean IPv6Network?")
