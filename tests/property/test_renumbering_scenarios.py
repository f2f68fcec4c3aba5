"""Whatever the provider does, and whenever the operator dies: everybody ends attached exactly where they were."""

import asyncio
from ipaddress import IPv6Network
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dockerv6.controller.recreations import RECREATIONS as FORMER
from dockerv6.planning.addressing.tracked_prefixes import SETTLE_MOST
from tests.fakes.dockerd.versions import ENGINE_20_10, ENGINE_28_5, EngineVersion
from tests.simulation.scenario import FOLLOWING, INSIDE, NETWORKS, Incident, Scenario, subnet_of

FIRST = "2001:db8:a00::/56"
ROOMY = ("2001:db8:b00::/56", "2001:db8:a00::/48")
TIGHT = ("2001:db8:b00::/60", "2001:db8:c00::/63", "2001:db8:d00:5::/64", "2001:db8:d00:5:8000::/65")
ON_LINK = ("2001:db8:1::/64", "2001:db8:2::/64")
LONG = SETTLE_MOST + 120.0
"""Seconds after which every change is believed, and every network has had its turn."""

EDITS: tuple[dict[str, object], ...] = (
    FOLLOWING,
    {"fromInterface": {"name": "eth0", "prefixLength": 60, "offset": 3}},
    {"prefix": "2001:db8:e00::/48"},
    {"prefixes": ["2001:db8:e00::/64", "2001:db8:a00::/60"]},
)

strategies = st.sampled_from(["Recreate", "Recreate", "WhenIdle"])
choices = st.tuples(*[strategies] * len(NETWORKS))
prefixes = st.sampled_from((FIRST, *ROOMY, *TIGHT))
links = st.sampled_from(ON_LINK)
names = st.sampled_from(sorted(NETWORKS))
methods = st.sampled_from(["create_network", "connect", "connect", "disconnect", "remove_network"])


def happening(what: str, *how: st.SearchStrategy[Any], **named: st.SearchStrategy[Any]) -> st.SearchStrategy[Incident]:
    return st.tuples(st.just(what), st.tuples(*how), st.fixed_dictionaries(named))


faults = happening("refuse", methods) | happening("lose", methods, after=st.booleans())
happenings = st.one_of(
    happening("instead", prefixes),
    happening("instead", prefixes),
    happening("instead", prefixes, prefixes),
    happening("delegate", prefixes, st.sampled_from([None, 20.0])),
    happening("undelegate", prefixes),
    happening("advertise", links, st.sampled_from([0.0, 30.0, None])),
    happening("withdraw", links),
    happening("unplug"),
    happening("plug"),
    happening("down"),
    happening("up"),
    happening("edit", st.sampled_from(EDITS)),
    happening("run", names | st.just(INSIDE)),
    happening("stop", names),
    happening("start", names),
    happening("remove", names),
    faults,
    happening("kill", st.integers(1, 40), after=st.booleans()),
)
histories = st.lists(st.tuples(happenings, st.sampled_from([0.0, 0.3, 3.0, 6.0, 11.0, 400.0])), max_size=12)


async def told(tale: Scenario) -> None:
    """Everybody is there, and the story may begin."""
    tale.provider.delegate(FIRST)
    await tale.begin()
    await tale.let(2.0)
    for name in tale.expected:
        tale.run(name)
    await tale.let(2.0)
    tale.wrong.clear()  # of the time before there were any
    inside = await tale.host.docker(INSIDE)
    assert inside is not None
    tale.inside = inside.id


async def ended(tale: Scenario, last: str, chosen: tuple[str, ...]) -> None:
    """Nothing happens any more, and so much time has passed that everything must be as it should be."""
    tale.host.engine._faults.clear()
    tale.forbidden = None
    tale.up()
    tale.provider.plug()
    tale.edit(FOLLOWING)
    if last:
        tale.provider.instead(last)
    await tale.let(LONG)
    for _ in range(2):  # what the engine refused once is not tried again before the operator is started again
        await tale.end()
        await tale.begin()
        await tale.let(60.0)
    assert tale.wrong == []
    await tale.check_everybody_is_where_they_were()
    await tale.check_nobody_touched_what_is_only_translated()
    await tale.check_nothing_overlaps()
    await tale.check_nothing_is_left_to_do()
    for name, strategy in zip(NETWORKS, chosen, strict=True):
        if last in ROOMY and strategy == "Recreate":
            assert subnet_of(await tale.host.docker(name)).subnet_of(IPv6Network(last))
    await tale.end()


@settings(max_examples=40)
@given(
    choices,
    st.integers(1, 2),
    histories,
    st.sampled_from([FIRST, *ROOMY, ""]),
    st.sampled_from([ENGINE_20_10, ENGINE_28_5]),
)
def test_everybody_ends_attached_exactly_where_they_were(
    chosen: tuple[str, ...], budget: int, history: list[tuple[Incident, float]], last: str, profile: EngineVersion
) -> None:
    async def tell() -> None:
        tale = Scenario(chosen, budget, profile)
        await told(tale)
        for each, pause in history:
            dead = tale.power.gone
            tale.happen(each)
            await tale.let(pause)
            if dead:
                await tale.end()
                await tale.begin()
        await ended(tale, last, chosen)

    asyncio.run(tell())


@settings(max_examples=30)
@given(
    st.integers(1, 2),
    prefixes,
    happening("kill", st.integers(1, 45), after=st.booleans()),
    st.lists(faults, max_size=2),
    st.lists(happenings, max_size=3),
    st.sampled_from(["", *ROOMY]),
)
def test_a_renumbering_that_ends_anywhere_is_taken_up_again_or_back(
    budget: int,
    prefix: str,
    end: Incident,
    before: list[Incident],
    meanwhile: list[Incident],
    last: str,
) -> None:
    chosen = ("Recreate",) * len(NETWORKS)

    async def tell() -> None:
        tale = Scenario(chosen, budget)
        await told(tale)
        for each in (*before, end):
            tale.happen(each)
        tale.provider.instead(prefix)
        await tale.let(8.0)
        for each in meanwhile:
            tale.happen(each)
        await tale.end()
        await tale.begin()
        await tale.let(8.0)
        await ended(tale, last, chosen)

    asyncio.run(tell())


@settings(max_examples=30)
@given(
    st.integers(1, 2),
    st.sampled_from(ROOMY[:1]),
    st.sampled_from(["", "a1", "b4", "d8"]),
    happening("kill", st.integers(1, 45), after=st.booleans()),
    st.lists(faults, max_size=2),
    st.sampled_from(["", ROOMY[1]]),
)
def test_what_the_engine_never_allows_costs_nobody_a_network(
    budget: int, prefix: str, who: str, end: Incident, before: list[Incident], last: str
) -> None:
    chosen = ("Recreate",) * len(NETWORKS)

    async def tell() -> None:
        tale = Scenario(chosen, budget)
        await told(tale)
        tale.forbidden = IPv6Network(prefix), who
        for each in (*before, end):
            tale.happen(each)
        tale.provider.instead(prefix)
        await tale.let(12.0)
        await tale.end()
        tale.host.engine._faults.clear()
        await tale.begin()
        await tale.let(LONG)
        assert tale.away() == []
        assert await tale.host.store.records(FORMER) == {}
        for name in NETWORKS:
            refused = not who or who[0] == name
            assert subnet_of(await tale.host.docker(name)).subnet_of(IPv6Network(FIRST if refused else prefix)), name
        await ended(tale, last, chosen)

    asyncio.run(tell())
