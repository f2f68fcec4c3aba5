"""Scenarios of renumbering: a simulated host, incidents that happen to it, and invariants."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from dockerv6.api.conditions import Reason
from dockerv6.controller.recreations import RECREATIONS
from dockerv6.dockerd.model import Attachment, Network, NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import EngineConflict, EngineError, EngineUnavailable
from dockerv6.planning.addressing.tracked_prefixes import replace_prefix
from tests.fakes.dockerd.versions import ENGINE_28_5, EngineVersion
from tests.simulation.crashes import CrashInjector
from tests.simulation.preview import preview
from tests.simulation.provider import Provider
from tests.simulation.resources import network, pool
from tests.world import Host, RunningOperator

NETWORKS = {"a": "isp", "b": "isp", "c": "isp", "d": "part"}
"""Networks and their pools. Both pools have the same prefix."""

TRANSLATED_NETWORK = "inside"
"""A network with PrefixTranslation and NDP proxy: its own subnet never changes."""

FOLLOWING: dict[str, object] = {"fromInterface": {"name": "eth0"}}
TRANSLATION = {"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}}

SUFFIX = 2**64 - 1
EXPECTED_REASONS = frozenset(
    {
        Reason.NOT_ON_LINK,
        Reason.NO_DEFAULT_ROUTE,
        Reason.POOL_EXHAUSTED,
        Reason.PREFIX_CONFLICT,
        Reason.PREFIX_TOO_LONG,
        Reason.PREFIX_WITHDRAWN,
        Reason.RECREATE_BLOCKED,
        Reason.SUBNET_OVERLAP,  # in a small prefix, a subnet meets the external prefix of a network that has it
    }
)
"""Findings that a plan without steps may contain at the end of a scenario."""

Incident = tuple[str, tuple[Any, ...], Mapping[str, Any]]
"""The name of a method of `Scenario` or of `Provider`, and its arguments."""


class Scenario:
    """A host, its provider and its users, with the invariants of renumbering."""

    def __init__(self, strategies: tuple[str, ...], budget: int, profile: EngineVersion = ENGINE_28_5) -> None:
        """``strategies``: the update strategies of `NETWORKS`; ``budget``: `maxUnavailable` of the pools."""
        self.host = Host(profile)
        self.provider = Provider(self.host)
        self.refused: tuple[IPv6Network, str] | None = None  # a prefix and a container, or "": networks with the prefix
        self._install_refusal()
        self.crashes = CrashInjector(self.host, self.check_budget)
        self.budget = budget
        # by network and container
        self.expected: dict[str, dict[str, Attachment]] = {name: {} for name in (*NETWORKS, TRANSLATED_NETWORK)}
        self.readdressed: set[str] = set()  # containers that may have got another address from the engine
        self.translated_id = ""  # id of the translated Docker network, which is never recreated
        self.violations: list[object] = []
        self._serial = 0
        self._operator: AbstractAsyncContextManager[RunningOperator] | None = None
        self.host.files.write(
            *(pool(name, **FOLLOWING, maxUnavailable=budget) for name in ("isp", "part")),
            network(TRANSLATED_NETWORK, egress=TRANSLATION, ndpProxy={"enabled": True}),
            *(
                network(name, updateStrategy=strategy, addressing={"poolRef": {"name": NETWORKS[name]}})
                for name, strategy in zip(NETWORKS, strategies, strict=True)
            ),
        )

    # Invariants

    def unavailable(self) -> list[str]:
        """Networks that do not exist, or lack a container."""
        return sorted(name for name in NETWORKS if not self.expected[name].keys() <= self._attached(name).keys())

    async def check_budget(self) -> None:
        """Record a violation if more than `maxUnavailable` networks of a pool are unavailable."""
        for each in set(NETWORKS.values()):
            unavailable = [name for name in self.unavailable() if NETWORKS[name] == each]
            if len(unavailable) > self.budget:
                self.violations.append((unavailable, *self.crashes.log[-6:]))

    def _attached(self, name: str) -> dict[str, Attachment]:
        engine = self.host.engine
        live = engine.inspect_network(name)
        return {a.container_name: a for a in engine.list_attachments(live.id)} if live is not None else {}

    async def check_attachments_are_restored(self) -> None:
        for name, expected in self.expected.items():
            live = await self.host.docker(name)
            assert live is not None, name
            subnet = subnet_of(live)
            attached = self._attached(name)
            assert attached.keys() == expected.keys(), (name, attached.keys(), expected.keys())
            for container, before in expected.items():
                now = attached[container]
                assert now.aliases == before.aliases
                assert now.static_ipv6 is None or now.static_ipv6 in subnet
                if before.static_ipv6 is not None:
                    assert _suffix(now.static_ipv6) == _suffix(before.static_ipv6)
                assert now.ipv6 is None or now.ipv6 in subnet
                if container not in self.readdressed:
                    assert _suffix(now.ipv6) == _suffix(before.ipv6)

    async def check_translated_network_is_kept(self) -> None:
        live = await self.host.docker(TRANSLATED_NETWORK)
        assert live is not None
        assert live.id == self.translated_id
        tracked = await self.host.store.record("followed", "eth0")
        assert tracked is not None
        external = replace_prefix(subnet_of(live), IPv6Network(str(tracked["prefix"])))
        assert external is None or str(external) in str(self.host.firewall.ruleset)

    async def check_no_subnets_overlap(self) -> None:
        subnets = [c.subnet for n in await self.host.engine.networks() for c in n.ipv6]
        assert not any(one.overlaps(other) for i, one in enumerate(subnets) for other in subnets[i + 1 :])
        bound = {n: await self.host.bound(n) for n in NETWORKS}
        for name, allocation in bound.items():
            live = await self.host.docker(name)
            assert live is not None
            assert allocation is not None
            assert allocation.prefix == subnet_of(live)

    async def check_plans_are_empty(self) -> None:
        for plan in (await preview(self.host)).values():
            assert plan.empty, plan
            assert {f.reason for f in plan.findings} <= EXPECTED_REASONS, plan.findings
        assert await self.host.store.records(RECREATIONS) == {}
        for name in NETWORKS:
            await self.host.conditions(name)

    # The operator

    async def start_operator(self) -> None:
        self._operator = self.host.running()
        await self._operator.__aenter__()

    async def stop_operator(self) -> None:
        assert self._operator is not None
        await self._operator.__aexit__(None, None, None)
        self.crashes.reset()

    async def run_for(self, seconds: float) -> None:
        """Let time pass, and lifetimes of prefixes expire."""
        end = self.host.clock.now() + seconds
        while (left := end - self.host.clock.now()) > 0:
            await self.host.clock.run_for(min(left, 30.0))
            self.host.net.expire()
        await self.host.clock.run_for(0)

    def apply(self, incident: Incident) -> None:
        method, arguments, keywords = incident
        getattr(self if hasattr(self, method) else self.provider, method)(*arguments, **keywords)

    # Changes by users

    def run_containers(self, name: str) -> None:
        """Run two more containers on the network, the second one with a static address."""
        live = self.host.engine.inspect_network(name)
        for static in (False, True) if live is not None else ():
            self._serial += 1
            container = f"{name}{self._serial}"
            address = subnet_of(live)[0x100 + self._serial] if static else None
            attachment = Attachment("", container, running=True, aliases=(f"also-{container}",), static_ipv6=address)
            self._note_readdressing(name)
            self.host.engine.run_container(container, name, attachment)
            self.expected[name][container] = replace(attachment, ipv6=self._attached(name)[container].ipv6)

    def edit_pool(self, spec: Mapping[str, object]) -> None:
        """Change the prefix of the pool that most networks use."""
        self.host.files.write(pool("isp", **spec, maxUnavailable=self.budget))

    def stop(self, name: str) -> None:
        self._change_oldest(name, self.host.engine.stop_container)

    def start(self, name: str) -> None:
        self._change_oldest(name, self.host.engine.start_container)

    def remove(self, name: str) -> None:
        self._change_oldest(name, self.host.engine.remove_container)
        self.expected[name] = dict(list(self.expected[name].items())[1:])

    def _note_readdressing(self, name: str) -> None:
        """A container that joins while others are detached may take their dynamic addresses."""
        if not self.expected[name].keys() <= self._attached(name).keys():
            self.readdressed |= self.expected[name].keys()

    def _change_oldest(self, name: str, change: Callable[[str], None]) -> None:
        """Change the oldest container of the network; the engine may refuse."""
        ids = self.host.engine.container_ids()
        self._note_readdressing(name)
        for container in list(self.expected[name])[:1]:
            self.readdressed.add(container)
            with suppress(EngineError):
                change(ids[container])

    # Faults

    def refuse_next(self, method: str) -> None:
        """The engine refuses the next call."""
        self.host.engine.fail_next(method, EngineConflict("no"))

    def lose_next(self, method: str, *, after: bool) -> None:
        """The next request to the engine is lost; ``after``: its response is lost."""
        self.host.engine.fail_next(method, EngineUnavailable("no answer"), after=after)

    def stop_engine(self) -> None:
        self.host.engine.down()

    def start_engine(self) -> None:
        self.host.engine.up()

    def crash_operator(self, effects: int, *, after: bool) -> None:
        """The operator crashes at its n-th side effect from now on."""
        self.crashes.schedule(effects, after=after)

    def _install_refusal(self) -> None:
        """Make the engine refuse every call that `refused` describes."""
        engine = self.host.engine
        create, connect = engine.create_network, engine.connect

        async def create_network(spec: NetworkSpec) -> str:
            if self.refused is not None and not self.refused[1] and self._is_refused(spec.ipam):
                raise EngineConflict("never")
            return await create(spec)

        async def connect_container(network_id: str, attachment: Attachment) -> None:
            live = engine.inspect_network(network_id)
            container = attachment.container_name
            if self.refused is not None and self.refused[1] == container and live and self._is_refused(live.ipam):
                raise EngineConflict("never")
            await connect(network_id, attachment)

        setattr(engine, "create_network", create_network)  # noqa: B010 - mypy refuses to assign to a method
        setattr(engine, "connect", connect_container)  # noqa: B010 - likewise

    def _is_refused(self, ipam: tuple[SubnetConfig, ...]) -> bool:
        subnets = (c.subnet for c in ipam if isinstance(c.subnet, IPv6Network))
        return self.refused is not None and any(subnet.subnet_of(self.refused[0]) for subnet in subnets)


def _suffix(address: IPv6Address | None) -> int | None:
    return int(address) & SUFFIX if address is not None else None


def subnet_of(network: Network | None) -> IPv6Network:
    assert network is not None
    return next(c.subnet for c in network.ipv6 if isinstance(c.subnet, IPv6Network))
