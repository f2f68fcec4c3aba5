"""What a file or a directory tree can cost: limits instead of time and memory."""

import os
from pathlib import Path

import pytest

from dockerv6.lib.tasks import CancellationToken, OperationCancelled
from dockerv6.source import directory, documents, load, yaml
from dockerv6.source.directory import list_root
from dockerv6.source.documents import is_dismissed, load_text
from dockerv6.source.load import Loader
from dockerv6.source.model import Severity, Snapshot
from tests.fakes.clock import FakeClock

NETWORK = "apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {{name: {}}}\n"


def loader(root: Path) -> Loader:
    return Loader([str(root)], clock=FakeClock(0.0), ownership=None, settle=0)


def names(snapshot: Snapshot) -> list[str]:
    return [item.resource.metadata.name for item in snapshot.resources]


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: dockerv6.io/v1alpha1",
        '{"apiVersion": "dockerv6.io/v1alpha1"}',
        r'{"apiVersion": "\u0064ockerv\u0036.io\/v1alpha1"}',
        r'"\x61piVersion": "\x44\U0000004fckerv6.io/v1alpha1"',
        'apiVersion: "docke\\\n    rv6.io/v1alpha1"',
        'apiVersion: "docke\\\r\n  \\\r\n\trv6.io/v1alpha1"',
        'apiVersion: "docke\\\u2028 rv6.io/v1alpha1"',
        "a: &x dockerv6.io/v1alpha1\napiVersion: *x",
        "apiVersion: |-\n  dockerv6.io/v1alpha1",
        "apiVersion: !!str dockerv6.io/v1alpha1\r\nkind: List\r\n",
        "\ufeffkind: IPv6Network",
        "kind: ipv6pool # apiVersion is missing",
        "apiVersion: dokerv6.io/v1alpha1\nkind: IPv6Policy",
    ],
)
def test_a_file_with_a_resource_is_never_dismissed(text: str) -> None:
    assert not is_dismissed(text.encode())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_in_another_encoding_is_not_dismissed(encoding: str) -> None:
    assert load_text("f.yaml", NETWORK.format("a").encode(encoding)).broken


@pytest.mark.parametrize("content", [b"[1, 2]", b"a: 1", b"- \\u0041", b"caf\xe9: 1", b"{", b"kind: ConfigMap"])
def test_a_file_of_another_program_is_ignored_with_a_warning_whatever_its_content(content: bytes) -> None:
    contents = load_text("f.yaml", content)
    [warning] = contents.diagnostics
    assert warning.severity is Severity.WARNING
    assert not contents.broken


def test_a_large_file_of_another_program_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "parse", lambda *_: pytest.fail("parsed"))
    assert load_text("f.json", "[" + "1,\\u0041" * 400_000 + "1]").nodes == 0


@pytest.mark.parametrize(
    "rest",
    [
        "spec: {x: [" + "1," * 2000 + "1]}",
        "spec: {" + ", ".join(f"k{n}" for n in range(2000)) + "}",
        "--- 1\n" * 2000,
        "---\n" * 2000,
        "a: &a [" + "1," * 100 + "1]\nb: [" + "*a, " * 20 + "1]",
    ],
)
def test_a_file_with_too_many_values_is_not_read_to_its_end(rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "MAX_NODES", 1000)
    contents = load_text("f.yaml", NETWORK.format("a") + rest)
    assert (contents.resources, contents.broken) == ((), True)
    assert "more than 1000 values" in contents.diagnostics[-1].message
    assert contents.diagnostics[-1].remedy
    assert contents.nodes <= 1100


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x85", "\u2028"])
def test_a_file_with_too_many_tag_directives_is_not_parsed(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = (end.join([*(f"%TAG !{n}! x" for n in range(count)), "--- 1"]) for count in (100, 101))
    assert [document.value for document in yaml.parse("f.yaml", few)] == [1]
    monkeypatch.setattr(yaml, "open_events", lambda _: pytest.fail("parsed"))
    contents = load_text("f.yaml", f"# dockerv6\n{many}")
    assert contents.broken
    assert str(contents.diagnostics[0]) == (
        "f.yaml:102:1: error: more than 100 %TAG directives in one file; remove them: no tag needs one here"
    )


def test_text_that_looks_like_tag_directives_is_not_counted() -> None:
    contents = load_text("f.yaml", NETWORK.format("a, annotations: {x: '" + "%TAG !a! x " * 200 + "'}"))
    assert contents.diagnostics == ()


def test_a_resource_with_too_many_values_is_refused_alone() -> None:
    text = NETWORK.format("a") + f"spec: {{firewall: {{ingress: [{'1,' * 20_000}]}}}}\n---\n" + NETWORK.format("b")
    contents = load_text("f.yaml", text)
    assert [item.resource.metadata.name for item in contents.resources] == ["b"]
    assert [(item.kind, item.name) for item in contents.invalid] == [("IPv6Network", "a")]
    assert len(contents.diagnostics) == 1


def test_the_number_of_resources_of_a_file_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_RESOURCES", 100)
    contents = load_text("f.yaml", "apiVersion: dockerv6.io/v1alpha1\nkind: List\nitems: [" + "1," * 101 + "]")
    assert "more than 100 resources" in contents.diagnostics[-1].message
    assert contents.broken


def test_the_number_of_problems_is_bounded() -> None:
    contents = load_text("f.yaml", NETWORK.format("a") + "spec: {" + ", ".join(f"k{n}: 1" for n in range(5000)) + "}")
    assert len(contents.diagnostics) == len(contents.invalid[0].diagnostics) == 100
    contents = load_text("f.yaml", "# dockerv6\n" + "--- 1\n" * 5000)
    assert len(contents.diagnostics) == 101
    assert "4900 more" in contents.diagnostics[-1].message


@pytest.mark.parametrize("text", ["apiVersion: {}", "kind: {}", "spec: {{{}: 1}}", "metadata: {{name: {}}}"])
def test_long_strings_and_long_messages_are_bounded(text: str) -> None:
    for length in (900, 10_000, 300_000):
        contents = load_text("f.yaml", f"# dockerv6\n{text.format('x' * length)}\n")
        assert contents.diagnostics
        assert all(len(str(found)) < 3000 for found in contents.diagnostics)


def test_the_largest_files_are_left_out_when_all_files_together_are_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "MAX_TOTAL_NODES", 100)
    for name in "abc":
        (tmp_path / f"{name}-large.yaml").write_text("---\n".join(NETWORK.format(f"{name}{n}") for n in range(6)))
    (tmp_path / "small.yaml").write_text(NETWORK.format("small"))
    snapshot = loader(tmp_path).load()
    assert [name for name in names(snapshot) if len(name) > 2] == ["small"]
    assert snapshot.broken_files == (str(tmp_path / "b-large.yaml"), str(tmp_path / "c-large.yaml"))
    assert "all files together" in snapshot.diagnostics[0].message


def test_a_huge_tree_behind_a_link_hides_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "MAX_ENTRIES", 40)
    root, huge = tmp_path.resolve() / "etc", tmp_path.resolve() / "huge"
    for path in (root / "sub", root / "z", *(huge / f"{n}" / "deep" for n in range(20))):
        path.mkdir(parents=True)
    (root / "sub" / "a.yaml").touch()
    (root / "a-link").symlink_to(huge)
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "b.yaml").touch()
    (root / "z-link").symlink_to(tmp_path / "good")
    listing = list_root(str(root), None, CancellationToken())
    assert [os.path.basename(path) for path in listing.files] == ["a.yaml", "b.yaml"]  # noqa: PTH119
    assert "more than 40 files and directories" in listing.problems[0]


def test_a_cancelled_listing_ends(tmp_path: Path) -> None:
    token = CancellationToken()
    token.cancel()
    with pytest.raises(OperationCancelled):
        list_root(str(tmp_path), None, token)


def test_cancelling_ends_the_reading_of_a_file() -> None:
    token = CancellationToken()
    token.cancel()
    with pytest.raises(OperationCancelled):
        load_text("f.yaml", NETWORK.format("a"), token)


def test_cancelling_ends_a_load_between_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / f"{name}.yaml").write_text(NETWORK.format(name))
    token = CancellationToken()
    reads: list[str] = []

    def read(path: str, _: object) -> bytes:
        reads.append(path)
        token.cancel()
        return b"a: 1"

    monkeypatch.setattr(load, "read_file", read)
    with pytest.raises(OperationCancelled):
        loader(tmp_path).load(token)
    assert len(reads) == 1
