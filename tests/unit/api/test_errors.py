"""Suggestions for misspelled names."""

from dockerv6.api.errors import closest_match, did_you_mean, either_of

KNOWN = ["poolRef", "prefixLength", "subnet"]


def test_suggestions_ignore_case_hyphens_and_underscores() -> None:
    assert [closest_match(word, KNOWN) for word in ("pool_ref", "POOLREF", "pool-ref")] == ["poolRef"] * 3


def test_only_similar_words_are_suggested() -> None:
    assert closest_match("sbnet", KNOWN) == "subnet"
    assert closest_match("colour", KNOWN) is None
    assert closest_match("x", []) is None


def test_a_remedy_has_the_suggestion_or_all_candidates() -> None:
    assert did_you_mean("subnets", KNOWN) == "did you mean subnet?"
    assert did_you_mean("colour", KNOWN) == "use poolRef, prefixLength or subnet"
    assert did_you_mean("colour", []) == "remove it"
    assert either_of(["a"]) == "a"
