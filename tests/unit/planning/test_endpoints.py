from dataclasses import replace

from dockerv6.planning.blueprint import network_spec
from dockerv6.planning.endpoints import attach, creation, recreation
from dockerv6.planning.inputs import SPEC_HASH
from dockerv6.planning.steps import AttachEndpoint, CreateNetwork, RememberEndpoints
from tests.simulation.resources import network
from tests.unit.planning.scene import IDENTITY, SUBNET, container, kinds, live

WANT = network_spec(network(ipv4={"subnet": "192.0.2.0/24", "gateway": "192.0.2.1"}), SUBNET, IDENTITY)
WEB, CRON = container("web"), container("cron", running=False)


def test_those_with_fixed_addresses_come_first_then_by_name() -> None:
    db, api = container("db", ipv6=str(SUBNET[9])), container("api", ipv4="192.0.2.9")
    order = [s.endpoint.container_name for s in attach((WEB, CRON, db, api), WANT)]
    assert order == ["api", "db", "cron", "web"]


def test_addresses_that_do_not_fit_are_left_to_the_engine() -> None:
    endpoints = (
        container("fits", ipv6=str(SUBNET[9]), ipv4="192.0.2.9"),
        container("foreign", ipv6="fd99::9", ipv4="198.51.100.9"),
        container("gateway", ipv6=str(SUBNET[1]), ipv4="192.0.2.1"),
    )
    found = {s.endpoint.container_name: s.endpoint for s in attach(endpoints, WANT)}
    assert found["fits"] == endpoints[0]
    for name in ("foreign", "gateway"):
        assert (found[name].static_ipv6, found[name].static_ipv4) == (None, None)


def test_reserved_addresses_do_not_fit() -> None:
    reserved = {"subnet": str(SUBNET), "reserved": [str(SUBNET[9])]}
    want = network_spec(network(addressing=reserved), SUBNET, IDENTITY)
    (step,) = attach((container("db", ipv6=str(SUBNET[9])),), want)
    assert step.endpoint.static_ipv6 is None


def test_everything_else_of_an_attachment_is_kept() -> None:
    endpoint = replace(WEB, aliases=("www",), links=("db:db",), driver_opts={"a": "b"}, gw_priority=3)
    assert attach((endpoint,), WANT) == (AttachEndpoint("blog", endpoint),)


def test_nobody_to_attach_is_nothing_to_remember() -> None:
    assert kinds(creation("blog", (), WANT, "x")) == ["CreateNetwork"]
    assert kinds(recreation("blog", live(), (), (), WANT, "x")) == ["RemoveNetwork", "CreateNetwork"]


def test_who_is_missing_already_is_remembered_with_who_is_detached_now() -> None:
    steps = recreation("blog", live(), (WEB,), (CRON,), WANT, "x")
    assert steps[0] == RememberEndpoints("blog", "blog", (WEB, CRON))
    assert kinds(steps).count("DetachEndpoint") == 1
    assert kinds(steps).count("AttachEndpoint") == 2


def test_what_is_made_says_what_it_was_made_for() -> None:
    (create,) = (s for s in creation("blog", (), WANT, "x") if isinstance(s, CreateNetwork))
    assert SPEC_HASH in create.spec.labels
    assert SPEC_HASH not in WANT.labels
