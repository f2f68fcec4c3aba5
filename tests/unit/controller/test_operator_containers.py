"""The whole operator while containers come and go: ports, policies and members follow, on the fake clock."""

from dataclasses import replace
from functools import partial
from ipaddress import IPv6Interface

from dockerv6.api.traffic import ANY_ADDRESS
from dockerv6.controller.polling import SOCKET_POLL
from dockerv6.dockerd.model import Attachment
from dockerv6.hostnet.model import Interface, Listener
from dockerv6.planning.firewall.port_assignment import PORT_RETRY
from tests.simulation.resources import network, policy
from tests.world import Host

READY = ("True", "ReconcileSucceeded")
AT_ONCE = 0  # no time passes but what callbacks take
STACK = {"stack": "blog"}


async def test_ports_follow_a_container_through_its_life() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        web = host.engine.run_container("web", "blog", ports=("8080:80", "9000-9001:90-91/udp"))
        await at_work.let(AT_ONCE)
        ports = {"tcp 8080 ::": "web:80", "udp 9000 ::": "web:90", "udp 9001 ::": "web:91"}
        assert host.ports() == ports
        for change in (
            partial(host.engine.stop_container, web),
            partial(host.engine.start_container, web),
            partial(host.engine.restart_container, web),
            partial(host.engine.rename_container, web, "front"),
            partial(host.engine.remove_container, web),
        ):
            change()
            await at_work.let(AT_ONCE)
            found = next((c.name for c in await host.engine.containers() if c.id == web), None)
            assert host.ports() == ({k: v.replace("web", found) for k, v in ports.items()} if found else {})


async def test_the_status_shows_them_under_the_containers_new_name() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        web = host.engine.run_container("web", "blog", ports=("8080:80",))
        await at_work.let(1)
        host.engine.rename_container(web, "front")
        await at_work.let(1)
        assert [p["container"] for p in await published(host)] == ["front"]
        host.engine.stop_container(web)
        await at_work.let(1)
        assert await published(host) == []
        assert await host.ready("blog") == READY


async def test_a_backend_that_names_bridges_gets_a_new_bridge() -> None:
    host = Host()
    host.firewall.matches_link_kinds = False
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        host.net.add_interface(Interface(90, "virbr0", "bridge", up=True, mtu=1500))
        await at_work.let(1)
        bridges = host.firewall.ruleset.set("guest_bridges")
        assert bridges is not None
        assert {e.key[0] for e in bridges.elements} == {"docker0", "v6-blog", "virbr0"}


async def published(host: Host) -> list[dict[str, object]]:
    found = (await host.stored("blog")).status["publishedPorts"]
    assert isinstance(found, list)
    return found


async def test_a_port_on_an_address_waits_for_the_address_and_reports_it() -> None:
    host = Host()
    host.files.write(network())
    eth1 = Interface(90, "eth1", "", up=True, mtu=1500)
    address = IPv6Interface("2001:db8:3::5/64")
    async with host.running() as at_work:
        await at_work.let(1)
        host.net.add_interface(eth1)
        host.engine.run_container("web", "blog", ports=("[2001:db8:3::5]:443:443",))
        for there, reason, word in (
            (eth1, "AddressPending", "does not have this address"),
            (replace(eth1, addresses=(address,), tentative=frozenset({address.ip})), "AddressPending", "tentative"),
            (replace(eth1, addresses=(address,)), "Published", ""),
            (eth1, "AddressPending", "does not have this address"),
        ):
            host.net.add_interface(there)
            await at_work.let(1)
            found = await host.condition("blog", "PortsPublished")
            assert found is not None
            assert (found.reason, word in found.message) == (reason, True)
            assert host.ports() == {"tcp 443 2001:db8:3::5": "web:443"}
            assert await host.ready("blog") == READY


async def test_connecting_and_disconnecting_is_followed() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        web = host.engine.run_container("web", "bridge", ports=("8080:80",))
        there = await host.docker("blog")
        assert there is not None
        await at_work.let(AT_ONCE)
        assert host.ports() == {}
        await host.engine.connect(there.id, Attachment(web, "web", running=True))
        await at_work.let(AT_ONCE)
        assert host.ports() == {"tcp 8080 ::": "web:80"}
        await host.engine.disconnect(there.id, web)
        await at_work.let(AT_ONCE)
        assert host.ports() == {}


async def test_a_conflict_is_reported_and_ends_with_the_container_that_had_the_port() -> None:
    host = Host()
    ports = {"ports": [{"port": 8080, "containers": {"name": "second"}}]}
    host.files.write(network("a"), network("b", publish=ports))
    async with host.running() as at_work:
        await at_work.let(1)
        first = host.engine.run_container("first", "a", ports=("8080:80",))
        host.engine.run_container("second", "b")
        await at_work.let(1)
        assert host.ports() == {"tcp 8080 ::": "first:80"}
        assert await host.ready("b") == ("False", "PortConflict")
        assert await host.ready("a") == READY
        host.engine.stop_container(first)
        await at_work.let(1)
        assert host.ports() == {"tcp 8080 ::": "second:8080"}
        assert await host.ready("b") == READY


async def test_a_process_that_has_the_port_is_reported_until_it_ends() -> None:
    host = Host()
    taker = Listener("tcp", ANY_ADDRESS, 8080)
    host.net.listen(taker)
    ports = {"ports": [{"port": 8080, "containers": {"name": "web"}}]}
    host.files.write(network(publish=ports))
    async with host.running() as at_work:
        await at_work.let(1)
        host.engine.run_container("web", "blog")
        await at_work.let(1)
        assert host.ports() == {}
        assert await host.ready("blog") == ("False", "PortTaken")
        host.net.stop_listening(taker)
        await at_work.let(20)
        assert host.ports() == {"tcp 8080 ::": "web:8080"}
        assert await host.ready("blog") == READY


async def test_a_new_foreign_network_has_its_rules_at_once() -> None:
    host = Host()
    host.files.write(policy(selector={"prefixes": ["fc00::/7"]}))
    async with host.running() as at_work:
        await at_work.let(1)
        shop = await host.create_foreign("shop", "fd99::/64")
        host.engine.run_container("web", "shop", ports=("8080:80",))
        await at_work.let(AT_ONCE)
        assert "egress_any fd99::/64" in host.rules_of("policy/all")
        assert host.ports() == {"tcp 8080 ::": "web:80"}
        await at_work.let(1)
        assert await host.ready("all", "IPv6Policy") == READY
        assert (await host.stored("all", "IPv6Policy")).status["networks"] == 1
        host.engine.remove_container(next(iter(await host.engine.running_container_ids())))
        await host.engine.remove_network(shop)
        await at_work.let(1)
        assert host.rules_of("policy/all") == frozenset()
        assert (await host.stored("all", "IPv6Policy")).status["networks"] == 0


async def test_a_policys_rules_go_with_its_file() -> None:
    host = Host()
    await host.create_foreign("shop", "fd99::/64")
    host.files.write(policy(), network("blog"))
    async with host.running() as at_work:
        await at_work.let(1)
        assert host.rules_of("policy/all")
        host.files.delete("all")
        await at_work.let(10)
        assert host.rules_of("policy/all") == frozenset()
        assert await host.docker("shop")


async def test_rules_of_a_policy_that_were_flushed_come_back_at_once() -> None:
    host = Host()
    await host.create_foreign("shop", "fd99::/64")
    host.files.write(policy())
    async with host.running() as at_work:
        await at_work.let(1)
        rules = host.rules_of("policy/all")
        host.flush_rules()
        await at_work.let(AT_ONCE)
        assert host.rules_of("policy/all") == rules
        await at_work.let(1)
        drifted = await host.condition("all", "Drifted", "IPv6Policy")
        assert drifted is not None
        assert drifted.reason == "Restored"


async def test_a_stack_gets_ipv6_with_one_resource_and_no_edit() -> None:
    host = Host()
    host.files.write(network(members={"matchLabels": STACK}))
    async with host.running() as at_work:
        await at_work.let(1)
        web = host.engine.run_container("web", "bridge", labels=STACK, ports=("8080:80",))
        host.engine.run_container("db", "bridge", labels=STACK)
        host.engine.run_container("other", "bridge")
        await at_work.let(1)
        assert await host.attached("blog") == {"web", "db"}
        assert host.ports() == {"tcp 8080 ::": "web:80"}
        host.engine.remove_container(web)
        await at_work.let(1)
        assert await host.attached("blog") == {"db"}
        assert host.ports() == {}
        host.files.write(network())
        await at_work.let(1)
        assert await host.attached("blog") == frozenset()


async def test_hairpin_is_set_for_a_container_that_comes_later() -> None:
    host = Host(bridge_netfilter=True)
    await host.create_foreign("shop", "fd99::/64")
    host.files.write(network(), policy())
    async with host.running() as at_work:
        await at_work.let(1)
        for name in ("blog", "shop"):
            for number in (1, 2):
                host.engine.run_container(f"{name}{number}", name, ports=("80",))
                await at_work.let(2)
        ends = [i.bridge_port for i in await host.net.interfaces() if i.kind == "veth"]
        assert len(ends) == 4
        assert all(end is not None and end.hairpin for end in ends)


async def test_it_settles_when_containers_have_settled() -> None:
    host = Host()
    await host.create_foreign("shop", "fd99::/64")
    host.files.write(network(members={"matchLabels": STACK}), policy())
    async with host.running() as at_work:
        await at_work.let(1)
        for number in range(5):
            host.engine.run_container(f"c{number}", "shop", labels=STACK, ports=("80",))
        await at_work.let(5)
        before, commits, calls = await host.snapshot(), host.firewall.commits, len(host.engine.calls)
        await at_work.let(200)
        assert (await host.snapshot(), host.firewall.commits) == (before, commits)
        assert len(host.engine.calls) - calls < 10


async def test_a_restart_moves_no_port() -> None:
    host = Host()
    host.files.write(network(), policy())
    await host.create_foreign("shop", "fd99::/64")
    async with host.running() as at_work:
        await at_work.let(1)
        host.engine.run_container("web", "blog", ports=("80", "[2001:db8:1::5]:53:53/udp"))
        host.engine.run_container("front", "shop", ports=("80",))
        await at_work.let(1)
    ports, commits = host.ports(), host.firewall.commits
    host.engine.down()
    async with host.running() as at_work:
        await at_work.let(30)
        assert host.ports() == ports
        host.engine.up()
        await at_work.let(30)
        assert host.ports() == ports
    assert host.firewall.commits == commits


KIND = "IPv6Policy"


def publishing(container: str) -> dict[str, object]:
    return {"ports": [{"port": 8080, "containers": {"name": container}}]}


async def test_a_policy_reports_networks_that_a_deleted_policy_leaves_to_it() -> None:
    host = Host()
    await host.create_foreign("shop", "fd99::/64")
    host.files.write(policy("a"), policy("b"))
    async with host.running() as at_work:
        await at_work.let(1)
        status = (await host.stored("b", KIND)).status
        assert (status["networks"], status["claimed"]) == (0, [{"name": "shop", "by": "IPv6Policy/a"}])
        host.files.delete("a")
        await at_work.let(10)
        status = (await host.stored("b", KIND)).status
        assert (status["networks"], status["claimed"]) == (1, [])
        assert host.rules_of("policy/b")


async def test_a_policy_reports_which_resource_claims_its_network() -> None:
    host = Host()
    await host.create_foreign("shop", "fd99::/64")
    host.files.write(policy("a"))
    async with host.running() as at_work:
        await at_work.let(1)
        host.files.write(network("shop", managementPolicy="Observe"))
        await at_work.let(2)
        status = (await host.stored("a", KIND)).status
        assert (status["networks"], status["claimed"]) == (0, [{"name": "shop", "by": "IPv6Network/shop"}])


async def test_a_conflict_ends_when_the_resource_no_longer_asks_for_the_port() -> None:
    host = Host()
    host.files.write(network("a", publish=publishing("web-a")), network("b"))
    async with host.running() as at_work:
        await at_work.let(1)
        for name in ("a", "b"):
            host.engine.run_container(f"web-{name}", name)
        await at_work.let(1)
        host.files.write(network("b", publish=publishing("web-b")))
        await at_work.let(2)
        assert await host.ready("b") == ("False", "PortConflict")
        host.files.write(network("a"))
        await at_work.let(2)
        assert host.ports() == {"tcp 8080 ::": "web-b:8080"}
        assert (await host.ready("a"), await host.ready("b")) == (READY, READY)


async def test_a_process_that_begins_to_listen_gets_its_port_back_without_any_event() -> None:
    host = Host()
    server = Listener("tcp", ANY_ADDRESS, 8080)
    host.files.write(network(publish=publishing("web")))
    async with host.running() as at_work:
        await at_work.let(1)
        host.engine.run_container("web", "blog")
        await at_work.let(1)
        assert host.ports() == {"tcp 8080 ::": "web:8080"}
        host.net.listen(server)
        await at_work.let(2 * SOCKET_POLL)
        assert host.ports() == {}
        assert await host.ready("blog") == ("False", "PortTaken")
        host.net.stop_listening(server)
        await at_work.let(2 * SOCKET_POLL)
        assert host.ports() == {"tcp 8080 ::": "web:8080"}
        assert await host.ready("blog") == READY


async def test_the_port_of_a_session_is_not_taken_while_its_server_restarts() -> None:
    host = Host()
    host.net.served_ports.add(8080)
    host.files.write(network(publish=publishing("web")))
    async with host.running() as at_work:
        await at_work.let(1)
        host.engine.run_container("web", "blog")
        await at_work.let(1)
        assert host.ports() == {}
        assert await host.ready("blog") == ("False", "PortReserved")
        host.net.served_ports.clear()
        await at_work.let(2 * PORT_RETRY)
        assert host.ports() == {"tcp 8080 ::": "web:8080"}


async def test_a_port_that_is_asked_for_is_not_taken_from_a_process_that_came_meanwhile() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        host.engine.run_container("web", "blog")
        await at_work.let(1)
        host.net.listen(Listener("tcp", ANY_ADDRESS, 8080))
        host.files.write(network(publish=publishing("web")))
        await at_work.let(2)
        assert host.ports() == {}
        assert await host.ready("blog") == ("False", "PortTaken")
