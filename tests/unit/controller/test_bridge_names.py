"""Rules never name an interface of the host that is not the bridge of the network."""

from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network

import pytest

from dockerv6.dockerd.port import EngineApiError
from dockerv6.hostnet.model import Interface, Route, RouteProtocol
from tests.simulation.coupled import ETH0
from tests.simulation.resources import network, policy
from tests.world import Host

ADDRESS = IPv6Interface("2001:db8:77::1/64")


def interface(name: str, kind: str = "", address: IPv6Interface | None = ADDRESS) -> Interface:
    return replace(ETH0, index=17, name=name, kind=kind, addresses=(address,) if address is not None else ())


@pytest.mark.parametrize(("name", "kind"), [("eth1", ""), ("wg0", "wireguard"), ("virbr0", "bridge")])
async def test_a_new_network_with_the_name_of_an_interface(name: str, kind: str) -> None:
    host = Host()
    host.net.add_interface(interface(name, kind))
    host.files.write(network("shop"), network("blog", bridge={"name": name}))
    async with host.running() as it:
        await it.let(60)
        assert await host.ready("blog") == ("False", "NameConflict")
        assert not host.rules_of("blog")
        assert await host.docker("blog") is None
        assert await host.ready("shop") == ("True", "ReconcileSucceeded")
        host.net.remove_interface(name)
        await it.let(60)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")
        assert f"validated {name}" in host.rules_of("blog")


@pytest.mark.parametrize(("name", "kind"), [("eth1", ""), ("virbr0", "bridge")])
async def test_a_running_network_keeps_its_rules_when_its_resource_takes_such_a_name(name: str, kind: str) -> None:
    host = Host()
    host.net.add_interface(interface(name, kind))
    host.files.write(network("blog"))
    async with host.running() as it:
        await it.let(10)
        before = host.rules_of("blog")
        host.files.write(network("blog", bridge={"name": name}))
        await it.let(60)
        assert await host.ready("blog") == ("False", "NameConflict")
        assert host.rules_of("blog") == before
        await host.remove_by_hand("blog")
        await it.let(60)
        assert not [rule for rule in host.rules_of("blog") if name in rule]


async def test_a_bound_resource_never_names_the_bridge_of_another_docker_network() -> None:
    host = Host()
    await host.create_foreign("ext", "fd55::/64", bridge="br-ext")
    host.files.write(network("blog"))
    async with host.running() as it:
        await it.let(10)
        host.files.write(network("blog", bridge={"name": "br-ext"}))
        await it.let(10)
        await host.remove_by_hand("blog")
        await it.let(60)
        assert await host.ready("blog") == ("False", "NameConflict")
        assert not host.rules_of("blog")


async def test_a_bridge_that_a_killed_engine_left_is_used() -> None:
    host = Host()
    host.net.add_interface(interface("v6-blog", "bridge", None))
    host.files.write(network("blog"))
    async with host.running() as it:
        await it.let(60)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")


async def test_what_a_killed_engine_keeps_without_listing_it_has_a_remedy_that_works() -> None:
    host = Host()
    host.files.write(network("shop"), network("blog"))
    async with host.running() as it:
        await it.let(10)
        host.engine.make_stale("blog")
        host.engine.restart()
        await it.let(60)
        assert await host.ready("blog") == ("False", "StaleNetwork")
        assert await host.ready("shop") == ("True", "ReconcileSucceeded")
        host.files.write(network("blog", bridge={"name": "br-blog"}))
        await it.let(60)
        assert await host.ready("blog") == ("False", "SubnetOverlap")  # the bridge of the stale network has the subnet
        host.files.write(network("blog", addressing={"subnet": "fd55::/64"}))
        await it.let(60)
        assert await host.ready("blog") == ("False", "StaleNetwork")
        host.files.write(network("blog", bridge={"name": "br-blog"}, addressing={"subnet": "fd55::/64"}))
        await it.let(60)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")
        assert "validated br-blog" in host.rules_of("blog")


async def test_rules_stay_while_an_engine_makes_the_bridge() -> None:
    """It has no address at first. Containers may come at any time."""
    host = Host()
    host.engine.fail_next("create_network", EngineApiError("killed", 500))
    host.files.write(network("blog", bridge={"name": "br-blog"}))
    async with host.running() as it:
        await it.let(0.1)
        rules = host.rules_of("blog")
        assert "validated br-blog" in rules
        host.net.add_interface(interface("br-blog", "bridge", None))
        await it.let(0.1)
        assert host.rules_of("blog") == rules
        (subnet,) = (allocation.prefix for allocation in await host.ledger.allocations())
        host.net.remove_interface("br-blog")
        host.net.add_interface(interface("br-blog", "bridge", IPv6Interface(f"{subnet[1]}/64")))
        host.net.add_route(Route(subnet, "br-blog", RouteProtocol.KERNEL, table=254))
        await it.let(60)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")


async def test_an_observed_network_that_names_an_interface_which_is_no_bridge() -> None:
    host = Host()
    await host.create_foreign("ext", "fd55::/64", bridge="eth1")
    host.net.remove_interface("eth1")
    host.net.add_interface(interface("eth1"))
    host.files.write(network("blog", managementPolicy="Observe", networkName="ext"))
    async with host.running() as it:
        await it.let(60)
        assert await host.ready("blog") == ("False", "NameConflict")
        assert not host.rules_of("blog")
        host.net.remove_interface("eth1")
        host.net.add_interface(interface("eth1", "bridge"))
        host.net.add_route(Route(IPv6Network("2001:db8:77::/64"), "eth1", RouteProtocol.KERNEL, table=254))
        await it.let(60)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")
        assert host.rules_of("blog")


async def test_a_network_of_a_policy_that_names_an_interface_which_is_no_bridge() -> None:
    host = Host()
    await host.create_foreign("ext", "fd55::/64", bridge="eth1")
    await host.create_foreign("shop", "fd56::/64", bridge="br-shop")
    host.net.remove_interface("eth1")
    host.net.add_interface(interface("eth1"))
    host.files.write(policy("all"))
    async with host.running() as it:
        await it.let(60)
        assert await host.ready("all", "IPv6Policy") == ("False", "NameConflict")
        rules = host.rules_of("policy/all")
        assert not [rule for rule in rules if "eth1" in rule]
        assert "validated br-shop" in rules
