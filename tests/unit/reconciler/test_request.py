import pytest

from dockerv6.reconciler.request import Key


def test_key_is_written_kind_slash_name() -> None:
    assert str(Key("IPv6Network", "blog")) == "IPv6Network/blog"
    assert Key.parse("IPv6Network/blog") == Key("IPv6Network", "blog")


def test_keys_sort_by_kind_then_name() -> None:
    assert sorted([Key("B", "a"), Key("A", "z"), Key("A", "b")]) == [Key("A", "b"), Key("A", "z"), Key("B", "a")]


@pytest.mark.parametrize("text", ["", "blog", "/blog", "IPv6Network/"])
def test_half_a_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="KIND/NAME"):
        Key.parse(text)
