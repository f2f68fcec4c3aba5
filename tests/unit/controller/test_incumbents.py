"""A new resource takes neither rules nor ports from one that has them, whatever its name, also after a restart."""

import pytest

from dockerv6.api.scheme import Resource
from tests.simulation.resources import network
from tests.world import Host

NO_RULES: frozenset[str] = frozenset()
READY = ("True", "ReconcileSucceeded")
NOTHING_PUBLISHED = {"publish": {"fromContainers": False}, "egress": {"mode": "None"}}
TRANSLATED = {"mode": "PrefixTranslation", "prefix": "2001:db8:5::/64"}


def observer(name: str, of: str, **spec: object) -> Resource:
    return network(name, managementPolicy="Observe", networkName=of, **spec)


@pytest.mark.parametrize("newcomer", ["aa", "zz"])
@pytest.mark.parametrize("managed", [True, False])
async def test_a_resource_keeps_its_docker_network(newcomer: str, managed: bool) -> None:  # noqa: FBT001
    host = Host()
    if managed:
        host.files.write(network("web"))
    else:
        await host.create_foreign("web", "fd55::/64", bridge="br-web")
        host.files.write(observer("web", "web"))
    async with host.running() as it:
        await it.let(10)
        host.engine.run_container("c1", "web", ports=["8080:80"])
        await it.let(5)
        rules, ports = host.rules_of("web"), host.ports()
        assert ports
        host.files.write(observer(newcomer, "web", firewall={"isolation": False}, **NOTHING_PUBLISHED))
        await it.let(60)
        assert (host.rules_of("web"), host.ports(), await host.ready("web")) == (rules, ports, READY)
        assert (host.rules_of(newcomer), await host.ready(newcomer)) == (NO_RULES, ("False", "NameConflict"))
        condition = await host.condition(newcomer, "FirewallReady")
        assert condition is not None
        assert condition.message == (
            f"Docker network web is {'managed' if managed else 'observed'} by IPv6Network web, which has its rules;"
            " remove one of the two resources"
        )
    async with host.running() as it:
        await it.let(60)
        assert (host.rules_of("web"), host.ports(), await host.ready("web")) == (rules, ports, READY)
        assert await host.ready(newcomer) == ("False", "NameConflict")
        host.files.delete("web")
        await it.let(60)
        if not managed:  # else the network is removed
            assert await host.ready(newcomer) == READY


async def test_the_recorded_rules_tell_who_has_them() -> None:
    """The table was flushed while no operator ran, and the engine does not answer."""
    host = Host()
    await host.create_foreign("ext", "fd55::/64", bridge="br-ext")
    host.files.write(observer("zz", "ext"))
    async with host.running() as it:
        await it.let(10)
        host.files.write(observer("aa", "ext"))
        await it.let(60)
        rules = host.rules_of("zz")
    host.flush_rules()
    host.engine.down()
    async with host.running() as it:
        await it.let(20)
        assert (host.rules_of("zz"), host.rules_of("aa")) == (rules, NO_RULES)
        host.engine.up()
        await it.let(60)
        assert (host.rules_of("zz"), host.rules_of("aa")) == (rules, NO_RULES)


async def test_a_suspended_resource_keeps_its_docker_network() -> None:
    host = Host()
    await host.create_foreign("ext", "fd55::/64", bridge="br-ext")
    host.files.write(observer("zz", "ext"))
    async with host.running() as it:
        await it.let(10)
        rules = host.rules_of("zz")
        host.files.write(observer("zz", "ext", suspend=True))
        host.files.write(observer("aa", "ext"))
        await it.let(60)
        assert (host.rules_of("zz"), host.rules_of("aa")) == (rules, NO_RULES)
        host.files.write(observer("zz", "ext"))
        await it.let(60)
        assert (host.rules_of("zz"), host.rules_of("aa")) == (rules, NO_RULES)
        assert await host.ready("zz") == READY


@pytest.mark.parametrize("newcomer", ["aa", "zz"])
async def test_a_resource_keeps_its_external_prefix(newcomer: str) -> None:
    host = Host()
    host.files.write(network("web", egress=TRANSLATED))
    async with host.running() as it:
        await it.let(10)
        rules = host.rules_of("web")
        host.files.write(network(newcomer, egress=TRANSLATED))
        await it.let(60)
        assert (host.rules_of("web"), await host.ready("web")) == (rules, READY)
        assert await host.ready(newcomer) == ("False", "PrefixConflict")
        condition = await host.condition(newcomer, "FirewallReady")
        assert condition is not None
        assert "addresses of IPv6Network web, which had them first" in condition.message
    async with host.running() as it:
        await it.let(60)
        assert (host.rules_of("web"), await host.ready("web")) == (rules, READY)


@pytest.mark.parametrize("newcomer", ["aa", "zz"])
async def test_no_network_is_created_in_the_external_prefix_of_another(newcomer: str) -> None:
    host = Host()
    host.files.write(network("web", egress=TRANSLATED))
    async with host.running() as it:
        await it.let(10)
        rules = host.rules_of("web")
        host.files.write(network(newcomer, addressing={"subnet": "2001:db8:5::/64"}))
        await it.let(60)
        assert (host.rules_of("web"), await host.ready("web")) == (rules, READY)
        assert (host.rules_of(newcomer), await host.docker(newcomer)) == (NO_RULES, None)
        condition = await host.condition(newcomer, "Ready")
        assert condition is not None
        assert condition.reason == "SubnetOverlap"
        assert condition.message == (
            "its subnet 2001:db8:5::/64 overlaps 2001:db8:5::/64 of IPv6Network web, which has the rules; give it"
            " another subnet"
        )
        host.files.delete("web")
        await it.let(120)
        assert await host.ready(newcomer) == READY


async def test_a_subnet_that_was_there_first_keeps_its_rules() -> None:
    host = Host()
    host.files.write(network("zz", addressing={"subnet": "2001:db8:5::/64"}))
    async with host.running() as it:
        await it.let(10)
        rules = host.rules_of("zz")
        host.files.write(network("aa", egress=TRANSLATED))
        await it.let(60)
        assert (host.rules_of("zz"), await host.ready("zz")) == (rules, READY)
        assert await host.ready("aa") == ("False", "PrefixConflict")
