import pytest

from dockerv6.controller.garbage import remove_everything
from dockerv6.firewall.model import FilterVariant, ForwardDrop
from dockerv6.firewall.ruleset import EMPTY
from dockerv6.planning.host.sysctls import FORWARDING
from tests.simulation.resources import network
from tests.world import Bench, Host

FORWARD = ForwardDrop(FilterVariant.XTABLES_NFT, "filter", "FORWARD", has_accept_rule=False, repairable=True)


async def installed() -> Bench:
    host = Host()
    host.filter.add_forward_drop(FORWARD)
    await host.create_foreign("theirs", "fd00:f::/64")
    host.net.flip_sysctl(FORWARDING, "0")
    bench = await host.bench(network("a"), network("b"))
    for name in ("a", "b"):
        await bench.reconcile(name)
    bench.invalidate_all()
    return bench


async def test_everything_of_ours_goes_and_nothing_else() -> None:
    bench = await installed()
    said = await remove_everything(bench.context, keep_networks=False)
    host = bench.host
    assert await host.ours() == ()
    assert await host.docker("theirs")
    assert host.firewall.ruleset == EMPTY
    assert not host.filter.accept_rules
    assert await host.net.sysctl(FORWARDING) == "0"
    assert len(said) == 4
    assert said[0].startswith("remove Docker network a")


async def test_networks_with_containers_stay_and_are_named() -> None:
    bench = await installed()
    bench.host.engine.run_container("web", "a")
    bench.invalidate_all()
    said = await remove_everything(bench.context, keep_networks=False)
    assert [n.name for n in await bench.host.ours()] == ["a"]
    assert "kept Docker network a: containers run on it (web)" in said


@pytest.mark.parametrize("again", [False, True])
async def test_networks_can_be_kept_and_are_taken_up_again(*, again: bool) -> None:
    bench = await installed()
    before = await bench.host.ours()
    await remove_everything(bench.context, keep_networks=True)
    assert await bench.host.ours() == before
    if again:
        fresh = await bench.host.bench()
        await fresh.reconcile("a")
        assert await bench.host.ours() == before
        assert bench.host.rules_of("a")


async def test_a_second_time_removes_nothing_more() -> None:
    bench = await installed()
    await remove_everything(bench.context, keep_networks=False)
    bench.invalidate_all()
    assert len(await remove_everything(bench.context, keep_networks=False)) == 1
