import json
from textwrap import dedent

import pytest

from dockerv6.source.documents import FileContents, assemble, load_text
from dockerv6.source.model import Diagnostic, Position, Severity, SourceRoot

NETWORK = "apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata:\n  name: {}\n"


def load(text: str, file: str = "f.yaml") -> FileContents:
    return load_text(file, dedent(text))


def names(contents: FileContents) -> list[str]:
    return [item.resource.metadata.name for item in contents.resources]


def only(contents: FileContents) -> Diagnostic:
    [diagnostic] = contents.diagnostics
    return diagnostic


def test_empty_spec_is_a_resource() -> None:
    contents = load_text("f.yaml", NETWORK.format("blog"))
    assert names(contents) == ["blog"]
    assert contents == FileContents(contents.resources)
    assert contents.resources[0].position == Position("f.yaml", 1, 1)


def test_every_document_has_its_position() -> None:
    contents = load_text("f.yaml", "---\n".join(["# intro\n", NETWORK.format("a"), NETWORK.format("b"), ""]))
    assert [str(item.position) for item in contents.resources] == ["f.yaml:3:1", "f.yaml:8:1"]


def test_unknown_field_has_the_position_of_its_key_and_a_suggestion() -> None:
    contents = load_text("f.yaml", NETWORK.format("blog") + "spec:\n  adressing: {}\n")
    assert str(only(contents)) == (
        "f.yaml:6:3: error: spec.adressing: unknown field 'adressing'; did you mean addressing?"
    )
    assert (contents.invalid[0].kind, contents.invalid[0].name) == ("IPv6Network", "blog")
    assert not contents.broken


def test_invalid_value_has_the_position_of_the_value() -> None:
    contents = load_text("f.yaml", NETWORK.format("blog") + "spec:\n  addressing:\n    subnet: banana\n")
    assert only(contents).position == Position("f.yaml", 7, 13)
    assert only(contents).field == "spec.addressing.subnet"
    assert only(contents).remedy


def test_missing_field_has_the_position_of_its_parent() -> None:
    contents = load("""\
        apiVersion: dockerv6.io/v1alpha1
        kind: IPv6Network
        metadata:
          labels: {}
        """)
    assert (only(contents).position, only(contents).field) == (Position("f.yaml", 3, 1), "metadata.name")
    assert contents.broken


def test_no_is_not_a_boolean() -> None:
    contents = load_text("f.yaml", NETWORK.format("blog") + "spec: {suspend: no}\n")
    assert only(contents).field == "spec.suspend"


def test_fields_that_a_server_writes_are_warnings_at_their_key() -> None:
    contents = load_text("f.yaml", NETWORK.format("blog") + "  uid: x\nstatus:\n  subnet: fd00::/64\n")
    assert names(contents) == ["blog"]
    assert [(found.severity, found.position.line, found.position.column) for found in contents.diagnostics] == [
        (Severity.WARNING, 6, 1),
        (Severity.WARNING, 5, 3),
    ]


def test_duplicate_key_invalidates_only_its_own_document() -> None:
    contents = load_text("f.yaml", NETWORK.format("a") + "spec: {}\nspec: {}\n---\n" + NETWORK.format("b"))
    assert names(contents) == ["b"]
    assert [(item.kind, item.name) for item in contents.invalid] == [("IPv6Network", "a")]
    assert only(contents).position == Position("f.yaml", 6, 1)
    assert not contents.broken


def test_text_that_is_not_yaml_to_its_end_has_no_resources() -> None:
    contents = load_text("f.yaml", NETWORK.format("a") + "---\na: [")
    assert contents.resources == ()
    assert contents.invalid == ()
    assert contents.broken
    assert only(contents).severity is Severity.ERROR


@pytest.mark.parametrize("text", ["just text", "- a\n- b", "1", "kind: IPv6Network", "a: &x {b: *x}"])
def test_document_without_a_name_makes_the_file_broken(text: str) -> None:
    contents = load_text("f.yaml", f"# dockerv6\n{text}")
    assert contents.broken
    assert contents.diagnostics


def test_misspelled_group_and_kind_are_errors_with_a_suggestion() -> None:
    contents = load_text("f.yaml", "apiVersion: docker6.io/v1alpha1\nkind: ipv6network\nmetadata: {name: x}\n")
    assert [found.severity for found in contents.diagnostics] == [Severity.ERROR, Severity.ERROR]
    assert [found.position for found in contents.diagnostics] == [Position("f.yaml", 1, 13), Position("f.yaml", 2, 7)]
    assert "did you mean" in contents.diagnostics[0].remedy
    assert contents.broken


@pytest.mark.parametrize(
    ("kind", "name", "remedy"),
    [
        ("IPV6Network", "blog", "did you mean IPv6Network?"),
        ("IPv6Network", "Blog", "did you mean blog?"),
        ("IPv6Network", "a/b", "did you mean a-b?"),
        ("IPv6Network", "x" * 64, "write at most 63"),
    ],
)
def test_a_kind_or_name_that_no_resource_can_have_identifies_nothing(kind: str, name: str, remedy: str) -> None:
    bad = f"apiVersion: dockerv6.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\n"
    contents = load_text("f.yaml", f"{bad}---\n{NETWORK.format('ok')}")
    (item,) = contents.invalid
    assert "" in (item.kind, item.name)
    assert contents.broken
    assert remedy in str(item.diagnostics[0])
    assert [each.resource.metadata.name for each in contents.resources] == ["ok"]


def test_foreign_kinds_are_ignored_with_a_warning() -> None:
    contents = load("""\
        # beside the resources of dockerv6
        apiVersion: kustomize.config.k8s.io/v1beta1
        kind: Kustomization
        resources: [a.yaml]
        resources: [b.yaml]
        ---
        apiVersion: v1
        kind: ConfigMap
        """)
    assert [found.severity for found in contents.diagnostics] == [Severity.WARNING, Severity.WARNING]
    assert "Kustomization" in contents.diagnostics[0].message
    assert (contents.resources, contents.invalid, contents.broken) == ((), (), False)


def test_own_kind_in_a_foreign_group_is_an_error() -> None:
    contents = load_text("f.yaml", "apiVersion: example.com/v1\nkind: IPv6Network\nmetadata: {name: x}\n")
    assert [found.severity for found in contents.diagnostics] == [Severity.ERROR]


def test_list_items_are_resources_of_their_own() -> None:
    contents = load("""\
        apiVersion: v1
        kind: List
        metadata: {resourceVersion: ""}
        items:
        - apiVersion: dockerv6.io/v1alpha1
          kind: IPv6Network
          metadata: {name: a}
        - apiVersion: dockerv6.io/v1alpha1
          kind: IPv6Network
          metadata: {name: b}
          spec: {suspended: true}
        - apiVersion: dockerv6.io/v1alpha1
          kind: IPv6Pool
          metadata: {name: c, name: c}
        - apiVersion: v1
          kind: List
          items: []
        """)
    assert [str(item.position) for item in contents.resources] == ["f.yaml:5:3"]
    assert [(item.kind, item.name) for item in contents.invalid] == [
        ("IPv6Network", "b"),
        ("IPv6Pool", "c"),
        ("", ""),
    ]
    assert [(str(found.position), found.field) for found in contents.diagnostics] == [
        ("f.yaml:11:10", "spec.suspended"),
        ("f.yaml:14:23", "metadata.name"),
        ("f.yaml:15:3", ""),
    ]


@pytest.mark.parametrize("kind", ["List", "IPv6NetworkList"])
def test_lists_of_the_own_group(kind: str) -> None:
    item = {"apiVersion": "dockerv6.io/v1alpha1", "kind": "IPv6Network", "metadata": {"name": "a"}}
    text = json.dumps({"apiVersion": "dockerv6.io/v1alpha1", "kind": kind, "items": [item]})
    assert names(load_text("f.json", text)) == ["a"]


@pytest.mark.parametrize("wrong", ["{}", "[]", "1", "null", "true"])
@pytest.mark.parametrize("version", ["dockerv6.io/v1alpha1", "v1"])
def test_a_kind_or_version_of_another_type_makes_no_list(wrong: str, version: str) -> None:
    for envelope in (f"apiVersion: {version}\nkind: {wrong}", f"kind: List\napiVersion: {wrong}"):
        contents = load_text("f.yaml", f"# dockerv6\n{envelope}\nitems: []\n")
        assert contents.broken
        assert contents.diagnostics[0].remedy


def test_problem_outside_of_the_items_of_a_list() -> None:
    contents = load_text("f.yaml", f"apiVersion: v1\nkind: List\nx: 1\nx: 1\nitems: [{{{_flow('a')}}}]\n")
    assert names(contents) == ["a"]
    assert contents.broken
    assert only(contents).field == "x"


def _flow(name: str) -> str:
    return f"apiVersion: dockerv6.io/v1alpha1, kind: IPv6Network, metadata: {{name: {name}}}"


def test_json_with_tabs_and_surrogates() -> None:
    document = {
        "apiVersion": "dockerv6.io/v1alpha1",
        "kind": "IPv6Network",
        "metadata": {"name": "a", "annotations": {"note": "😀"}},
    }
    contents = load_text("f.json", json.dumps(document, indent="\t").encode())
    assert contents.diagnostics == ()
    assert dict(contents.resources[0].resource.metadata.annotations) == {"note": "😀"}


def test_an_empty_file_is_broken() -> None:
    contents = load_text("f.yaml", b"")
    assert contents.broken
    assert only(contents).severity is Severity.WARNING


def test_a_file_of_comments_has_no_resources() -> None:
    assert load_text("f.yaml", b"# nothing for dockerv6 yet\n---\n") == FileContents()


def network(name: str, spec: str = "{}") -> str:
    return f"apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def files(**texts: str) -> dict[str, FileContents]:
    return {name: load_text(name, text) for name, text in texts.items()}


def test_of_two_resources_with_one_name_the_first_counts() -> None:
    snapshot = assemble([], files(a=network("x"), b=network("y") + "---\n" + network("x")), problems=[])
    assert [(item.resource.metadata.name, str(item.position)) for item in snapshot.resources] == [
        ("x", "a:1:1"),
        ("y", "b:1:1"),
    ]
    [invalid] = snapshot.invalid
    assert (invalid.kind, invalid.name, str(invalid.position)) == ("IPv6Network", "x", "b:6:1")
    assert "a:1:1" in invalid.diagnostics[0].message
    assert snapshot.diagnostics == invalid.diagnostics


def test_names_are_unique_within_a_kind() -> None:
    pool = "apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Pool\nmetadata: {name: x}\nspec: {generate: ULA}\n"
    assert len(assemble([], files(a=network("x"), b=pool), problems=[]).resources) == 2


def test_an_invalid_resource_occupies_its_name() -> None:
    snapshot = assemble([], files(a=network("x", "{foo: 1}"), b=network("x")), problems=[])
    assert snapshot.resources == ()
    assert [str(item.position) for item in snapshot.invalid] == ["a:1:1", "b:1:1"]


def test_documents_without_a_name_are_no_duplicates() -> None:
    text = "kind: Nonsense\n---\nkind: Nonsense # of dockerv6\n"
    snapshot = assemble([], files(a=text), problems=[])
    assert all("already" not in found.message for found in snapshot.diagnostics)
    assert snapshot.broken_files == ("a",)


def test_diagnostics_are_in_order_of_position() -> None:
    missing = Diagnostic(Position("c"), Severity.ERROR, (), "is missing")
    snapshot = assemble([], files(b=network("x", "{foo: 1, bar: 2}"), a=network("y", "{foo: 1}")), problems=[missing])
    assert [found.position for found in snapshot.diagnostics] == sorted(
        found.position for found in snapshot.diagnostics
    )
    assert str(snapshot.diagnostics[-1]) == "c:1:1: error: is missing"


def test_snapshot_is_complete_when_everything_was_read() -> None:
    good, bad = SourceRoot("r", listed=True), SourceRoot("r", listed=False)
    assert assemble([good], files(a=network("x")), problems=[]).complete
    assert not assemble([good, bad], {}, problems=[]).complete
    assert not assemble([good], files(a="dockerv6: ["), problems=[]).complete
