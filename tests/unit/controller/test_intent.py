"""The desired firewall of the whole host, and which container has a port."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from dockerv6.dockerd.model import Attachment, Network
from dockerv6.firewall.elements import PUBLISHED_AT_PORT, PUBLISHED_AT_TO, PUBLISHED_PORT, PUBLISHED_TO
from dockerv6.firewall.expr import Element, ElementSet, KeyType
from dockerv6.firewall.model import FirewallIntent, NetworkIntent, PortIntent
from dockerv6.firewall.port import FirewallUnavailable
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY, Ruleset
from dockerv6.lib.networking import InterfaceName, TransportProtocol
from dockerv6.planning.firewall.contributions import resource_of
from dockerv6.planning.firewall.desired import published_ports
from tests.simulation.resources import network, policy
from tests.world import Bench, Host

WEB = IPv6Address("fd00::5")
HOST = IPv6Address("2001:db8::1")


async def made(host: Host | None = None) -> Bench:
    """A network, and a container that has port 8080 of the host."""
    bench = await (host or Host()).bench(network("a"))
    await bench.reconcile("a")
    bench.host.engine.run_container("young", "a", ports=("8080:80",))
    bench.invalidate_all()
    await bench.repair()
    return bench


async def again(host: Host) -> Bench:
    """The next process, which knows the files."""
    bench = await host.bench()
    await bench.accept()
    return bench


def test_where_ports_lead_is_read_from_the_table() -> None:
    ports = (
        PortIntent("a", TransportProtocol.TCP, 80, WEB, 8080),
        PortIntent("a", TransportProtocol.UDP, 53, WEB, 53, host_address=HOST),
        PortIntent("policy/a", TransportProtocol.SCTP, 9, WEB, 9),
    )
    assert published_ports(
        render(FirewallIntent((NetworkIntent("a", IPv6Network("fd00::/64"), InterfaceName("br-a")),), ports=ports))
    ) == {
        ("tcp", 80, None): (WEB, 8080),
        ("udp", 53, HOST): (WEB, 53),
        ("sctp", 9, None): (WEB, 9),
    }
    assert published_ports(EMPTY) == {}


PORT, NAME, PROTOCOL, PREFIX = KeyType.PORT, KeyType.INTERFACE, KeyType.PROTOCOL, KeyType.PREFIX
TO = ElementSet(PUBLISHED_TO, (PROTOCOL, PORT), interval=False, data=PREFIX)
NUMBER = ElementSet(PUBLISHED_PORT, (PROTOCOL, PORT), interval=False, data=PORT)
KEY = ("tcp", "80")
STRANGE = [
    (TO, {Element(KEY, "", "fd00::5/128")}, replace(NUMBER, data=NAME), {Element(KEY, "", "eth0")}),
    (TO, {Element(KEY, "", "fd00::5/128")}, replace(NUMBER, data=None), {Element(KEY)}),
    (replace(TO, data=PORT), {Element(KEY, "", "443")}, NUMBER, {Element(KEY, "", "443")}),
    (replace(TO, data=NAME), {Element(KEY, "", "eth0")}, NUMBER, {Element(KEY, "", "443")}),
    (replace(TO, key=(PORT,)), {Element(("80",), "", "fd00::5/128")}, replace(NUMBER, key=(PORT,)), {Element(("80",))}),
    (replace(TO, key=(NAME, PORT)), {Element(KEY, "", "::/0")}, replace(NUMBER, key=(NAME, PORT)), {Element(KEY)}),
    (
        replace(TO, name=PUBLISHED_AT_TO, key=(PROTOCOL, PORT, NAME)),
        {Element((*KEY, "eth0"), "", "fd00::5/128")},
        replace(NUMBER, name=PUBLISHED_AT_PORT, key=(PROTOCOL, PORT, NAME)),
        {Element((*KEY, "eth0"), "", "443")},
    ),
    (replace(TO, interval=True), {Element(KEY, "", "fd00::5/128")}, NUMBER, {Element(KEY, "", "443")}),
]


@pytest.mark.parametrize(("to", "targets", "number", "numbers"), STRANGE)
async def test_a_table_whose_maps_have_other_types_names_no_ports_and_is_written_again(
    to: ElementSet, targets: set[Element], number: ElementSet, numbers: set[Element]
) -> None:
    table = Ruleset(
        sets=(replace(to, elements=frozenset(targets)), replace(number, elements=frozenset(numbers))), exists=True
    )
    assert published_ports(table) == {}
    host = Host()
    host.firewall.ruleset = table
    bench = await made(host)
    assert host.ports() == {"tcp 8080 ::": "young:80"}
    assert bench.context.firewall.faults == ()


def test_owners_stand_for_resources_of_two_kinds() -> None:
    assert resource_of("a") == ("IPv6Network", "a")
    assert resource_of("policy/a") == ("IPv6Policy", "a")


class TestWhoHasAPort:
    async def rival(self, host: Host) -> None:
        """An older container that asks for the same port, which the engine gives to both over IPv4 and IPv6."""
        clash = network("b", publish={"ports": [{"port": 8080, "containers": {"name": "old"}}]})
        host.files.write(clash)

    async def test_it_stays_when_an_older_one_comes(self) -> None:
        host = Host()
        host.engine.create_container("old")
        bench = await made(host)
        assert host.ports() == {"tcp 8080 ::": "young:80"}
        await self.with_old(bench)
        assert host.ports() == {"tcp 8080 ::": "young:80"}

    async def with_old(self, bench: Bench) -> None:
        await self.rival(bench.host)
        await bench.accept()
        await bench.reconcile("b")
        old = bench.host.engine.container_ids()["old"]
        bench.host.engine.start_container(old)
        there = await bench.host.docker("b")
        assert there is not None
        await bench.host.engine.connect(there.id, Attachment(old, "old", running=True))
        bench.invalidate_all()
        await bench.reconcile("b")

    async def test_it_stays_when_the_operator_is_restarted(self) -> None:
        host = Host()
        host.engine.create_container("old")
        await self.with_old(await made(host))
        bench = await again(host)
        await bench.repair()
        assert host.ports() == {"tcp 8080 ::": "young:80"}

    @pytest.mark.parametrize("early", [True, False])
    async def test_it_stays_after_a_restart_in_any_order(self, early: bool) -> None:  # noqa: FBT001
        host = Host()
        host.engine.create_container("old")
        await self.with_old(await made(host))
        bench = await again(host)
        if early:  # the table can't be read at first
            host.firewall.fail_next(FirewallUnavailable("busy"))
            await bench.context.firewall.view()
            assert bench.context.firewall.assignment.networks == {}
        await bench.repair()
        assert host.ports() == {"tcp 8080 ::": "young:80"}

    async def test_the_other_has_it_when_it_is_free(self) -> None:
        host = Host()
        host.engine.create_container("old")
        bench = await made(host)
        await self.with_old(bench)
        host.engine.stop_container(host.engine.container_ids()["young"])
        bench.invalidate_all()
        await bench.repair()
        assert host.ports() == {"tcp 8080 ::": "old:8080"}


class TestAnEngineThatWasNeverSeen:
    async def test_ports_stay_while_the_operator_starts(self) -> None:
        host = (await made()).host
        host.engine.down()
        bench = await again(host)
        await bench.reconcile("a")
        assert host.ports() == {"tcp 8080 ::": "young:80"}
        host.engine.up()
        bench.invalidate_all()
        commits = host.firewall.commits
        await bench.reconcile("a")
        assert host.ports() == {"tcp 8080 ::": "young:80"}
        assert host.firewall.commits == commits

    async def test_the_rules_of_a_network_are_there_before_it_is_even_so(self) -> None:
        host = (await made()).host
        host.engine.down()
        host.flush_rules()
        bench = await again(host)
        await bench.reconcile("a")
        assert "own_bridge v6-a . v6-a" in host.rules_of("a")

    async def test_ports_stay_while_an_engine_that_was_seen_is_away(self) -> None:
        bench = await made()
        bench.host.engine.down()
        bench.invalidate_all()
        await bench.reconcile("a")
        assert bench.host.ports() == {"tcp 8080 ::": "young:80"}


class TestPolicies:
    async def test_a_policy_that_is_being_deleted_leaves_its_networks_to_the_next(self) -> None:
        host = Host()
        await host.create_foreign("shop", "fd99::/64")
        bench = await host.bench(policy("a"), policy("b"))
        await bench.context.world.networks()
        reconciler = bench.context.firewall
        assert [n.name for n in reconciler.assignment.networks["a"]] == ["shop"]
        await bench.delete("a", "IPv6Policy")
        assert [n.name for n in reconciler.assignment.networks["b"]] == ["shop"]
        assert "a" not in reconciler.assignment.networks

    async def test_an_observed_network_comes_back_to_the_policy_with_its_resources_end(self) -> None:
        host = Host()
        await host.create_foreign("shop", "fd99::/64")
        bench = await host.bench(policy("a"), network("shop", managementPolicy="Observe"))
        await bench.context.world.networks()
        assert bench.context.firewall.assignment.networks["a"] == ()
        await bench.delete("shop")
        claimed: tuple[Network, ...] = bench.context.firewall.assignment.networks["a"]
        assert [n.name for n in claimed] == ["shop"]
