import re

import pytest
import yaml

from dockerv6.api.kinds import NETWORK, POLICY, POOL
from dockerv6.api.validation import _WORDS
from tests.unit.api.checks import document, errors, network_errors, only

REMEDIES = sorted({(kind, remedy) for kind, words in _WORDS.items() for remedy in words.values()})


@pytest.mark.parametrize(
    ("kind", "word", "value", "remedy"),
    [
        (NETWORK, "external", True, "managementPolicy: Observe"),
        (NETWORK, "driver_opts", {"parent": "eth0"}, "write options"),
        (NETWORK, "driverOpts", {}, "write options"),
        (NETWORK, "ipam", {"config": [{"subnet": "fd00::/64"}]}, "addressing: {subnet:"),
        (NETWORK, "subnet", "fd00::/64", "addressing: {subnet:"),
        (NETWORK, "parent", "eth0", "options: {parent: eth0}"),
        (NETWORK, "enable_ipv6", True, "remove it"),
        (NETWORK, "enableIPv6", True, "remove it"),
        (POOL, "base", "fd00::/56", "write prefix"),
        (POOL, "size", 64, "write allocationLength"),
        (POLICY, "external", True, "remove it"),
        (POLICY, "ipam", {}, "an IPv6Network has that"),
        (POLICY, "names", ["blog"], "selector: {names: [blog]}"),
    ],
)
def test_a_word_of_compose_or_of_the_engine_leads_to_its_field(
    kind: str, word: str, value: object, remedy: str
) -> None:
    error = next(each for each in errors(document(kind, {word: value})) if each.path[-1] == word)
    assert error.message == f"unknown field {word!r}"
    assert remedy in error.remedy


def test_another_spelling_of_a_field_in_the_same_block_comes_first() -> None:
    assert only(network_errors({"addressing": {"Gateway": "fd00::1"}})).remedy == "did you mean gateway?"


def test_other_words_lead_to_the_most_similar_field() -> None:
    assert only(network_errors({"intrenal": True})).remedy == "did you mean internal?"


@pytest.mark.parametrize(("kind", "remedy"), REMEDIES)
def test_what_a_remedy_says_to_write_are_fields(kind: str, remedy: str) -> None:
    for start in re.finditer(r"\b[a-z]\w*: (?=[{\[]|(?:bridge|macvlan|Observe|fd|\d)\b)", remedy):
        if remedy[: start.start()].count("{") > remedy[: start.start()].count("}"):
            continue  # inside of a fragment that is tested as a whole
        text = remedy[start.start() :]
        end = next(n for n in range(start.end() - start.start() + 1, len(text) + 1) if complete(text[:n], text[n:]))
        fragment = yaml.safe_load(text[:end])
        assert not [e for e in errors(document(kind, fragment)) if "unknown field" in e.message], fragment


def complete(text: str, rest: str) -> bool:
    return text.count("{") == text.count("}") and text.count("[") == text.count("]") and rest[:1] in {"", " ", ";", ","}
