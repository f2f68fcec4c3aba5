"""Random scenarios of containers and sockets: ports are published, foreign networks are not changed."""

import asyncio
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from hypothesis import example, given
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
from tests.property.examples import examples
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
    st.tuples(st.sampled_from(["listen", "stop listening"]), st.sampled_from(SOCKETS)),
    st.tuples(st.sampled_from(["flush", "restart operator", "restart engine"])),
)
PublishedPorts = dict[PortKey, tuple[str, IPv6Address, int]]
"""The destination of each port of the host: container, its address, its port."""


@dataclass
class ContainerScenario:
    """A host, and what users did to it."""

    host: Host
    user_attachments: set[tuple[str, str]] = field(
        default_factory=set
    )  # pairs of container and network that a user attached
    sockets: set[Listener] = field(default_factory=set)

    @property
    def containers(self) -> dict[str, Container]:
        return {c.id: c for c in self.host.engine.list_containers()}

    def named(self, name: str) -> str | None:
        """The id of a container, running or not."""
        return next((i for n, i in self.host.engine.container_ids().items() if n.rstrip("'") == name), None)

    async def apply(self, action: tuple[object, ...]) -> None:
        """Apply an action of a user. The engine may refuse it."""
        try:
            await self._apply(*action)
        except EngineApiError:
            return

    async def _apply(self, action: object, *rest: object) -> None:
        engine = self.host.engine
        match action, rest:
            case "run", (str(name), tuple(networks), list(ports), dict(labels)):
                if self.named(name) is None:
                    container = engine.create_container(name, networks, labels=labels, ports=ports)
                    self.user_attachments |= {(container, each) for each in networks}
                    engine.start_container(container)
            case "listen", (Listener() as socket,) if socket not in await self.host.net.listeners():
                self.host.net.listen(socket)
                self.sockets.add(socket)
            case "stop listening", (Listener() as socket,) if socket in self.sockets:
                self.host.net.stop_listening(socket)
                self.sockets.discard(socket)
            case "flush", _:
                self.host.flush_rules()
            case _, (str(name), *more) if (found := self.named(name)) is not None:
                await self._change_container(found, str(action), *map(str, more))

    async def _change_container(self, container: str, action: str, network: str = "") -> None:
        engine = self.host.engine
        match action:
            case "stop":
                engine.stop_container(container)
            case "start":
                engine.start_container(container)
            case "restart":
                engine.restart_container(container)
            case "remove":
                engine.remove_container(container)
                self.user_attachments = {(c, n) for c, n in self.user_attachments if c != container}
            case "rename":
                name = next(n for n, i in engine.container_ids().items() if i == container)
                engine.rename_container(container, name.rstrip("'") if name.endswith("'") else f"{name}'")
            case "connect":
                live = await self.host.docker(network)
                if live is not None and container not in {a.container_id for a in await engine.attachments(live.id)}:
                    await engine.connect(live.id, Attachment(container, "", running=True))
                    self.user_attachments.add((container, network))
            case "disconnect":
                live = await self.host.docker(network)
                if live is not None:
                    await engine.disconnect(live.id, container)
                    self.user_attachments.discard((container, network))

    def published(self) -> PublishedPorts:
        """The published ports. Each leads to a running container on a network of the resource or of the policy."""
        on = {
            end.ipv6: (c.id, end.network_name)
            for c in self.containers.values()
            for end in c.endpoints
            if end.ipv6 is not None
        }
        found: PublishedPorts = {}
        for key, (address, port) in published_ports(self.host.firewall.ruleset).items():
            assert address in on, f"{key} leads to {address}, which no container has"
            container, network_name = on[address]
            assert network_name in (OURS, SHOP), f"{key} leads to network {network_name}"
            found[key] = (container, address, port)
        for protocol, port, at in found:
            assert at is None or (protocol, port, None) not in found, "a packet matches two ports"
        return found

    def check_ports_are_kept(
        self,
        before: dict[str, Container],
        published_before: PublishedPorts,
        changed: str | None,
        new_listeners: frozenset[Listener],
    ) -> None:
        """Containers that did not change keep their ports, unless a process of the host began to listen on one.

        Args:
            changed: the container of the last action.
            new_listeners: sockets of the host, and of the engine's proxy, that the last action opened.
        """
        now, now_published = self.containers, self.published()
        taken = {(socket.protocol, socket.port) for socket in new_listeners}
        for key, (container, address, port) in published_before.items():
            if key[:2] not in taken and container != changed and before[container] == now.get(container):
                assert (now_published.get(key) or now_published.get((*key[:2], None))) == (container, address, port), (
                    key
                )

    async def check_foreign(self, foreign: frozenset[str]) -> None:
        """Foreign networks exist, and no container was detached from a network that a user attached it to."""
        assert foreign <= {n.id for n in await self.host.engine.networks()}
        for container, name in self.user_attachments:
            live = await self.host.docker(name)
            assert live is not None
            assert container in {a.container_id for a in await self.host.engine.attachments(live.id)}

    async def check_converged(self, context: Context) -> None:
        """All plans are empty, and the conditions are valid."""
        stored, resource = context.inventory.get(NETWORK, OURS), context.inventory.networks()[OURS]
        assert stored is not None
        desired = desired_network(resource, context)
        assert plan_network(desired, await observe_network(desired, stored, context), context.inventory.holdings).empty
        policy_networks = context.firewall.assignment.networks["all"]
        policy, seen = context.inventory.policies()["all"], await observe_host(context, applied=True)
        assert plan_policy(policy, seen, policy_networks, context.inventory.holdings).empty
        for kind, name in ((NETWORK, OURS), (POLICY, "all")):
            await self.host.conditions(name, kind)

    async def check_claims(self) -> None:
        """A port that is not published is reported in a condition. Members are attached."""
        published = {(key, container) for key, (container, _, _) in self.published().items()}
        conditions = [
            await self.host.condition(*each) for each in ((OURS, PUBLISHED, NETWORK), ("all", PUBLISHED, POLICY))
        ]
        for container in self.containers.values():
            on = {end.network_name for end in container.endpoints}
            for binding in container.ports if on & {OURS, SHOP} else ():
                if binding.host_address == ANY_ADDRESS and not any(
                    ((binding.protocol, binding.host_port, None), container.id) == each for each in published
                ):
                    assert any(c is not None and c.status == "False" for c in conditions), (container, binding)
            if container.labels == STACK:
                assert OURS in on


async def run_scenario(scenario: ContainerScenario, steps: list[tuple[object, ...]], foreign: frozenset[str]) -> None:
    """Apply the actions in order, and check the host after each. "restart operator" starts another operator."""
    host, remaining = scenario.host, list(steps)
    while remaining:
        async with host.running() as running:
            await running.let(15)
            while remaining and (action := remaining.pop(0)) != ("restart operator",):
                before, published_before = scenario.containers, scenario.published()
                listeners_before = await host.net.listeners()
                if action == ("restart engine",):
                    host.engine.down()
                    await running.let(3)
                    host.engine.up()
                await scenario.apply(action)
                await running.let(0)
                scenario.published()
                await running.let(15)
                scenario.check_ports_are_kept(
                    before,
                    published_before,
                    scenario.named(str(action[1])) if len(action) > 1 else None,
                    await host.net.listeners() - listeners_before,
                )
                await scenario.check_foreign(foreign)
                await scenario.check_converged(running.context)
                await scenario.check_claims()
        ports, commits = host.ports(), host.firewall.commits
        async with host.running() as running:
            await running.let(15)
        assert (host.ports(), host.firewall.commits) == (ports, commits)


@examples(30)
@given(
    st.lists(runs, min_size=2, max_size=4),
    st.lists(actions, min_size=2, max_size=10),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
@example(
    first=[("run", "app", (OURS,), [], STACK), ("run", "web", (OURS,), [], {})],
    then=[("listen", SOCKETS[0]), ("stop listening", SOCKETS[0])],
    old=False,
    proxy=False,
    own=True,
)
@example(
    first=[("run", "app", (OURS,), [], {}), ("run", "web", (OURS,), ["8080:80"], {})],
    then=[("stop", "app"), ("start", "app"), ("restart operator",), ("stop", "web"), ("start", "web")],
    old=False,
    proxy=True,
    own=True,
)
def test_ports_are_published_and_foreign_networks_are_not_changed(
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
        policy_ports = [{"port": 8080, "containers": {"name": "db"}}] if own else []
        host.files.write(policy(selector={"names": [SHOP]}, publish={"ports": policy_ports}))
        await run_scenario(ContainerScenario(host), [*first, *then], frozenset(foreign))

    asyncio.run(run())
