"""Whatever pools' prefixes do, whenever the operator ends, whatever the engine refuses: all comes to rest as it was."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.pool import IPv6Pool
from dockerv6.dockerd.model import Attachment, Network
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix
from dockerv6.planning.steps import CreateNetwork
from tests.property.renumbering_model import Crash, RenumberingModel
from tests.simulation.resources import network, pool
from tests.unit.planning.scene import NOW, container, foreign

ROUNDS = 60  # looks at every resource that are more than enough
DELEGATED = [IPv6Network(f"2001:db8:{number:x}00::/60") for number in range(4)]
WHOLE = IPv6Network("2001:db8::/54")  # overlaps all of them
NAMES = ("a", "b", "c", "d")
SUFFIXES = st.sampled_from([0x10, 0x20, 0x200])

prefixes = st.sampled_from([*DELEGATED, WHOLE, *(next(p.subnets(new_prefix=62)) for p in DELEGATED)])
others = st.builds(
    lambda prefix, index, number: foreign(f"x{number}", str(list(prefix.subnets(new_prefix=64))[index]), 900 + number),
    st.sampled_from(DELEGATED),
    st.integers(0, 15),
    st.integers(0, 9),
)


@st.composite
def pools(draw: st.DrawFn, name: str, *, following: bool | None = None) -> IPv6Pool:
    """A pool as it may be edited to be."""
    rest: dict[str, object] = {
        "maxUnavailable": draw(st.sampled_from([1, 1, 2, 9])),
        "cooldown": draw(st.sampled_from(["0", "1h"])),
    }
    source = draw(st.sampled_from(["prefix", "fromInterface", "generate"])) if following is None else "fromInterface"
    if source == "prefix":
        return pool(name, prefix=str(draw(prefixes)), **rest)
    if source == "generate":
        return pool(name, generate="ULA", **rest)
    asked = draw(st.sampled_from([{}, {"prefixLength": 62, "offset": 1}, {"prefixLength": 63}]))
    return pool(name, fromInterface={"name": "eth0", **asked}, **rest)


@st.composite
def resources(draw: st.DrawFn, name: str) -> NetworkResource:
    asked: dict[str, object] = {"poolRef": {"name": draw(st.sampled_from(["p", "p", "q"]))}}
    if draw(st.integers(0, 3)) == 0:
        asked["prefixLength"] = draw(st.sampled_from([63, 80]))
    strategy = draw(st.sampled_from(["Recreate", "Recreate", "WhenIdle"]))
    return network(name, addressing=asked, updateStrategy=strategy)


def draws(data: st.DataObject, often: int) -> Iterator[bool]:
    """Yes once in so many times, and at some time no more: the world comes to rest."""
    for _ in range(often * 4):
        yield data.draw(st.integers(0, often - 1)) == 0
    while True:
        yield False


def containers(data: st.DataObject, world: RenumberingModel, name: str) -> dict[str, Attachment]:
    """Some who are on the network, with addresses of their own or not, and with gaps where others left."""
    live = world.live(name)
    if live is None:
        return {}
    subnet = live.ipv6[0].subnet
    statics = data.draw(st.lists(SUFFIXES, unique=True, max_size=2))
    everybody = [container(f"{name}-s{n}", ipv6=str(subnet[n])) for n in statics]
    everybody += [container(f"{name}-{n}") for n in range(data.draw(st.integers(0, 3)))]
    for each in everybody:
        idle = world.resources[name].spec.update_strategy == "WhenIdle" and data.draw(st.booleans())
        world.attach(name, name, replace(each, running=not idle))
    there = world.attached[live.id]
    for gone in data.draw(st.sets(st.sampled_from(sorted(there)))) if there else ():
        del there[gone]
    return dict(there)


def settle(world: RenumberingModel) -> None:
    """Look at everybody until nothing is done any more; after a crash the operator begins again."""
    for _ in range(ROUNDS):
        before = (dict(world.networks), dict(world.previous), world.holdings.allocations, dict(world.transit))
        for name in world.resources:
            try:
                world.reconcile(name)
            except Crash:
                world.restart()
        if before == (world.networks, world.previous, world.holdings.allocations, world.transit) and not any(
            world.plan(name).steps for name in world.resources
        ):
            return
    raise AssertionError({name: world.plan(name) for name in world.resources})


def suffixes(of: dict[str, Attachment], live: Network) -> dict[str, int]:
    mask = int(live.ipv6[0].subnet.hostmask)
    return {who: int(each.ipv6 or 0) & mask for who, each in of.items()}


def check(world: RenumberingModel, before: dict[str, dict[str, Attachment]]) -> None:
    """What holds whenever the world is at rest."""
    subnets = [c.subnet for n in (*world.networks.values(), *world.foreign) for c in n.ipv6]
    assert not any(one.overlaps(other) for i, one in enumerate(subnets) for other in subnets[:i])
    assert not any(world.notes.values())
    for name in world.resources:
        live, bound = world.live(name), world.holdings.bound.get(name)
        if live is None:
            assert not before.get(name)
            continue
        (config,) = live.ipv6
        if not any(str(f.reason) in {"RecreateBlocked", "RolledBack"} for f in world.plan(name).findings):
            assert bound is not None
            assert bound.prefix == config.subnet
        now = world.attached[live.id]
        assert now.keys() == before[name].keys()
        assert suffixes(now, live) == suffixes(before[name], live)
        assert {a.aliases for a in now.values()} == {a.aliases for a in before[name].values()}


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_everything_comes_to_rest_with_everybody_attached_where_they_were(data: st.DataObject) -> None:
    world = RenumberingModel(
        {name: data.draw(resources(name), label=name) for name in NAMES[: data.draw(st.integers(1, 4))]},
        {"p": pool("p", prefix="fd00:1::/56"), "q": pool("q", prefix="fd00:2::/48")},
        tuple({n.id: n for n in data.draw(st.lists(others, max_size=3))}.values()),
    )
    world = replace(world, foreign=_apart(world.foreign))
    settle(world)
    before = {name: containers(data, world, name) for name in world.resources}
    check(world, before)
    crashes, refusals = draws(data, 8), draws(data, 6)
    world.crashes, world.refuses = lambda: next(crashes), lambda: next(refusals)
    for _ in range(data.draw(st.integers(1, 5), label="changes")):
        world.now += data.draw(st.sampled_from([0.0, 60.0, 7200.0]))
        which = data.draw(st.sampled_from(["p", "q", "eth0"]))
        if which == "eth0":
            world.tracked["eth0"] = TrackedPrefix("eth0", data.draw(prefixes), NOW, withdrawn=data.draw(st.booleans()))
        else:
            world.pools[which] = data.draw(pools(which), label=which)
        if data.draw(st.booleans()):
            settle(world)
            check(world, before)
    settle(world)
    check(world, before)
    world.crashes = world.refuses = lambda: False
    world.restart()
    settle(world)
    check(world, before)
    for name in world.resources:
        found = world.plan(name)
        assert not found.steps
        assert not any(f.reason == "Renumbering" for f in found.findings)


def _apart(networks: tuple[Network, ...]) -> tuple[Network, ...]:
    kept: list[Network] = []
    for each in networks:
        if not any(each.ipv6[0].subnet == other.ipv6[0].subnet for other in kept):
            kept.append(each)
    return tuple(kept)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_subnets_keep_their_numbers_and_containers_their_suffixes_through_any_prefix(data: st.DataObject) -> None:
    world = RenumberingModel(
        {name: network(name, addressing={"poolRef": {"name": "p"}}, updateStrategy="Recreate") for name in NAMES},
        {"p": pool("p", fromInterface={"name": "eth0"}, maxUnavailable=data.draw(st.sampled_from([1, 2])))},
        tracked={"eth0": TrackedPrefix("eth0", DELEGATED[0], NOW)},
    )
    indices = data.draw(st.lists(st.integers(0, 15), min_size=len(NAMES), max_size=len(NAMES), unique=True))
    for name, index in zip(NAMES, indices, strict=True):
        world.bind(name, "p", list(DELEGATED[0].subnets(new_prefix=64))[index])
    settle(world)
    before = {name: containers(data, world, name) for name in world.resources}
    numbers = _numbers(world)
    assert numbers == dict(zip(NAMES, indices, strict=True))
    crashes = draws(data, 10)
    world.crashes = lambda: next(crashes)
    for prefix in data.draw(st.lists(st.sampled_from(DELEGATED), min_size=1, max_size=4)):
        world.tracked["eth0"] = TrackedPrefix("eth0", prefix, NOW)
        settle(world)
        check(world, before)
        assert _numbers(world) == numbers
        assert all(c.subnet.subnet_of(prefix) for n in world.networks.values() for c in n.ipv6)  # type: ignore[arg-type]


def _numbers(world: RenumberingModel) -> dict[str, int]:
    """The subnets' numbers within the delegated prefix."""
    bound = world.holdings.bound
    return {name: (int(each.prefix.network_address) >> 64) & 0xF for name, each in bound.items()}


@pytest.mark.parametrize("most", [1, 2, 3])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_never_are_more_networks_away_than_the_pool_allows(most: int, data: st.DataObject) -> None:
    world = RenumberingModel(
        {name: network(name, addressing={"poolRef": {"name": "p"}}, updateStrategy="Recreate") for name in NAMES},
        {"p": pool("p", fromInterface={"name": "eth0"}, maxUnavailable=most)},
        tracked={"eth0": TrackedPrefix("eth0", DELEGATED[0], NOW)},
    )
    settle(world)
    crashes, refusals = draws(data, 4), draws(data, 4)
    world.crashes, world.refuses = lambda: next(crashes), lambda: next(refusals)
    for prefix in data.draw(st.lists(st.sampled_from(DELEGATED), min_size=1, max_size=3)):
        world.tracked["eth0"] = TrackedPrefix("eth0", prefix, NOW)
        for name in data.draw(st.lists(st.sampled_from(NAMES), max_size=12)):
            try:
                world.reconcile(name)
            except Crash:
                world.restart()
            away = [name for name in world.resources if world.live(name) is None]
            assert len(away) <= most
    settle(world)
    assert world.most_away.get("p", 0) <= most


def test_what_was_refused_is_not_tried_again_until_something_changes() -> None:
    world = RenumberingModel(
        {"a": network("a", addressing={"poolRef": {"name": "p"}}, updateStrategy="Recreate")},
        {"p": pool("p", prefix=str(DELEGATED[0]))},
    )
    settle(world)
    before = world.live("a")
    tries: list[bool] = []

    def refuse() -> bool:
        tries.append(True)
        return True

    world.refuses = refuse
    world.pools["p"] = pool("p", prefix=str(DELEGATED[1]))
    settle(world)
    assert (len(tries), [str(f.reason) for f in world.plan("a").findings]) == (1, ["RolledBack"])
    after = world.live("a")
    assert before is not None
    assert after is not None
    assert (after.ipam, after.labels, after.options) == (before.ipam, before.labels, before.options)
    world.pools["p"] = pool("p", prefix=str(DELEGATED[2]))
    settle(world)
    assert len(tries) == 2


def test_networks_of_the_same_pool_go_one_after_the_other() -> None:
    world = RenumberingModel(
        {name: network(name, addressing={"poolRef": {"name": "p"}}, updateStrategy="Recreate") for name in NAMES},
        {"p": pool("p", prefix=str(DELEGATED[0]))},
    )
    settle(world)
    world.pools["p"] = pool("p", prefix=str(DELEGATED[1]))
    plans = {name: world.plan(name) for name in NAMES}
    assert all(any(isinstance(step, CreateNetwork) for step in each.steps) for each in plans.values())
    world.transit["a"] = "p"
    assert [name for name in NAMES if world.plan(name).steps] == ["a"]
    world.reconcile("a")
    assert [name for name in NAMES if world.plan(name).steps] == ["b", "c", "d"]
