"""Files of any name and content: nothing is raised, everything can be encoded, and no resource is overlooked."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.lib.clock import SystemClock
from dockerv6.planning.admission import PruneRules, admit_resources
from dockerv6.source.documents import assemble, is_dismissed, load_text
from dockerv6.source.load import Loader
from dockerv6.source.model import Snapshot
from dockerv6.source.yaml import parse

NETWORK = "apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {name: good}\n"

NAMES = st.binary(min_size=1, max_size=30).filter(lambda name: not set(name) & {0, ord("/")} and name[0] != ord("."))
STRINGS = st.text(st.characters(), max_size=8)
ESCAPED = STRINGS.map(lambda text: '"' + "".join(f"\\u{ord(c):04x}" for c in text if ord(c) < 0x10000) + '"')
VALUES = ESCAPED | st.sampled_from(["1", ".nan", ".inf", "-.inf", "9" * 390, "null", "[]", "{}", "IPv6Network", "good"])
DOCUMENTS = st.builds(
    "apiVersion: dockerv6.io/v1alpha1\nkind: {}\nmetadata:\n  name: {}\n  labels: {{{}: {}}}\n{}: {}\n".format,
    VALUES | st.just("IPv6Network"),
    VALUES,
    VALUES,
    VALUES,
    VALUES | st.just("spec"),
    VALUES,
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "apiVersion": st.sampled_from(["dockerv6.io/v1alpha1", "dockerv6.io/v2", "v1"]) | JSON_VALUES,
        "kind": st.sampled_from(["List", "IPv6Network", "IPv6PoolList"]) | JSON_VALUES,
        "metadata": st.just({"name": "x"}) | JSON_VALUES,
        "items": st.lists(JSON_VALUES, max_size=2) | JSON_VALUES,
        "spec": JSON_VALUES,
        "status": JSON_VALUES,
    },
)
"""A document with a value of any type in every field that decides what the document is."""

PERCENT = st.binary(min_size=1, max_size=4).map(lambda raw: "".join(f"%{byte:02x}" for byte in raw)) | st.sampled_from(
    ["%ed%a0%80", "%f4%90%80%80", "%c3%a4", "%00", "%0a", "%", "str"]
)
TAGS = st.builds(
    str.format,
    st.sampled_from(["!{} x", "- !<{}> x", "%TAG !e! {}\n--- !e!y x", "a: !!{} x", "&x !{} {{}}", "? !{} x"]),
    PERCENT,
)
CONTENTS = st.binary(max_size=60) | DOCUMENTS.map(str.encode) | TAGS.map(lambda text: f"{text} # dockerv6".encode())


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    path = Path(mkdtemp()).resolve()
    yield path
    shutil.rmtree(os.fsencode(path))


def encode_everything(snapshot: Snapshot) -> None:
    """Encode what is printed, logged and stored, as UTF-8 and without NUL."""
    texts = [str(found) for found in snapshot.diagnostics]
    texts += [text for item in snapshot.invalid for text in (item.kind, item.name, item.position.file)]
    texts += [item.position.file for item in snapshot.resources]
    texts += [*snapshot.broken_files, *snapshot.files_without_resources, *(root.problem for root in snapshot.roots)]
    for stored in admit_resources(snapshot, (), {}, 0.0, PruneRules()).writes:
        texts += [stored.kind, stored.name, stored.file, stored.problem, repr(stored.document)]
        assert stored.name.isprintable()
    for text in texts:
        assert b"\0" not in text.encode()


@given(st.dictionaries(NAMES, CONTENTS, max_size=4))
def test_hostile_files_harm_only_themselves(directory: Path, files: dict[bytes, bytes]) -> None:
    root = Path(mkdtemp(dir=directory))
    for name, content in files.items():
        (root / os.fsdecode(name + b".yaml")).write_bytes(content)
    (root / "0.yaml").unlink(missing_ok=True)
    (root / "0.d").mkdir()
    (root / "0.d" / "0.yaml").write_text(NETWORK)
    snapshot = Loader([str(root / "0.d"), str(root)], clock=SystemClock(), ownership=None, settle=0).load()
    encode_everything(snapshot)
    assert "good" in [item.resource.metadata.name for item in snapshot.resources]
    assert all(root.listed for root in snapshot.roots)


@given(FIELDS | st.lists(FIELDS, max_size=2).map(lambda items: {"apiVersion": "v1", "kind": "List", "items": items}))
def test_any_type_of_any_field_only_causes_diagnostics(document: dict[str, object]) -> None:
    for file in ("f.yaml", "f.json"):
        contents = load_text(file, json.dumps({"comment": "dockerv6", **document}))
        for found in contents.diagnostics:
            str(found).encode()


@given(st.binary() | CONTENTS)
def test_any_truncation_of_any_content_only_causes_diagnostics(content: bytes) -> None:
    for end in range(0, len(content), max(1, len(content) // 8)):
        contents = load_text("f.yaml", content[:end])
        for found in contents.diagnostics:
            str(found).encode()


def spell(character: str, way: int) -> str:
    code = ord(character)
    return [character, f"\\x{code:02x}", f"\\u{code:04X}", f"\\U{code:08x}", f"\\\n  {character}", character.upper()][
        way
    ]


@given(st.lists(st.integers(0, 5), min_size=8, max_size=8))
def test_no_spelling_of_the_group_is_overlooked(ways: list[int]) -> None:
    word = "".join(map(spell, "dockerv6", ways))
    text = f'apiVersion: "{word}.io/v1alpha1"\n'
    [document] = parse("f", text)
    assert isinstance(document.value, dict)
    assert document.value["apiVersion"].lower() == "dockerv6.io/v1alpha1"
    assert not is_dismissed(text.encode())


@given(st.integers(0, len(NETWORK)))
def test_a_truncated_resource_file_is_never_taken_for_a_deletion(length: int) -> None:
    snapshot = assemble([], {"f": load_text("f", NETWORK[:length])}, problems=[])
    present = [item.resource.metadata.name for item in snapshot.resources]
    assert present == ["good"] or "f" in {*snapshot.broken_files, *snapshot.files_without_resources}
