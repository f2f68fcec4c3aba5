"""What a policy contributes is kept by network: the result is the same as if it were computed as a whole."""

from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockerv6.api.policy import IPv6Policy
from dockerv6.controller.contributions import Contributions
from dockerv6.dockerd.model import Network, NetworkSpec, SubnetConfig
from dockerv6.firewall.model import NetworkIntent
from dockerv6.lib.networking import EgressMode
from dockerv6.planning.firewall.contributions import (
    ENABLE_ICC,
    ENABLE_MASQUERADE,
    FirewallContribution,
    policy_contribution,
)
from tests.simulation.resources import policy
from tests.world import Bench, Host

KIND = "IPv6Policy"
SHOP, WIKI = "fd99:1::/64", "fd99:2::/64"
TO_WEB = {"ingress": [{"from": ["2001:db8::/32"], "containers": {"name": "web"}, "ports": [{"port": 80}]}]}


class Scene:
    """Two foreign networks, a container on the first, and what policies contribute for them."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.host, self.world = bench, bench.host, bench.context.world
        context = bench.context
        self.contributions = Contributions(
            context.inventory, self.world, context.settings.identity, context.firewall.recorded
        )
        self.looks = 0

    async def ipv6_only(self, name: str, subnet: str) -> str:
        """A network that takes none of the engine's few IPv4 subnets."""
        return await self.host.engine.create_network(
            NetworkSpec(name, ipam=(SubnetConfig(IPv6Network(subnet)),), enable_ipv4=False)
        )

    @property
    def networks(self) -> tuple[Network, ...]:
        return tuple(n for n in self.world.known_networks if n.name in {"shop", "wiki"})

    def contribution(self, name: str) -> FirewallContribution:
        """What that policy contributes now."""
        return next(each for each in self.contributions.desired.contributions if each.owner == f"policy/{name}")

    def part(self, name: str, subnet: str) -> NetworkIntent:
        return next(i for i in self.contribution(name).networks if i.subnet == IPv6Network(subnet))

    def kept(self) -> set[tuple[str, str]]:
        """Policies and networks of which a part is kept."""
        names = {n.id: n.name for n in self.world.known_networks}
        return {
            (policy_name, names.get(network_id, "?")) for policy_name, network_id in self.contributions._of_policies
        }


async def scene(*policies: IPv6Policy) -> Scene:
    host = Host()
    await host.create_foreign("shop", SHOP)
    await host.create_foreign("wiki", WIKI)
    host.engine.run_container("web", "shop", ports=("8080:80",))
    bench = await host.bench(*policies)
    await bench.context.world.refresh()
    return Scene(bench)


async def test_the_share_is_the_one_that_is_computed_as_a_whole() -> None:
    asked = policy("all", egress={"exclude": ["2001:db8:5::/48"]}, firewall=TO_WEB)
    it = await scene(asked)
    shop, wiki = it.networks
    separate = replace(wiki, options={**wiki.options, ENABLE_ICC: "false", ENABLE_MASQUERADE: "false"})
    second = replace(shop, id="2", ipam=(*shop.ipam, SubnetConfig(IPv6Network("fd99:3::/64"))))
    for networks in (
        (),
        (shop,),
        (wiki, shop),
        (shop, separate),
        (replace(shop, internal=True), wiki),
        (replace(shop, driver="ipvlan"), second),
        None,
    ):
        containers = it.world.known_containers
        assert it.contributions._of_policy(asked, networks) == policy_contribution(asked, networks, containers)


async def test_another_network_leaves_the_parts_of_the_others_as_they_were() -> None:
    it = await scene(policy("all"))
    before = it.part("all", SHOP)
    it.world.network_changed(await it.host.create_foreign("third", "fd99:3::/64"))
    await it.world.refresh()
    assert it.part("all", SHOP) is before
    assert len(it.contribution("all").networks) == 3


async def test_a_network_that_is_another_one_has_a_new_part() -> None:
    asked = policy("all")
    it = await scene(asked)
    shop, wiki = it.networks
    before = it.contributions._of_policy(asked, (shop, wiki))
    after = it.contributions._of_policy(asked, (replace(shop, internal=True), wiki))
    assert [i.internal for i in before.networks] == [False, False]
    assert [i.internal for i in after.networks] == [True, False]
    assert after.networks[1] is before.networks[1]


async def test_a_policy_that_says_something_else_has_new_parts() -> None:
    it = await scene(policy("all"))
    assert it.part("all", SHOP).egress is EgressMode.MASQUERADE
    await it.bench.accept(policy("all", egress={"mode": "None"}))
    assert {i.egress for i in it.contribution("all").networks} == {EgressMode.NONE}


async def test_policies_do_not_share_the_part_of_a_network() -> None:
    it = await scene(policy("all"), policy("none", egress={"mode": "None"}))
    assert it.part("all", SHOP).egress is EgressMode.MASQUERADE
    await it.bench.delete("all", KIND)
    assert it.part("none", SHOP).egress is EgressMode.NONE


@pytest.mark.parametrize("by_container", [True, False])
async def test_containers_make_new_parts_where_rules_name_them(*, by_container: bool) -> None:
    it = await scene(policy("all", firewall=TO_WEB if by_container else {}))
    before = it.part("all", SHOP)
    it.host.engine.stop_container(it.world.known_containers[0].id)
    it.world.containers_changed()
    await it.world.refresh()
    assert (it.part("all", SHOP) is before) is not by_container
    assert it.part("all", SHOP).ingress == ()


class TestWhatIsGone:
    async def test_a_networks_part_goes_with_it(self) -> None:
        it = await scene(policy("all"))
        it.contribution("all")
        assert it.kept() == {("all", "shop"), ("all", "wiki")}
        await it.host.remove_by_hand("wiki")
        it.bench.invalidate_all()
        await it.world.refresh()
        it.contribution("all")
        assert it.kept() == {("all", "shop")}

    async def test_a_policys_parts_go_with_it(self) -> None:
        it = await scene(policy("all"), policy("next", selector={"names": ["shop"]}))
        it.contribution("all")
        await it.bench.delete("all", KIND)
        it.contribution("next")
        assert it.kept() == {("next", "shop")}

    async def test_a_policy_without_networks_leaves_those_of_others(self) -> None:
        it = await scene(policy("all"), policy("none", selector={"names": ["nothing"]}))
        many = [await it.ipv6_only(f"n{i}", f"fd98:{i:x}::/64") for i in range(120)]
        it.bench.invalidate_all()
        await it.world.refresh()
        before = it.part("all", SHOP)
        assert len(it.kept()) == len(many) + 2
        it.world.network_changed(await it.ipv6_only("more", "fd97::/64"))
        await it.world.refresh()
        assert it.part("all", SHOP) is before
