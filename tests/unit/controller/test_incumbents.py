"""A new resource takes neither rules nor ports from one that has them, whatever its name, also after a restart."""

import pytest

from dockerv6.api.scheme import Resource
from tests.simulation.resources import network, policy, pool
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


async def test_the_recorded_rules_show_which_resource_has_them() -> None:
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
            "2001:db8:5::/64 overlaps 2001:db8:5::/64, the external prefix of IPv6Network web; choose another subnet,"
            " or omit it to get a free one from a pool"
        )
        host.files.delete("web")
        await it.let(120)
        assert await host.ready(newcomer) == READY


@pytest.mark.parametrize("suspended", [True, False])
async def test_a_pool_avoids_the_external_prefixes_of_others(suspended: bool) -> None:  # noqa: FBT001
    host = Host()
    host.files.write(pool("public", prefix="2001:db8:5::/63"), network("web", egress=TRANSLATED))
    inside = {"addressing": {"poolRef": {"name": "public"}}}
    async with host.running() as it:
        await it.let(10)
        host.files.write(network("web", egress=TRANSLATED, suspend=suspended))
        await it.let(10)
        host.files.write(network("aa", **inside))
        await it.let(20)
        bound = await host.bound("aa")
        assert bound is not None
        assert (str(bound.prefix), await host.ready("aa")) == ("2001:db8:5:1::/64", READY)
        host.files.write(network("bb", **inside))
        await it.let(20)
        condition = await host.condition("bb", "SubnetAllocated")
        assert condition is not None
        assert condition.reason == "PoolExhausted"
        assert "external prefixes of resources take 1 (2001:db8:5::/64 of IPv6Network web)" in condition.message


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


def policy_of(name: str, **spec: object) -> Resource:
    return policy(name, selector={"names": ["ext"]}, **spec)


@pytest.mark.parametrize("reboot", [True, False])
@pytest.mark.parametrize(
    ("newcomer", "holder", "reason"),
    [
        (policy_of("aa"), policy_of("zz"), "ReconcileSucceeded"),  # it has no network, and says who has it
        (observer("aa", "ext"), observer("zz", "ext"), "NameConflict"),
        (policy_of("aa"), observer("zz", "ext"), "ReconcileSucceeded"),
    ],
    ids=["two policies", "two observers", "a policy after an observer"],
)
async def test_the_resource_that_serves_a_docker_network_keeps_it(
    newcomer: Resource, holder: Resource, reason: str, *, reboot: bool
) -> None:
    host = Host()
    await host.create_foreign("ext", "fd55::/64", bridge="br-ext")
    host.files.write(holder)
    (first, ready), (second, kind) = ((owner_of(each), str(each.kind)) for each in (holder, newcomer))

    async def check() -> None:
        assert (host.rules_of(first), host.rules_of(second)) == (rules, NO_RULES)
        assert host.ports() == {"tcp 8080 ::": "c1:80"}
        assert await host.ready("zz", ready) == READY
        assert (await host.ready("aa", kind))[1] == reason
        if newcomer.kind == "IPv6Policy":
            assert (await host.stored("aa", kind)).status["claimed"] == [{"name": "ext", "by": f"{ready}/zz"}]

    async with host.running() as it:
        host.engine.run_container("c1", "ext", ports=["8080:80"])
        await it.let(10)
        rules = host.rules_of(first)
        assert rules
        host.files.write(newcomer)
        await it.let(60)
        await check()
    if reboot:
        host.flush_rules()
        host.net.set_boot_id("another")
    async with host.running() as it:
        await it.let(60)
        await check()
        host.files.delete("zz")
        await it.let(60)
        assert host.rules_of(second)
        assert await host.ready("aa", kind) == READY


def owner_of(resource: Resource) -> str:
    name = resource.metadata.name
    return f"policy/{name}" if resource.kind == "IPv6Policy" else name


async def test_a_resource_without_rules_attaches_no_members_and_sets_no_ndp_proxy_entries() -> None:
    host = Host()
    await host.create_foreign("ext", "2001:db8:1:0:8000::/80", bridge="br-ext")
    await host.create_foreign("lan", "fd56::/64", bridge="br-lan")
    host.files.write(observer("zz", "ext"))
    routed = {"egress": {"mode": "Routed"}, "ndpProxy": {"enabled": True}, "members": {"matchLabels": {"join": "ext"}}}
    async with host.running() as it:
        host.engine.run_container("c1", "ext")
        host.engine.run_container("c2", "lan", labels={"join": "ext"})
        await it.let(10)
        host.files.write(observer("aa", "ext", **routed))
        await it.let(60)
        assert await host.ready("aa") == ("False", "NameConflict")
        assert not await host.net.proxy_neighbours()
        assert await host.attached("ext") == {"c1"}
        host.files.delete("zz")
        await it.let(60)
        assert len(await host.net.proxy_neighbours()) == 2
        assert await host.attached("ext") == {"c1", "c2"}
