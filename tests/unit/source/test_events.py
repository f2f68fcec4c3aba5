import pytest
import yaml

from dockerv6.source import events
from dockerv6.source.text import UnreadableText
from dockerv6.source.yaml import parse


@pytest.fixture(params=["compiled", "pure"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("dockerv6.source.yaml.open_events", getattr(events, f"_{request.param}"))
    if request.param == "pure":
        monkeypatch.setattr(yaml, "__with_libyaml__", False)
    return str(request.param)


def failure(text: str) -> UnreadableText:
    with pytest.raises(UnreadableText) as caught:
        list(parse(text))
    return caught.value


@pytest.mark.usefixtures("parser")
def test_both_parsers_read_the_same() -> None:
    text = "a: &x {b: [1, no, 'q', \"\\u00e4\"]}\nc: *x\nd: |\n  block\ne: ! 1\n---\n- 1\n..."
    assert [document.value for document in parse(text)] == [
        {"a": {"b": [1, "no", "q", "ä"]}, "c": {"b": [1, "no", "q", "ä"]}, "d": "block\n", "e": "1"},
        [1],
    ]


@pytest.mark.parametrize(
    ("text", "place", "message", "remedy"),
    [
        ("a:\n\tb: 1", (2, 1), "tab", "spaces"),
        ("a: b: c", (1, 5), "mapping values", "quotes"),
        ("a: @b", (1, 4), "'@'", "quotes"),
        ("a: [1, 2", (1, 9), "not YAML", "closed"),
        ("a: 'x", (1, 6), "not YAML", "closed"),
        ("ä: [\x01]", (1, 5), "control character", "remove it"),
        ("a: 1\n b: 2", (2, 3), "mapping values", "indentation"),
        ("a: {{ x }}", (1, 6), "", ""),
    ],
)
@pytest.mark.usefixtures("parser")
def test_errors_in_plain_words(text: str, place: tuple[int, int], message: str, remedy: str) -> None:
    if message:
        flaw = failure(text).flaw
        assert (flaw.line, flaw.column) == place
        assert message in flaw.message
        assert remedy in flaw.remedy
    else:
        [document] = parse(text)
        [flaw] = document.flaws
        assert "key must be a string" in flaw.message


@pytest.mark.usefixtures("parser")
def test_half_a_surrogate_pair_is_no_text() -> None:
    assert failure("a: \ud800").flaw.line == 1
