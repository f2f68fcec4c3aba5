import pytest

from dockerv6.reconciler.outcome import Requeue
from dockerv6.reconciler.registry import Registry, Timer
from dockerv6.reconciler.request import Key


async def handler(_key: Key, _context: float) -> Requeue | None:
    return None


async def other(_key: Key, _context: float) -> Requeue | None:
    return None


async def hook(_context: float) -> None:
    return None


async def other_hook(_context: float) -> None:
    return None


@pytest.fixture
def registry() -> Registry[float]:
    return Registry()


def test_decorated_function_stays_what_it_is(registry: Registry[float]) -> None:
    assert registry.reconcile("Network")(handler) is handler
    assert registry.finalize("Network")(handler) is handler
    assert registry.timer("Network", interval=1)(handler) is handler
    assert registry.startup(hook) is hook
    assert registry.cleanup(hook) is hook


def test_handlers_are_found_by_kind(registry: Registry[float]) -> None:
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


def test_second_handler_for_a_kind_is_refused(registry: Registry[float]) -> None:
    registry.reconcile("Network")(handler)
    registry.finalize("Network")(handler)
    registry.timer("Network", interval=1)(handler)
    with pytest.raises(ValueError, match="Network has a reconcile handler"):
        registry.reconcile("Network")(other)
    with pytest.raises(ValueError, match="Network has a finalize handler"):
        registry.finalize("Network")(other)
    with pytest.raises(ValueError, match="Network has a timer named handler"):
        registry.timer("Network", interval=2)(handler)


def test_kind_may_have_several_timers(registry: Registry[float]) -> None:
    registry.timer("Network", interval=1)(handler)
    registry.timer("Network", interval=2)(other)
    registry.timer("Host", interval=2)(other)
    assert [(timer.kind, timer.name) for timer in registry.timers] == [
        ("Network", "handler"),
        ("Network", "other"),
        ("Host", "other"),
    ]


def test_interval_may_be_a_setting(registry: Registry[float]) -> None:
    registry.timer("Network", interval=lambda context: context * 2)(handler)
    assert [timer.seconds(21.0) for timer in registry.timers] == [42]


def test_interval_must_be_positive(registry: Registry[float]) -> None:
    with pytest.raises(ValueError, match="Network/handler needs a positive interval"):
        registry.timer("Network", interval=0)(handler)
    timer: Timer[float] = Timer("Network", lambda context: context, handler)
    with pytest.raises(ValueError, match="Network/handler needs a positive interval"):
        timer.seconds(-1)


def test_startup_keeps_its_order_and_cleanup_reverses_it(registry: Registry[float]) -> None:
    for each in (hook, other_hook):
        registry.startup(each)
        registry.cleanup(each)
    assert registry.startup_hooks == (hook, other_hook)
    assert registry.cleanup_hooks == (other_hook, hook)
