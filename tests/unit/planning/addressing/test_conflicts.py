from dataclasses import replace
from ipaddress import IPv6Network

from dockerv6.planning.addressing.conflicts import foreign_routes, foreign_subnets, network_conflict, prefix_conflict
from dockerv6.planning.docker.network_spec import network_spec
from dockerv6.planning.inputs import HostView, Observed
from dockerv6.planning.plan import Finding
from tests.simulation.resources import network
from tests.unit.planning.scene import (
    IDENTITY,
    SUBNET,
    allocation,
    cooling,
    desired,
    foreign,
    holdings,
    live,
    observed,
    route,
)

OWN = desired()


def collide(state: Observed, there: bool = True, **spec: object) -> Finding | None:  # noqa: FBT001, FBT002 - reads well
    want = desired(network("blog", **spec))
    own = live() if there else None
    return network_conflict(want, state, own, network_spec(want.resource, SUBNET, IDENTITY))


def test_the_first_conflict_is_named() -> None:
    state = observed(foreign("x", str(SUBNET)), host=HostView(routes=(route(str(SUBNET)),)))
    held = holdings(allocation(owner="shop"))
    assert prefix_conflict(OWN, state, held, SUBNET) == f"{SUBNET} of IPv6Network shop"
    assert prefix_conflict(OWN, state, holdings(), SUBNET) == f"{SUBNET} of Docker network x"
    assert prefix_conflict(OWN, observed(), holdings(), SUBNET) == ""


def test_a_resource_does_not_conflict_with_itself() -> None:
    state = observed(live(), host=HostView(routes=(route(str(SUBNET), "v6-blog"),)))
    assert prefix_conflict(OWN, state, holdings(allocation(), cooling("fd12:3456:789a:1::/80", "blog")), SUBNET) == ""


def test_bindings_of_other_networks_are_ignored() -> None:
    state = observed(live(), foreign("x"), host=HostView(routes=(route("fd99::/64"), route(str(SUBNET), "v6-blog"))))
    assert list(foreign_subnets(OWN, state)) == [(IPv6Network("fd99::/64"), "x")]
    assert [r.destination for r in foreign_routes(OWN, state)] == [IPv6Network("fd99::/64")]


def test_default_and_link_local_routes_do_not_conflict() -> None:
    assert list(foreign_routes(OWN, observed(host=HostView(routes=(route("::/0"), route("fe80::/64")))))) == []


def test_what_is_there_already_collides_with_nothing() -> None:
    assert collide(observed(live(), foreign("x"))) is None


def test_a_name_that_is_taken() -> None:
    found = collide(observed(live(), foreign("other")), networkName="other")
    assert found is not None
    assert (found.reason, found.blocks) == ("ForeignNetwork", True)


def test_a_twin_of_the_own_name_is_no_reason_to_give_the_network_up() -> None:
    assert collide(observed(live(), foreign("blog"))) is None
    assert collide(observed(foreign("blog")), there=False) is not None


def test_a_bridge_that_is_taken() -> None:
    other = replace(live(desired(network("shop", bridge={"name": "br-x"})), IPv6Network("fd00::/64"), 2), name="s")
    found = collide(observed(live(), other), bridge={"name": "br-x"})
    assert found is not None
    assert found.reason == "NameConflict"
    assert "br-x" in found.message


def test_an_ipv4_subnet_that_is_taken() -> None:
    other = live(desired(network("shop", ipv4={"subnet": "192.0.2.0/25"})), IPv6Network("fd00::/64"), 2)
    found = collide(observed(live(), other), ipv4={"subnet": "192.0.2.0/24"})
    assert found is not None
    assert found.reason == "SubnetOverlap"
    assert collide(observed(live(), other), ipv4={"subnet": "192.0.2.128/25"}) is None
