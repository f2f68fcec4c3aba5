from dockerv6.source.assembly import assemble
from dockerv6.source.documents import FileContents, load_text
from dockerv6.source.model import SourceRoot


def network(name: str, spec: str = "{}") -> str:
    return f"apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def files(**texts: str) -> dict[str, FileContents]:
    return {name: load_text(name, text) for name, text in texts.items()}


def test_first_of_two_stays_and_the_second_says_where_it_is() -> None:
    snapshot = assemble([], files(a=network("x"), b=network("y") + "---\n" + network("x")), problems={})
    assert [(item.resource.metadata.name, str(item.position)) for item in snapshot.resources] == [
        ("x", "a:1:1"),
        ("y", "b:1:1"),
    ]
    [invalid] = snapshot.invalid
    assert (invalid.kind, invalid.name, str(invalid.position)) == ("IPv6Network", "x", "b:6:1")
    assert "a:1:1" in invalid.diagnostics[0].message
    assert snapshot.diagnostics == invalid.diagnostics


def test_one_name_may_be_used_once_for_each_kind() -> None:
    pool = "apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Pool\nmetadata: {name: x}\nspec: {generate: ULA}\n"
    assert len(assemble([], files(a=network("x"), b=pool), problems={}).resources) == 2


def test_an_invalid_resource_holds_its_name() -> None:
    snapshot = assemble([], files(a=network("x", "{foo: 1}"), b=network("x")), problems={})
    assert snapshot.resources == ()
    assert [str(item.position) for item in snapshot.invalid] == ["a:1:1", "b:1:1"]


def test_nameless_ones_do_not_clash() -> None:
    text = "kind: Nonsense\n---\nkind: Nonsense\n"
    snapshot = assemble([], files(a=text), problems={})
    assert all("already" not in found.message for found in snapshot.diagnostics)
    assert snapshot.broken_files == ("a",)


def test_diagnostics_are_in_order_of_position() -> None:
    snapshot = assemble(
        [], files(b=network("x", "{foo: 1, bar: 2}"), a=network("y", "{foo: 1}")), problems={"c": ["is missing"]}
    )
    assert [found.position for found in snapshot.diagnostics] == sorted(
        found.position for found in snapshot.diagnostics
    )
    assert str(snapshot.diagnostics[-1]) == "c:1:1: error: is missing"


def test_complete_only_when_everything_could_be_read() -> None:
    good, bad = SourceRoot("r", listed=True), SourceRoot("r", listed=False)
    assert assemble([good], files(a=network("x")), problems={}).complete
    assert not assemble([good, bad], {}, problems={}).complete
    assert not assemble([good], files(a="["), problems={}).complete
