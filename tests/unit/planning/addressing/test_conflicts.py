from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network

import pytest

from dockerv6.dockerd.model import COMPOSE_PROJECT
from dockerv6.hostnet.model import Interface
from dockerv6.planning.addressing.conflicts import (
    foreign_routes,
    foreign_subnets,
    network_conflict,
    on_link_remedy,
    prefix_conflict,
)
from dockerv6.planning.docker.network_spec import network_spec
from dockerv6.planning.inputs import HostView, Observed
from dockerv6.planning.plan import Finding
from tests.simulation.resources import network
from tests.unit.planning.scene import (
    IDENTITY,
    SUBNET,
    allocation,
    bridge,
    cooling,
    desired,
    foreign,
    holdings,
    host,
    live,
    observed,
    route,
)

OWN = desired()


def collide(state: Observed, there: bool = True, **spec: object) -> Finding | None:  # noqa: FBT001, FBT002 - reads well
    want = desired(network("blog", **spec))
    own = live() if there else None
    return network_conflict(want, state, holdings(), own, network_spec(want.resource, SUBNET, IDENTITY))


def test_the_first_conflict_is_named() -> None:
    state = observed(foreign("x", str(SUBNET)), host=HostView(routes=(route(str(SUBNET)),)))
    held = holdings(allocation(owner="shop"))
    assert prefix_conflict(OWN, state, held, SUBNET) == f"{SUBNET} of IPv6Network shop"
    assert prefix_conflict(OWN, state, holdings(), SUBNET) == f"{SUBNET} of Docker network x"
    assert prefix_conflict(OWN, observed(), holdings(), SUBNET) == ""


class TestOnLink:
    """docker/for-linux#928: the only prefix of a VPS is that of its link."""

    ETH0 = Interface(2, "eth0", "", up=True, mtu=1500)
    VIEW = HostView(interfaces={"eth0": ETH0}, routes=(route("2001:db8::/64"),))

    def remedy(self, prefix: str, view: HostView = VIEW) -> str:
        return on_link_remedy(OWN, observed(host=view), IPv6Network(prefix))

    def test_a_part_of_it_needs_the_ndp_proxy(self) -> None:
        assert self.remedy("2001:db8::1:0:0:0/80").startswith(
            "set spec.ndpProxy: {enabled: true} and spec.egress: {mode: Routed}"
        )

    def test_the_whole_of_it_is_to_be_a_part(self) -> None:
        assert "such as subnet: 2001:db8:0:0:1::/80" in self.remedy("2001:db8::/64")

    @pytest.mark.parametrize("prefix", ["2001:db8::/80", "2001:db8::3:4:5:0/112", "2001:db8::1230/124"])
    def test_a_link_without_room_for_a_part_is_used_whole(self, prefix: str) -> None:
        view = HostView(interfaces={"eth0": self.ETH0}, routes=(route(prefix),))
        assert self.remedy(prefix, view).startswith("set spec.ndpProxy: {enabled: true}")

    def test_other_prefixes_need_nothing(self) -> None:
        assert self.remedy("fd00::/64") == ""
        assert self.remedy("2001:db8::/80", HostView(routes=(route("2001:db8::/64", "br-other"),))) == ""


def test_a_network_without_ipv6_leads_to_members() -> None:
    # geerlingguy/internet-pi#348: the network of a Compose stack can't get IPv6
    theirs = replace(foreign("blog"), ipam=(), labels={COMPOSE_PROJECT: "pi"})
    found = collide(observed(theirs), there=False)
    assert found is not None
    assert "set spec.members: {matchLabels: {com.docker.compose.project: pi}}" in found.message
    assert "managementPolicy: Observe" not in found.message
    found = collide(observed(replace(theirs, labels={})), there=False)
    assert found is not None
    assert "set spec.members: {matchLabels: {<label>: <value>}}" in found.message


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


@pytest.mark.parametrize(
    ("name", "kind", "addresses", "ports", "taken"),
    [
        ("eth1", "", (), False, True),
        ("wg0", "wireguard", (), False, True),
        ("virbr0", "bridge", (), False, True),  # of libvirt, without IPv6: it may be ours
        ("br-blog", "bridge", (f"{SUBNET[1]}/64",), True, False),  # left by an engine that was killed
        (None, "bridge", (), False, False),
        (None, "bridge", (f"{SUBNET[1]}/64",), False, False),
        (None, "bridge", ("fd12:3456:789a:9::1/64",), False, False),  # of the subnet before
        (None, "bridge", (), True, True),
        (None, "bridge", (f"{SUBNET[1]}/64", "2001:db8:7::1/64"), False, True),
        (None, "dummy", (), False, True),
    ],
)
def test_an_interface_of_others_has_the_name(
    name: str | None, kind: str, addresses: tuple[str, ...], ports: object, taken: object
) -> None:
    there = Interface(9, name or "v6-blog", kind, up=True, mtu=1500, addresses=tuple(map(IPv6Interface, addresses)))
    port = Interface(10, "vnet0", "tun", up=True, mtu=1500, master=9 if ports else 8)
    state = observed(host=host(there, port))
    want = desired(network("blog", bridge={"name": name} if name else {}))
    held = holdings(cooling("fd12:3456:789a:9::/64", "blog"))
    found = network_conflict(want, state, held, None, network_spec(want.resource, SUBNET, IDENTITY))
    if not taken:
        assert found is None
        return
    assert found is not None
    assert (found.reason, found.blocks) == ("NameConflict", True)
    assert found.message == (
        f"interface {there.name} exists and is not the bridge of a Docker network of this resource;"
        " choose another spec.bridge.name"
    )


def test_a_live_network_of_the_resource_has_the_bridge() -> None:
    assert collide(observed(live(), host=host(replace(bridge(live()), addresses=())))) is None


def test_an_ipv4_subnet_that_is_taken() -> None:
    other = live(desired(network("shop", ipv4={"subnet": "192.0.2.0/25"})), IPv6Network("fd00::/64"), 2)
    found = collide(observed(live(), other), ipv4={"subnet": "192.0.2.0/24"})
    assert found is not None
    assert found.reason == "SubnetOverlap"
    assert collide(observed(live(), other), ipv4={"subnet": "192.0.2.128/25"}) is None
