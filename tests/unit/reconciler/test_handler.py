import pytest

from dockerv6.reconciler.handler import Key, Registry, Requeue, TemporaryError


async def handler(_key: Key, _context: None) -> Requeue | None:
    return None


async def other(_key: Key, _context: None) -> Requeue | None:
    return None


@pytest.fixture
def registry() -> Registry[None]:
    return Registry()


def test_key_is_written_as_kind_and_name() -> None:
    assert str(Key("IPv6Network", "blog")) == "IPv6Network/blog"
    assert Key.parse("IPv6Network/blog") == Key("IPv6Network", "blog")


def test_keys_sort_by_kind_then_name() -> None:
    assert sorted([Key("B", "a"), Key("A", "z"), Key("A", "b")]) == [Key("A", "b"), Key("A", "z"), Key("B", "a")]


@pytest.mark.parametrize("text", ["", "blog", "/blog", "IPv6Network/"])
def test_incomplete_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="KIND/NAME"):
        Key.parse(text)


def test_delays_are_never_negative() -> None:
    with pytest.raises(ValueError, match="-1"):
        Requeue(-1)
    with pytest.raises(ValueError, match="-1"):
        TemporaryError("the engine restarts", delay=-1)


def test_registering_returns_the_function_itself(registry: Registry[None]) -> None:
    assert registry.reconcile("Network")(handler) is handler
    assert registry.finalize("Network")(handler) is handler


def test_handlers_are_found_by_kind(registry: Registry[None]) -> None:
    registry.reconcile("Network")(handler)
    registry.finalize("Network")(other)
    registry.finalize("Host")(other)
    assert registry.reconciler("Network") is handler
    assert registry.finalizer("Network") is other
    assert registry.reconciler("Host") is None
    assert registry.finalizer("Pool") is None
    assert registry.kinds == ("Host", "Network")
    assert registry.handles("Host")
    assert not registry.handles("Pool")


def test_second_handler_for_a_kind_is_refused(registry: Registry[None]) -> None:
    registry.reconcile("Network")(handler)
    registry.finalize("Network")(handler)
    with pytest.raises(ValueError, match="Network has a reconcile handler"):
        registry.reconcile("Network")(other)
    with pytest.raises(ValueError, match="Network has a finalize handler"):
        registry.finalize("Network")(other)
