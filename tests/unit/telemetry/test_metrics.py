import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from dockerv6.telemetry.metrics import Metrics


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry, version="1.2.3")


def test_a_reconcile_is_counted_by_its_result_and_timed(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.reconciled("IPv6Network", "success", 0.02)
    metrics.reconciled("IPv6Network", "temporary", 2.0)
    labels = {"kind": "IPv6Network"}
    assert registry.get_sample_value("dockerv6_reconcile_total", {**labels, "result": "success"}) == 1
    assert registry.get_sample_value("dockerv6_reconcile_duration_seconds_count", labels) == 2
    assert registry.get_sample_value("dockerv6_reconcile_duration_seconds_sum", labels) == pytest.approx(2.02)


def test_a_gauge_has_its_last_value(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.queued(7)
    metrics.engine(up=True)
    metrics.synced(1_700_000_000.0)
    assert registry.get_sample_value("dockerv6_queue_depth") == 7
    assert registry.get_sample_value("dockerv6_engine_up") == 1
    assert registry.get_sample_value("dockerv6_last_sync_timestamp_seconds") == 1_700_000_000.0
    metrics.engine(up=False)
    assert registry.get_sample_value("dockerv6_engine_up") == 0


def test_counts_of_removed_resources_are_removed(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.pools({("default", "allocated"): 3, ("old", "allocated"): 1})
    metrics.pools({("default", "allocated"): 4})
    metrics.resources({("IPv6Network", "True"): 2})
    metrics.resources({("IPv6Network", "False"): 2})
    assert registry.get_sample_value("dockerv6_pool_subnets", {"pool": "default", "state": "allocated"}) == 4
    assert registry.get_sample_value("dockerv6_pool_subnets", {"pool": "old", "state": "allocated"}) is None
    assert registry.get_sample_value("dockerv6_resources", {"kind": "IPv6Network", "ready": "True"}) is None


def test_drift_and_transactions_are_counted(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.drifted("IPv6Network", "rules")
    metrics.repaired(0.004)
    metrics.firewall_committed()
    assert registry.get_sample_value("dockerv6_drift_total", {"kind": "IPv6Network", "what": "rules"}) == 1
    assert registry.get_sample_value("dockerv6_drift_repair_seconds_bucket", {"le": "0.005"}) == 1
    assert registry.get_sample_value("dockerv6_drift_repair_seconds_bucket", {"le": "0.0025"}) == 0
    assert registry.get_sample_value("dockerv6_firewall_transactions_total") == 1


def test_the_version_is_a_label(metrics: Metrics, registry: CollectorRegistry) -> None:
    assert metrics
    assert registry.get_sample_value("dockerv6_build_info", {"version": "1.2.3"}) == 1


def test_a_scrape_gets_the_text_format_unless_it_accepts_openmetrics(metrics: Metrics) -> None:
    metrics.reconciled("IPv6Network", "success", 0.02)
    plain, plain_type = metrics.exposition()
    other, other_type = metrics.exposition("application/openmetrics-text; version=1.0.0")
    assert plain_type.startswith("text/plain")
    assert other_type.startswith("application/openmetrics-text")
    plain_names = {family.name for family in parse_plain(plain.decode())}
    assert plain_names >= {"dockerv6_reconcile", "dockerv6_engine_up", "process_resident_memory_bytes"}
    other_families = parse_openmetrics(other.decode())  # type: ignore[no-untyped-call]
    assert {family.name for family in other_families} >= plain_names


def test_every_metric_has_help_and_the_prefix(metrics: Metrics) -> None:
    for family in parse_plain(metrics.exposition()[0].decode()):
        assert family.name.startswith(("dockerv6_", "process_"))
        assert family.documentation
        assert not family.name.endswith("_created")


def test_two_sets_cannot_share_a_registry(metrics: Metrics, registry: CollectorRegistry) -> None:
    assert metrics
    with pytest.raises(ValueError, match="Duplicated"):
        Metrics(registry, version="1.2.3")
