"""A port that comes to the bridge of a Docker network, and goes: rules and status follow without a resync."""

from dataclasses import replace

import pytest

from tests.simulation.coupled import ETH0
from tests.simulation.resources import network, policy
from tests.world import Host

NIC = replace(ETH0, index=17, name="eth1", addresses=())


@pytest.mark.parametrize("kind", ["IPv6Network", "IPv6Policy"])
async def test_sources_are_validated_while_only_containers_are_attached(kind: str) -> None:
    host = Host()
    await host.create_foreign("ext", "fd55::/64", bridge="br-ext")
    host.net.add_interface(NIC)
    observing = network("blog", managementPolicy="Observe", networkName="ext")
    host.files.write(observing if kind == "IPv6Network" else policy("blog"))
    owner = "blog" if kind == "IPv6Network" else "policy/blog"
    async with host.running() as it:
        await it.let(10)
        before = host.rules_of(owner)
        assert "validated br-ext" in before
        for _ in range(2):
            host.net.enslave("eth1", "br-ext")
            await it.let(10)
            assert "validated br-ext" not in host.rules_of(owner)
            firewall = await host.condition("blog", "FirewallReady", kind)
            assert firewall is not None
            assert (firewall.status, firewall.reason) == ("Unknown", "SourcesNotValidated")
            assert "eth1 is a port of it" in firewall.message
            assert await host.ready("blog", kind) == ("True", "ReconcileSucceeded")
            host.net.enslave("eth1", None)
            await it.let(10)
            assert host.rules_of(owner) == before
            firewall = await host.condition("blog", "FirewallReady", kind)
            assert firewall is not None
            assert (firewall.status, firewall.reason) == ("True", "InSync")


async def test_a_container_that_starts_does_not_end_the_validation() -> None:
    host = Host()
    host.files.write(network("blog"))
    async with host.running() as it:
        await it.let(10)
        rules = host.rules_of("blog")
        index = host.net.interface("v6-blog").index
        host.net.add_interface(replace(NIC, index=30, name="veth1", kind="veth", link=31, master=index))
        host.net.add_interface(replace(NIC, index=31, name="veth2", kind="veth", link=30))
        await it.let(10)
        assert host.rules_of("blog") == rules
