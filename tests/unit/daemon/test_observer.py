"""Every exported metric is connected: each moves while an operator runs on a simulated host."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from dockerv6.daemon.observer import MetricsObserver
from dockerv6.reconciler.handler import Key, PermanentError, TemporaryError
from dockerv6.reconciler.manager import Outcome, Role
from dockerv6.telemetry.health import StuckWork
from dockerv6.telemetry.metrics import Metrics
from tests.simulation.resources import network, pool
from tests.world import Host

CONSTANT = "dockerv6_build_info"
BLOG = Key("IPv6Network", "blog")


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def families(registry: CollectorRegistry) -> Iterator[tuple[str, frozenset[object]]]:
    """Our metrics, with their samples."""
    for family in registry.collect():
        if family.name.startswith("dockerv6_"):
            yield family.name, frozenset((s.name, tuple(sorted(s.labels.items())), s.value) for s in family.samples)


async def test_every_exported_metric_moves(registry: CollectorRegistry) -> None:
    host = Host()
    metrics = Metrics(registry, "1.2.3")
    seen: dict[str, set[frozenset[object]]] = {name: {samples} for name, samples in families(registry)}

    def sample() -> None:
        for name, samples in families(registry):
            seen[name].add(samples)

    def depth_is_sampled(key: Key, reason: str) -> None:
        enqueue(key, reason)
        sample()

    host.files.write(network("blog"), network("shop"), pool("office", prefixes=["fd00:1::/48"]))
    async with host.running(metrics) as it:
        enqueue = it.context.enqueue
        it.context.enqueue = depth_is_sampled
        await it.let(10)
        sample()
        host.flush_rules()  # drift that the kernel announces: repaired without the queue
        await it.let(10)
        sample()
        await host.remove_by_hand("blog")  # drift that a reconcile finds
        await it.let(10)
        sample()
        host.engine.down()
        await it.let(10)
        sample()
    unmoved = {name for name, values in seen.items() if len(values) < 2}
    assert unmoved == {CONSTANT}


async def test_drift_is_counted_by_kind_and_what_drifted(registry: CollectorRegistry) -> None:
    host = Host()
    host.files.write(network("blog"))
    labels = {"kind": "IPv6Network"}
    async with host.running(Metrics(registry, "1")) as it:
        await it.let(10)
        assert registry.get_sample_value("dockerv6_drift_repair_seconds_count") == 0
        host.flush_rules()
        await it.let(10)
        assert registry.get_sample_value("dockerv6_drift_total", {**labels, "what": "rules"}) == 1
        await host.remove_by_hand("blog")
        await it.let(10)
        assert registry.get_sample_value("dockerv6_drift_total", {**labels, "what": "network"}) == 1
        assert registry.get_sample_value("dockerv6_drift_repair_seconds_count") == 2


async def test_every_repair_is_one_event_and_one_count(registry: CollectorRegistry) -> None:
    host = Host()
    host.files.write(network("blog"))
    repairs = 0
    async with host.running(Metrics(registry, "1")) as it:
        await it.let(10)
        for _ in range(3):
            host.flush_rules()
            await it.let(10)
            await host.remove_by_hand("blog")
            await it.let(10)
            host.net.change_sysctl("net.ipv6.conf.all.forwarding", "0")
            await it.let(10)
            repairs += 3
        events = await host.events("blog")
    drift = next(metric for metric in registry.collect() if metric.name == "dockerv6_drift")
    assert sum(s.value for s in drift.samples if s.name.endswith("_total")) == repairs
    assert sum(event.count for event in events if event.reason == "Drifted") == repairs


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (None, "success"),
        (TemporaryError("x"), "temporary"),
        (PermanentError("x"), "permanent"),
        (RuntimeError("x"), "error"),
    ],
)
async def test_a_run_is_counted_by_its_result(
    registry: CollectorRegistry, error: Exception | None, result: str
) -> None:
    host = Host()
    observer = MetricsObserver(Metrics(registry, "1"), StuckWork(host.clock, 60), host.context())
    observer.finished(BLOG, Role.RECONCILE, Outcome(error=error), 0.5)
    assert registry.get_sample_value("dockerv6_reconcile_total", {"kind": BLOG.kind, "result": result}) == 1


async def test_a_key_that_does_not_end_is_stuck() -> None:
    host = Host()
    stuck = StuckWork(host.clock, 60)
    observer = MetricsObserver(Metrics(CollectorRegistry(), "1"), stuck, host.context())
    observer.started(BLOG, 0.0)
    host.clock.advance(61)
    assert stuck.check() == "stuck: IPv6Network/blog for 61 s"
    observer.finished(BLOG, Role.RECONCILE, Outcome(), 61)
    assert stuck.check() == ""
