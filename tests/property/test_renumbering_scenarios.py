"""Attachments are restored whatever the provider does, and whenever the operator crashes."""

import asyncio
from ipaddress import IPv6Network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dockerv6.controller.recreations import RECREATIONS
from dockerv6.planning.addressing.tracked_prefixes import SETTLE_MOST
from tests.fakes.dockerd.versions import ENGINE_20_10, ENGINE_28_5, EngineVersion
from tests.property.examples import examples
from tests.simulation.scenario import FOLLOWING, NETWORKS, TRANSLATED_NETWORK, Incident, Scenario, subnet_of

FIRST = "2001:db8:a00::/56"
LARGE = ("2001:db8:b00::/56", "2001:db8:a00::/48")
SMALL = ("2001:db8:b00::/60", "2001:db8:c00::/63", "2001:db8:d00:5::/64", "2001:db8:d00:5:8000::/65")
ON_LINK = ("2001:db8:1::/64", "2001:db8:2::/64")
LONG = SETTLE_MOST + 120.0
"""Seconds after which every prefix change has been followed and every network has been recreated."""

EDITS: tuple[dict[str, object], ...] = (
    FOLLOWING,
    {"fromInterface": {"name": "eth0", "prefixLength": 60, "offset": 3}},
    {"prefix": "2001:db8:e00::/48"},
    {"prefixes": ["2001:db8:e00::/64", "2001:db8:a00::/60"]},
)

strategies = st.sampled_from(["Recreate", "Recreate", "WhenIdle"])
update_strategies = st.tuples(*[strategies] * len(NETWORKS))
prefixes = st.sampled_from((FIRST, *LARGE, *SMALL))
on_link_prefixes = st.sampled_from(ON_LINK)
names = st.sampled_from(sorted(NETWORKS))
methods = st.sampled_from(["create_network", "connect", "connect", "disconnect", "remove_network"])


def incident(
    method: str, *arguments: st.SearchStrategy[Any], **keywords: st.SearchStrategy[Any]
) -> st.SearchStrategy[Incident]:
    return st.tuples(st.just(method), st.tuples(*arguments), st.fixed_dictionaries(keywords))


engine_faults = incident("refuse_next", methods) | incident("lose_next", methods, after=st.booleans())
incidents = st.one_of(
    incident("replace_delegations", prefixes),
    incident("replace_delegations", prefixes),
    incident("replace_delegations", prefixes, prefixes),
    incident("delegate", prefixes, st.sampled_from([None, 20.0])),
    incident("undelegate", prefixes),
    incident("advertise", on_link_prefixes, st.sampled_from([0.0, 30.0, None])),
    incident("withdraw", on_link_prefixes),
    incident("unplug"),
    incident("plug"),
    incident("stop_engine"),
    incident("start_engine"),
    incident("edit_pool", st.sampled_from(EDITS)),
    incident("run_containers", names | st.just(TRANSLATED_NETWORK)),
    incident("stop", names),
    incident("start", names),
    incident("remove", names),
    engine_faults,
    incident("crash_operator", st.integers(1, 40), after=st.booleans()),
)
histories = st.lists(st.tuples(incidents, st.sampled_from([0.0, 0.3, 3.0, 6.0, 11.0, 400.0])), max_size=12)


async def start(scenario: Scenario) -> None:
    """Create all networks with the first prefix, and run containers on each."""
    scenario.provider.delegate(FIRST)
    await scenario.start_operator()
    await scenario.run_for(2.0)
    for name in scenario.expected:
        scenario.run_containers(name)
    await scenario.run_for(2.0)
    scenario.violations.clear()  # of the time before the networks existed
    translated = await scenario.host.docker(TRANSLATED_NETWORK)
    assert translated is not None
    scenario.translated_id = translated.id


async def check_final_state(scenario: Scenario, last: str, update_strategies: tuple[str, ...]) -> None:
    """End all faults, wait until the operator has converged, and check everything."""
    scenario.host.engine._faults.clear()
    scenario.refused = None
    scenario.start_engine()
    scenario.provider.plug()
    scenario.edit_pool(FOLLOWING)
    if last:
        scenario.provider.replace_delegations(last)
    await scenario.run_for(LONG)
    for _ in range(2):  # a spec that the engine refused is only tried again after a restart of the operator
        await scenario.stop_operator()
        await scenario.start_operator()
        await scenario.run_for(60.0)
    assert scenario.violations == []
    await scenario.check_attachments_are_restored()
    await scenario.check_translated_network_is_kept()
    await scenario.check_no_subnets_overlap()
    await scenario.check_plans_are_empty()
    for name, strategy in zip(NETWORKS, update_strategies, strict=True):
        if last in LARGE and strategy == "Recreate":
            assert subnet_of(await scenario.host.docker(name)).subnet_of(IPv6Network(last))
    await scenario.stop_operator()


@examples(20)
@given(
    update_strategies,
    st.integers(1, 2),
    histories,
    st.sampled_from([FIRST, *LARGE, ""]),
    st.sampled_from([ENGINE_20_10, ENGINE_28_5]),
)
def test_attachments_are_restored_after_any_history(
    strategies: tuple[str, ...], budget: int, history: list[tuple[Incident, float]], last: str, profile: EngineVersion
) -> None:
    async def run() -> None:
        scenario = Scenario(strategies, budget, profile)
        await start(scenario)
        for each, pause in history:
            crashed = scenario.crashes.crashed
            scenario.apply(each)
            await scenario.run_for(pause)
            if crashed:
                await scenario.stop_operator()
                await scenario.start_operator()
        await check_final_state(scenario, last, strategies)

    asyncio.run(run())


@examples(15)
@given(
    st.integers(1, 2),
    prefixes,
    incident("crash_operator", st.integers(1, 45), after=st.booleans()),
    st.lists(engine_faults, max_size=2),
    st.lists(incidents, max_size=3),
    st.sampled_from(["", *LARGE]),
)
def test_a_renumbering_that_was_interrupted_anywhere_is_completed_or_rolled_back(
    budget: int,
    prefix: str,
    crash: Incident,
    faults: list[Incident],
    while_crashed: list[Incident],
    last: str,
) -> None:
    strategies = ("Recreate",) * len(NETWORKS)

    async def run() -> None:
        scenario = Scenario(strategies, budget)
        await start(scenario)
        for each in (*faults, crash):
            scenario.apply(each)
        scenario.provider.replace_delegations(prefix)
        await scenario.run_for(8.0)
        for each in while_crashed:
            scenario.apply(each)
        await scenario.stop_operator()
        await scenario.start_operator()
        await scenario.run_for(8.0)
        await check_final_state(scenario, last, strategies)

    asyncio.run(run())


@examples(15)
@given(
    st.integers(1, 2),
    st.sampled_from(LARGE[:1]),
    st.sampled_from(["", "a1", "b4", "d8"]),
    incident("crash_operator", st.integers(1, 45), after=st.booleans()),
    st.lists(engine_faults, max_size=2),
    st.sampled_from(["", LARGE[1]]),
)
def test_no_network_is_lost_if_the_engine_refuses_the_new_prefix(
    budget: int, prefix: str, container: str, crash: Incident, faults: list[Incident], last: str
) -> None:
    """The engine refuses to connect ``container`` to a network with the prefix, or (if "") to create such a network."""
    strategies = ("Recreate",) * len(NETWORKS)

    async def run() -> None:
        scenario = Scenario(strategies, budget)
        await start(scenario)
        scenario.refused = IPv6Network(prefix), container
        for each in (*faults, crash):
            scenario.apply(each)
        scenario.provider.replace_delegations(prefix)
        await scenario.run_for(12.0)
        await scenario.stop_operator()
        scenario.host.engine._faults.clear()
        await scenario.start_operator()
        await scenario.run_for(LONG)
        assert scenario.unavailable() == []
        assert await scenario.host.store.records(RECREATIONS) == {}
        for name in NETWORKS:
            kept = not container or container[0] == name
            assert subnet_of(await scenario.host.docker(name)).subnet_of(IPv6Network(FIRST if kept else prefix)), name
        await check_final_state(scenario, last, strategies)

    asyncio.run(run())
