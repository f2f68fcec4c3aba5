"""For all changes of pools, crashes and refusals: renumbering converges, and restores all attachments."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.pool import IPv6Pool
from dockerv6.dockerd.model import Attachment, Network
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix
from dockerv6.planning.steps import CreateNetwork
from tests.property.examples import examples
from tests.property.renumbering_model import Crash, RenumberingModel
from tests.simulation.resources import network, pool
from tests.unit.planning.scene import NOW, container, foreign

ROUNDS = 60  # more than any scenario needs
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
    """Any version of a pool."""
    rest: dict[str, object] = {
        "maxUnavailable": draw(st.sampled_from([1, 1, 2, 9])),
        "cooldown": draw(st.sampled_from(["0", "1h"])),
    }
    source = draw(st.sampled_from(["prefix", "fromInterface", "generate"])) if following is None else "fromInterface"
    if source == "prefix":
        return pool(name, prefix=str(draw(prefixes)), **rest)
    if source == "generate":
        return pool(name, generate="ULA", **rest)
    addressing = draw(st.sampled_from([{}, {"prefixLength": 62, "offset": 1}, {"prefixLength": 63}]))
    return pool(name, fromInterface={"name": "eth0", **addressing}, **rest)


@st.composite
def resources(draw: st.DrawFn, name: str) -> NetworkResource:
    addressing: dict[str, object] = {"poolRef": {"name": draw(st.sampled_from(["p", "p", "q"]))}}
    if draw(st.integers(0, 3)) == 0:
        addressing["prefixLength"] = draw(st.sampled_from([63, 80]))
    strategy = draw(st.sampled_from(["Recreate", "Recreate", "WhenIdle"]))
    return network(name, addressing=addressing, updateStrategy=strategy)


def draws(data: st.DataObject, often: int) -> Iterator[bool]:
    """Draw True once in ``often`` draws; in the end only False, so that the model converges."""
    for _ in range(often * 4):
        yield data.draw(st.integers(0, often - 1)) == 0
    while True:
        yield False


def containers(data: st.DataObject, model: RenumberingModel, name: str) -> dict[str, Attachment]:
    """Attach containers with static and dynamic addresses to the network, and detach some of them."""
    live = model.live(name)
    if live is None:
        return {}
    subnet = live.ipv6[0].subnet
    statics = data.draw(st.lists(SUFFIXES, unique=True, max_size=2))
    attachments = [container(f"{name}-s{n}", ipv6=str(subnet[n])) for n in statics]
    attachments += [container(f"{name}-{n}") for n in range(data.draw(st.integers(0, 3)))]
    for each in attachments:
        idle = model.resources[name].spec.update_strategy == "WhenIdle" and data.draw(st.booleans())
        model.attach(name, name, replace(each, running=not idle))
    attached = model.attached[live.id]
    for removed in data.draw(st.sets(st.sampled_from(sorted(attached)))) if attached else ():
        del attached[removed]
    return dict(attached)


def converge(model: RenumberingModel) -> None:
    """Reconcile all resources until nothing changes. After a crash the operator is restarted."""
    for _ in range(ROUNDS):
        before = (dict(model.networks), dict(model.previous), model.holdings.allocations, dict(model.in_flight))
        for name in model.resources:
            try:
                model.reconcile(name)
            except Crash:
                model.restart()
        if before == (model.networks, model.previous, model.holdings.allocations, model.in_flight) and not any(
            model.plan(name).steps for name in model.resources
        ):
            return
    raise AssertionError({name: model.plan(name) for name in model.resources})


def suffixes(of: dict[str, Attachment], live: Network) -> dict[str, int]:
    mask = int(live.ipv6[0].subnet.hostmask)
    return {name: int(each.ipv6 or 0) & mask for name, each in of.items()}


def check(model: RenumberingModel, before: dict[str, dict[str, Attachment]]) -> None:
    """Check what holds after the model has converged."""
    subnets = [c.subnet for n in (*model.networks.values(), *model.foreign) for c in n.ipv6]
    assert not any(one.overlaps(other) for i, one in enumerate(subnets) for other in subnets[:i])
    assert not any(model.detached.values())
    for name in model.resources:
        live, bound = model.live(name), model.holdings.bound.get(name)
        if live is None:
            assert not before.get(name)
            continue
        (config,) = live.ipv6
        if not any(str(f.reason) in {"RecreateBlocked", "RolledBack"} for f in model.plan(name).findings):
            assert bound is not None
            assert bound.prefix == config.subnet
        now = model.attached[live.id]
        assert now.keys() == before[name].keys()
        assert suffixes(now, live) == suffixes(before[name], live)
        assert {a.aliases for a in now.values()} == {a.aliases for a in before[name].values()}


@examples(40)
@given(st.data())
def test_renumbering_converges_with_all_attachments_restored(data: st.DataObject) -> None:
    model = RenumberingModel(
        {name: data.draw(resources(name), label=name) for name in NAMES[: data.draw(st.integers(1, 4))]},
        {"p": pool("p", prefix="fd00:1::/56"), "q": pool("q", prefix="fd00:2::/48")},
        tuple({n.id: n for n in data.draw(st.lists(others, max_size=3))}.values()),
    )
    model = replace(model, foreign=_without_duplicates(model.foreign))
    converge(model)
    before = {name: containers(data, model, name) for name in model.resources}
    check(model, before)
    crashes, refusals = draws(data, 8), draws(data, 6)
    model.crashes, model.refuses = lambda: next(crashes), lambda: next(refusals)
    for _ in range(data.draw(st.integers(1, 5), label="changes")):
        model.now += data.draw(st.sampled_from([0.0, 60.0, 7200.0]))
        which = data.draw(st.sampled_from(["p", "q", "eth0"]))
        if which == "eth0":
            model.tracked["eth0"] = TrackedPrefix("eth0", data.draw(prefixes), NOW, withdrawn=data.draw(st.booleans()))
        else:
            model.pools[which] = data.draw(pools(which), label=which)
        if data.draw(st.booleans()):
            converge(model)
            check(model, before)
    converge(model)
    check(model, before)
    model.crashes = model.refuses = lambda: False
    model.restart()
    converge(model)
    check(model, before)
    for name in model.resources:
        found = model.plan(name)
        assert not found.steps
        assert not any(f.reason == "Renumbering" for f in found.findings)


def _without_duplicates(networks: tuple[Network, ...]) -> tuple[Network, ...]:
    kept: list[Network] = []
    for each in networks:
        if not any(each.ipv6[0].subnet == other.ipv6[0].subnet for other in kept):
            kept.append(each)
    return tuple(kept)


@examples(15)
@given(st.data())
def test_subnets_keep_their_numbers_and_containers_their_suffixes(data: st.DataObject) -> None:
    model = RenumberingModel(
        {name: network(name, addressing={"poolRef": {"name": "p"}}, updateStrategy="Recreate") for name in NAMES},
        {"p": pool("p", fromInterface={"name": "eth0"}, maxUnavailable=data.draw(st.sampled_from([1, 2])))},
        tracked={"eth0": TrackedPrefix("eth0", DELEGATED[0], NOW)},
    )
    indices = data.draw(st.lists(st.integers(0, 15), min_size=len(NAMES), max_size=len(NAMES), unique=True))
    for name, index in zip(NAMES, indices, strict=True):
        model.bind(name, "p", list(DELEGATED[0].subnets(new_prefix=64))[index])
    converge(model)
    before = {name: containers(data, model, name) for name in model.resources}
    numbers = _numbers(model)
    assert numbers == dict(zip(NAMES, indices, strict=True))
    crashes = draws(data, 10)
    model.crashes = lambda: next(crashes)
    for prefix in data.draw(st.lists(st.sampled_from(DELEGATED), min_size=1, max_size=4)):
        model.tracked["eth0"] = TrackedPrefix("eth0", prefix, NOW)
        converge(model)
        check(model, before)
        assert _numbers(model) == numbers
        assert all(c.subnet.subnet_of(prefix) for n in model.networks.values() for c in n.ipv6)  # type: ignore[arg-type]


def _numbers(model: RenumberingModel) -> dict[str, int]:
    """The subnets' numbers within the delegated prefix."""
    bound = model.holdings.bound
    return {name: (int(each.prefix.network_address) >> 64) & 0xF for name, each in bound.items()}


@pytest.mark.parametrize("limit", [1, 2, 3])
@examples(15)
@given(data=st.data())
def test_no_more_networks_are_unavailable_than_the_pool_allows(limit: int, data: st.DataObject) -> None:
    model = RenumberingModel(
        {name: network(name, addressing={"poolRef": {"name": "p"}}, updateStrategy="Recreate") for name in NAMES},
        {"p": pool("p", fromInterface={"name": "eth0"}, maxUnavailable=limit)},
        tracked={"eth0": TrackedPrefix("eth0", DELEGATED[0], NOW)},
    )
    converge(model)
    crashes, refusals = draws(data, 4), draws(data, 4)
    model.crashes, model.refuses = lambda: next(crashes), lambda: next(refusals)
    for prefix in data.draw(st.lists(st.sampled_from(DELEGATED), min_size=1, max_size=3)):
        model.tracked["eth0"] = TrackedPrefix("eth0", prefix, NOW)
        for name in data.draw(st.lists(st.sampled_from(NAMES), max_size=12)):
            try:
                model.reconcile(name)
            except Crash:
                model.restart()
            unavailable = [name for name in model.resources if model.live(name) is None]
            assert len(unavailable) <= limit
    converge(model)
    assert model.most_unavailable.get("p", 0) <= limit


def test_a_refused_spec_is_not_tried_again_until_it_changes() -> None:
    model = RenumberingModel(
        {"a": network("a", addressing={"poolRef": {"name": "p"}}, updateStrategy="Recreate")},
        {"p": pool("p", prefix=str(DELEGATED[0]))},
    )
    converge(model)
    before = model.live("a")
    tries: list[bool] = []

    def refuse() -> bool:
        tries.append(True)
        return True

    model.refuses = refuse
    model.pools["p"] = pool("p", prefix=str(DELEGATED[1]))
    converge(model)
    assert (len(tries), [str(f.reason) for f in model.plan("a").findings]) == (1, ["RolledBack"])
    after = model.live("a")
    assert before is not None
    assert after is not None
    assert (after.ipam, after.labels, after.options) == (before.ipam, before.labels, before.options)
    model.pools["p"] = pool("p", prefix=str(DELEGATED[2]))
    converge(model)
    assert len(tries) == 2


def test_networks_of_a_pool_are_recreated_one_after_the_other() -> None:
    model = RenumberingModel(
        {name: network(name, addressing={"poolRef": {"name": "p"}}, updateStrategy="Recreate") for name in NAMES},
        {"p": pool("p", prefix=str(DELEGATED[0]))},
    )
    converge(model)
    model.pools["p"] = pool("p", prefix=str(DELEGATED[1]))
    plans = {name: model.plan(name) for name in NAMES}
    assert all(any(isinstance(step, CreateNetwork) for step in each.steps) for each in plans.values())
    model.in_flight["a"] = "p"
    assert [name for name in NAMES if model.plan(name).steps] == ["a"]
    model.reconcile("a")
    assert [name for name in NAMES if model.plan(name).steps] == ["b", "c", "d"]
