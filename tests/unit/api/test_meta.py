"""Names, labels and annotations."""

import pytest

from dockerv6.api.meta import camel, name_problem
from tests.unit.api.checks import fields, network, network_errors, only


@pytest.mark.parametrize("name", ["a", "0", "web-1", "a" * 63])
def test_an_rfc_1123_label_is_a_name(name: str) -> None:
    assert network({}, name=name).metadata.name == name


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("Blog", "did you mean blog?"),
        ("my_blog", "did you mean my-blog?"),
        ("-a", "did you mean a?"),
        ("a.b", "did you mean a-b?"),
        ("blög", "did you mean bl-g?"),
        ("---", "write lower-case letters, digits and hyphens"),
    ],
)
def test_an_invalid_name_has_a_suggestion(name: str, remedy: str) -> None:
    error = only(network_errors({}, name=name))
    assert (error.path, error.remedy) == (("metadata", "name"), remedy)


@pytest.mark.parametrize("name", ["", "a" * 64])
def test_a_name_has_1_to_63_characters(name: str) -> None:
    assert only(network_errors({}, name=name)).path == ("metadata", "name")
    assert name_problem(name) is not None


def test_labels_follow_the_rules_of_kubernetes() -> None:
    good = {"app.kubernetes.io/name": "blog", "tier": "", "A_b.c-d": "1.0"}
    assert network({}, labels=good).metadata.labels == good
    bad = {"a b": "x", "/x": "x", "Ex.com/x": "x", "v": "a b", "w": "-"}
    assert len(network_errors({}, labels=bad)) == len(bad)


def test_annotations_may_have_any_text() -> None:
    assert network({}, annotations={"note": "a b\nc: ü"}).metadata.annotations["note"] == "a b\nc: ü"
    assert fields(network_errors({}, annotations={"a b": "x"})) == ["metadata.annotations['a b']"]


def test_field_names_are_camel_case_in_documents() -> None:
    assert [camel(name) for name in ("snat_address", "ipv4", "ndp_proxy", "from")] == [
        "snatAddress",
        "ipv4",
        "ndpProxy",
        "from",
    ]
