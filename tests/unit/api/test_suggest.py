"""Guessing what was meant."""

from dockerv6.api.errors import choice, closest, did_you_mean

KNOWN = ["poolRef", "prefixLength", "subnet"]


def test_case_hyphens_and_underscores_do_not_matter() -> None:
    assert [closest(word, KNOWN) for word in ("pool_ref", "POOLREF", "pool-ref")] == ["poolRef"] * 3


def test_near_words_are_guessed_and_far_ones_are_not() -> None:
    assert closest("sbnet", KNOWN) == "subnet"
    assert closest("colour", KNOWN) is None
    assert closest("x", []) is None


def test_a_remedy_names_the_guess_or_the_choice() -> None:
    assert did_you_mean("subnets", KNOWN) == "did you mean subnet?"
    assert did_you_mean("colour", KNOWN) == "use poolRef, prefixLength or subnet"
    assert did_you_mean("colour", []) == "remove it"
    assert choice(["a"]) == "a"
