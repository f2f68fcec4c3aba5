"""Whatever people do with containers and sockets: who asks for a port is served, and nobody else is touched."""

import asyncio
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from hypothesis import example, given, settings
from hypothesis import strategies as st

from dockerv6.api.kinds import NETWORK, POLICY
from dockerv6.api.traffic import ANY_ADDRESS
from dockerv6.controller.context import Context
from dockerv6.controller.observe import desired_network, observe_host, observe_network
from dockerv6.dockerd.model import Attachment, Container
from dockerv6.dockerd.port import EngineApiError
from dockerv6.hostnet.model import Listener
from dockerv6.planning.firewall.desired import published_ports
from dockerv6.planning.firewall.port_claims import PortKey
from dockerv6.planning.network import plan_network
from dockerv6.planning.policy import plan_policy
from tests.fakes.dockerd.versions import ENGINE_20_10, ENGINE_28_5
from tests.simulation.resources import network, policy
from tests.world import Host

STACK = {"stack": "blog"}
OURS, SHOP, LEGACY = "blog", "shop", "legacy"
NAMES = ("web", "db", "app")
BINDINGS = (
    "8080:80",
    "8080:81",
    "[2001:db8:1::5]:8080:80",
    "127.0.0.1:8080:80",
    "80",
    "9000-9001:90-91/udp",
    "[::1]:53:53/udp",
)
OWN_PORTS = [
    {"port": 8080, "containers": {"name": "app"}},
    {"port": 7000, "containers": {"matchLabels": STACK}, "from": ["2001:db8:9::/48"]},
]
PUBLISHED = "PortsPublished"
SOCKETS = [Listener("tcp", IPv6Address("::"), port) for port in (7000, 8080)]

names = st.sampled_from(NAMES)
places = st.sampled_from([(OURS,), (SHOP,), (OURS, SHOP), (LEGACY,), ("bridge",)])
bound_ports = st.lists(st.sampled_from(BINDINGS), max_size=2, unique=True)
runs = st.tuples(st.just("run"), names, places, bound_ports, st.sampled_from([{}, STACK]))
actions = st.one_of(
    runs,
    st.tuples(st.sampled_from(["stop", "start", "restart", "remove", "rename"]), names),
    st.tuples(st.sampled_from(["connect", "disconnect"]), names, st.sampled_from([OURS, SHOP])),
    st.tuples(st.sampled_from(["listen", "hush"]), st.sampled_from(SOCKETS)),
    st.tuples(st.sampled_from(["flush", "restart operator", "restart engine"])),
)
Served = dict[PortKey, tuple[str, IPv6Address, int]]
"""Who answers on the host's ports: container, its address, its port."""


@dataclass
class Life:
    """A host with an operator, and what people did to it."""

    host: Host
    by_hand: set[tuple[str, str]] = field(default_factory=set)  # container and network, as a person attached them
    sockets: set[Listener] = field(default_factory=set)

    @property
    def containers(self) -> dict[str, Container]:
        return {c.id: c for c in self.host.engine.list_containers()}

    def named(self, name: str) -> str | None:
        """A container's id, running or not."""
        return next((i for n, i in self.host.engine.container_ids().items() if n.rstrip("'") == name), None)

    async def do(self, action: tuple[object, ...]) -> None:
        """One thing that a person does; what the engine refuses is not done."""
        try:
            await self._do(*action)
        except EngineApiError:
            return

    async def _do(self, what: object, *rest: object) -> None:
        engine = self.host.engine
        match what, rest:
            case "run", (str(name), tuple(networks), list(ports), dict(labels)):
                if self.named(name) is None:
                    made = engine.create_container(name, networks, labels=labels, ports=ports)
                    self.by_hand |= {(made, each) for each in networks}
                    engine.start_container(made)
            case "listen", (Listener() as socket,) if socket not in await self.host.net.listeners():
                self.host.net.listen(socket)
                self.sockets.add(socket)
            case "hush", (Listener() as socket,) if socket in self.sockets:
                self.host.net.stop_listening(socket)
                self.sockets.discard(socket)
            case "flush", _:
                self.host.flush_rules()
            case _, (str(name), *more) if (found := self.named(name)) is not None:
                await self._to(found, str(what), *map(str, more))

    async def _to(self, container: str, what: str, network: str = "") -> None:
        engine = self.host.engine
        match what:
            case "stop":
                engine.stop_container(container)
            case "start":
                engine.start_container(container)
            case "restart":
                engine.restart_container(container)
            case "remove":
                engine.remove_container(container)
                self.by_hand = {(c, n) for c, n in self.by_hand if c != container}
            case "rename":
                name = next(n for n, i in engine.container_ids().items() if i == container)
                engine.rename_container(container, name.rstrip("'") if name.endswith("'") else f"{name}'")
            case "connect":
                there = await self.host.docker(network)
                if there is not None and container not in {a.container_id for a in await engine.attachments(there.id)}:
                    await engine.connect(there.id, Attachment(container, "", running=True))
                    self.by_hand.add((container, network))
            case "disconnect":
                there = await self.host.docker(network)
                if there is not None:
                    await engine.disconnect(there.id, container)
                    self.by_hand.discard((container, network))

    def served(self) -> Served:
        """Who answers; nobody does that is not running, or that is on no network of ours or of the policy."""
        on = {
            end.ipv6: (c.id, end.network_name)
            for c in self.containers.values()
            for end in c.endpoints
            if end.ipv6 is not None
        }
        found: Served = {}
        for key, (address, port) in published_ports(self.host.firewall.ruleset).items():
            assert address in on, f"{key} leads to {address}, where nobody is"
            container, where = on[address]
            assert where in (OURS, SHOP), f"{key} leads into {where}"
            found[key] = (container, address, port)
        for protocol, port, at in found:
            assert at is None or (protocol, port, None) not in found, "one packet is for two"
        return found

    def check_kept(self, before: dict[str, Container], was: Served, but: str | None) -> None:
        """Who had a port, ran on and is where it was has it still. ``but``: one that was not left alone."""
        now, still = self.containers, self.served()
        for key, (container, address, port) in was.items():
            if container != but and container in now and before[container] == now[container]:
                assert (still.get(key) or still.get((*key[:2], None))) == (container, address, port), key

    async def check_others(self, foreign: frozenset[str]) -> None:
        """Nobody else's network was touched, and nobody was taken off one that a person put there."""
        assert foreign <= {n.id for n in await self.host.engine.networks()}
        for container, name in self.by_hand:
            there = await self.host.docker(name)
            assert there is not None
            assert container in {a.container_id for a in await self.host.engine.attachments(there.id)}

    async def check_settled(self, context: Context) -> None:
        """Nothing is left to do, and what is said keeps the rules of conditions."""
        stored, resource = context.inventory.get(NETWORK, OURS), context.inventory.networks()[OURS]
        assert stored is not None
        want = desired_network(resource, context)
        assert plan_network(want, await observe_network(want, stored, context), context.inventory.holdings).empty
        theirs = context.firewall.assignment.networks["all"]
        policy, seen = context.inventory.policies()["all"], await observe_host(context, applied=True)
        assert plan_policy(policy, seen, theirs, context.inventory.holdings).empty
        for kind, name in ((NETWORK, OURS), (POLICY, "all")):
            await self.host.conditions(name, kind)

    async def check_everybody(self) -> None:
        """Who asks and is not served is told of; members are attached."""
        served = {(key, container) for key, (container, _, _) in self.served().items()}
        told = [await self.host.condition(*each) for each in ((OURS, PUBLISHED, NETWORK), ("all", PUBLISHED, POLICY))]
        for container in self.containers.values():
            on = {end.network_name for end in container.endpoints}
            for binding in container.ports if on & {OURS, SHOP} else ():
                if binding.host_address == ANY_ADDRESS and not any(
                    ((binding.protocol, binding.host_port, None), container.id) == each for each in served
                ):
                    assert any(c is not None and c.status == "False" for c in told), (container, binding)
            if container.labels == STACK:
                assert OURS in on


async def lives(life: Life, steps: list[tuple[object, ...]], foreign: frozenset[str]) -> None:
    """Do one thing after the other, with one operator after the other."""
    host, todo = life.host, list(steps)
    while todo:
        async with host.running() as at_work:
            await at_work.let(15)
            while todo and (action := todo.pop(0)) != ("restart operator",):
                before, was = life.containers, life.served()
                if action == ("restart engine",):
                    host.engine.down()
                    await at_work.let(3)
                    host.engine.up()
                await life.do(action)
                await at_work.let(0)
                life.served()
                await at_work.let(15)
                life.check_kept(before, was, life.named(str(action[1])) if len(action) > 1 else None)
                await life.check_others(foreign)
                await life.check_settled(at_work.context)
                await life.check_everybody()
        ports, commits = host.ports(), host.firewall.commits
        async with host.running() as at_work:
            await at_work.let(15)
        assert (host.ports(), host.firewall.commits) == (ports, commits)


@settings(max_examples=60)
@given(
    st.lists(runs, min_size=2, max_size=4),
    st.lists(actions, min_size=2, max_size=10),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
@example(
    first=[("run", "app", (OURS,), [], {}), ("run", "web", (OURS,), ["8080:80"], {})],
    then=[("stop", "app"), ("start", "app"), ("restart operator",), ("stop", "web"), ("start", "web")],
    old=False,
    proxy=True,
    own=True,
)
def test_who_asks_is_served_and_nobody_else_is_touched(
    first: list[tuple[object, ...]],
    then: list[tuple[object, ...]],
    old: bool,  # noqa: FBT001
    proxy: bool,  # noqa: FBT001
    own: bool,  # noqa: FBT001
) -> None:
    async def run() -> None:
        host = Host(ENGINE_20_10 if old else ENGINE_28_5, userland_proxy=proxy, bridge_netfilter=True)
        foreign = [await host.create_foreign(SHOP, "fd99::/64"), await host.create_foreign(LEGACY, "fd98::/64")]
        publish = {"ports": OWN_PORTS if own else []}
        host.files.write(network(OURS, members={"matchLabels": STACK}, publish=publish))
        theirs = [{"port": 8080, "containers": {"name": "db"}}] if own else []
        host.files.write(policy(selector={"names": [SHOP]}, publish={"ports": theirs}))
        await lives(Life(host), [*first, *then], frozenset(foreign))

    asyncio.run(run())
