import time

import pytest

from dockerv6.api.errors import FieldPath
from dockerv6.source.model import Diagnostic
from dockerv6.source.yaml import MAX_DEPTH, MAX_PROBLEMS, MAX_REPEATED_NODES, parse
from dockerv6.source.yaml_document import Document
from dockerv6.source.yaml_text import UnreadableText


def only(text: str) -> Document:
    [document] = parse("f", text)
    return document


def value(text: str) -> object:
    document = only(text)
    assert document.problems == ()
    return document.value


def problem(text: str) -> Diagnostic:
    [found] = only(text).problems
    return found


def fatal(text: str) -> Diagnostic:
    with pytest.raises(UnreadableText) as caught:
        list(parse("f", text))
    return caught.value.diagnostic


def at(document: Document, path: FieldPath = (), *, at_key: bool = False) -> tuple[int, int]:
    found = document.position(path, at_key=at_key)
    return found.line, found.column


def place(found: Diagnostic) -> tuple[int, int]:
    return found.position.line, found.position.column


def test_scalars_follow_the_core_schema_unless_quoted() -> None:
    text = "{a: no, b: 'true', c: \"1\", d: 22:22, e: !!str 1, f: ! 1, g: !!int 7, h: , i: |\n 1\n}"
    assert value(text.replace(", i: |\n 1\n", "")) == {
        "a": "no", "b": "true", "c": "1", "d": "22:22", "e": "1", "f": "1", "g": 7, "h": None,
    }  # fmt: skip


def test_several_documents_and_empty_ones() -> None:
    documents = list(parse("f", "# nothing\n---\n---\na: 1\n---\n# nothing either\n...\n"))
    assert [document.value for document in documents] == [None, {"a": 1}, None]
    assert [document.empty for document in documents] == [True, False, True]


def test_no_document_at_all() -> None:
    assert list(parse("f", "")) == []
    assert list(parse("f", "# only a comment\n")) == []


def test_duplicate_key_names_both_places() -> None:
    found = problem("spec:\n  a: 1\n  b: 2\n  a: 3\n")
    assert (*place(found), found.path) == (4, 3, ("spec", "a"))
    assert "line 2, column 3" in found.message


def test_duplicate_keys_in_a_list_have_the_index_in_their_path() -> None:
    assert problem("spec:\n- {}\n- x: 1\n  x: 2\n").path == ("spec", 1, "x")


@pytest.mark.parametrize("key", ["1", "true", "null", "~", "1.5", "0x1"])
def test_keys_that_are_not_strings(key: str) -> None:
    found = problem(f"a:\n  {key}: x\n")
    assert (*place(found), found.path) == (2, 3, ("a", key))
    assert "quotes" in found.remedy


def test_booleans_of_yaml_1_1_are_valid_keys() -> None:
    assert value("on: 1\nyes: 2\nn: 3") == {"on": 1, "yes": 2, "n": 3}


def test_templates_are_not_keys() -> None:
    assert "quotes" in problem("a: {{ name }}").remedy


def test_each_problem_has_its_own_path() -> None:
    found = only("a:\n  b: !x 1\n  c: [{1: 2}, *nowhere]\nd: 1\nd: 2\n").problems
    assert {each.path for each in found} == {("a", "b"), ("a", "c", 0, "1"), ("a", "c", 1), ("d",)}


def test_problem_with_the_tag_of_a_container() -> None:
    found = problem("a:\n  b: !!set {x, y}\n")
    assert (found.path, *place(found)) == (("a", "b"), 2, 6)


@pytest.mark.parametrize("tag", ["!!binary", "!!timestamp", "!!python/none", "!local"])
def test_tags_outside_the_core_schema(tag: str) -> None:
    assert "not allowed" in problem(f"a: {tag} x").message


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("a: !<x%00y> 1", "!<x%00y>"),
        ("a: !!str%00y 1", "!!str%00y"),
        ("a: [&x !!map%00y {}]", "!!map%00y"),
        ("a: [!x, 1]", "!x"),
        ("a: !<x%1b%e2%80%ae> 1", "!<x%1b%e2%80%ae>"),
    ],
)
def test_a_tag_is_reported_as_it_is_written(text: str, tag: str) -> None:
    assert problem(text).message == f"the tag {tag} is not allowed"


@pytest.mark.parametrize("escapes", ["%ed%a0%80", "%f4%90%80%80", "%c3%a4%ed%bf%bf"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind: !<{}> dockerv6", (1, 9)),
        ("!{} x", (1, 2)),
        ("# 50%ed%a0%80\n- 1\n- !x{} x", (3, 5)),
        ("%TAG !e! {}\n---\n!e!x y", (1, 10)),
    ],
)
def test_a_tag_that_is_not_utf_8(text: str, expected: tuple[int, int], escapes: str) -> None:
    found = fatal(text.format(escapes))
    assert found.message == f"{escapes} in a tag is not UTF-8"
    assert (place(found), found.remedy) == (expected, "remove the tag")


def test_value_that_does_not_match_its_tag() -> None:
    assert "type int" in problem("a: !!int x").message


def test_aliases_share_the_value_of_their_anchor() -> None:
    assert value("a: &x [1]\nb: *x\n? &k key\n: 1\n? *k\n: 2\n".replace("? *k\n: 2\n", "")) == {
        "a": [1], "b": [1], "key": 1,
    }  # fmt: skip


def test_alias_inside_its_own_anchor() -> None:
    found = problem("a: &x\n  b: *x\n")
    assert (found.path, *place(found)) == (("a", "b"), 2, 6)


def test_alias_of_another_document() -> None:
    documents = list(parse("f", "a: &x 1\n---\nb: *x\n"))
    assert documents[0].problems == ()
    assert len(documents[1].problems) == 1


def test_merge_keys() -> None:
    text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\none: {<<: *x, b: 0}\nmany:\n  <<: [*x, *y]\n  d: 5\n"
    result = value(text)
    assert isinstance(result, dict)
    assert result["one"] == {"a": 1, "b": 0}
    assert result["many"] == {"a": 1, "b": 2, "c": 4, "d": 5}


def test_merged_values_have_the_position_in_their_source() -> None:
    document = only("x: &x\n  a: 1\none:\n  <<: *x\n")
    assert at(document, ("one", "a")) == (2, 6)


@pytest.mark.parametrize("text", ["a: {<<: 1}", "a: {<<: [1]}", "x: &x [1]\na: {<<: *x}"])
def test_only_mappings_can_be_merged(text: str) -> None:
    assert "only mappings" in problem(text).message


def test_a_second_merge_key_is_a_duplicate() -> None:
    assert "duplicate key" in problem("x: &x {}\na:\n  <<: *x\n  <<: *x\n").message


def test_quoted_merge_key_is_a_key() -> None:
    assert value('"<<": 1') == {"<<": 1}


def test_alias_bomb() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    found = fatal("\n".join(lines))
    assert str(MAX_REPEATED_NODES) in found.message
    assert found.position.line > 1


def test_aliases_below_the_bound_are_valid() -> None:
    assert value(f"a: &a x\nb: [{', '.join(['*a'] * (MAX_REPEATED_NODES // 2))}]")


def test_depth_is_bounded() -> None:
    assert value("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert fatal("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)).position.column == MAX_DEPTH + 1


def test_depth_is_bounded_through_aliases_too() -> None:
    half = MAX_DEPTH // 2 + 1
    assert "nested" in fatal(f"a: &a {'[' * half}{']' * half}\nb: {'[' * half}*a{']' * half}").message


def test_depth_is_bounded_through_aliases_of_aliases() -> None:
    part = MAX_DEPTH // 3 + 1
    lines = [f"a0: &a0 {'[' * part}{']' * part}"]
    lines += [f"a{i}: &a{i} {'[' * part}*a{i - 1}{']' * part}" for i in (1, 2)]
    assert fatal("\n".join(lines)).position.line == 3


def test_number_of_problems_is_bounded() -> None:
    assert "the rest of the file is not read" in fatal("\n".join(f"{i}: x" for i in range(MAX_PROBLEMS + 1))).message


@pytest.mark.parametrize("unit", ["[", "{", "- ", "? ", "[a,", "{a: {", "&a [", "!!map {"])
def test_deep_nesting_is_rejected_early(unit: str) -> None:
    before = time.process_time()
    fatal(unit * 200_000)
    assert time.process_time() - before < 5  # the parser alone takes minutes for some of these


def test_positions() -> None:
    document = only("# comment\nkind: X\nspec:\n  a: 1\n  list:\n  - x: 1\n  - y: 2\n  flow: {z: 3}\n")
    assert at(document) == (2, 1)
    assert at(document, ("kind",)) == (2, 7)
    assert at(document, ("kind",), at_key=True) == (2, 1)
    assert at(document, ("spec", "a")) == (4, 6)
    assert at(document, ("spec", "list", 1)) == (7, 5)
    assert at(document, ("spec", "list", 1, "y")) == (7, 8)
    assert at(document, ("spec", "flow")) == (8, 9)
    assert at(document, ("spec", "flow", "z"), at_key=True) == (8, 10)


def test_position_of_a_block_is_its_key() -> None:
    assert at(only("spec:\n  a: 1\n"), ("spec",)) == (1, 1)


def test_position_of_a_missing_field_is_the_nearest_key_above() -> None:
    document = only("\nspec:\n  a: {}\n  b: 1\n")
    assert at(document, ("metadata", "name")) == (2, 1)
    assert at(document, ("spec", "a", "missing")) == (3, 3)
    assert at(document, ("spec", "b", "missing")) == (4, 3)


def test_position_through_an_alias() -> None:
    document = only("a: &x\n  b: 1\nc: *x\n")
    assert at(document, ("c",)) == (3, 4)
    assert at(document, ("c", "b")) == (2, 6)
