"""A host, its provider and its users: what happens to them, and what must hold at every moment."""

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
"""Networks, and the pools that they draw from: these give out the same addresses."""

INSIDE = "inside"
"""A network whose addresses stay: they are translated to the prefix, and answered for under it."""

FOLLOWING: dict[str, object] = {"fromInterface": {"name": "eth0"}}
TRANSLATED = {"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}}

SUFFIX = 2**64 - 1
ALLOWED = frozenset(
    {
        Reason.NOT_ON_LINK,
        Reason.NO_DEFAULT_ROUTE,
        Reason.POOL_EXHAUSTED,
        Reason.PREFIX_CONFLICT,
        Reason.PREFIX_TOO_LONG,
        Reason.PREFIX_WITHDRAWN,
        Reason.RECREATE_BLOCKED,
    }
)
"""What may be left to say when nothing is left to do."""

Incident = tuple[str, tuple[Any, ...], Mapping[str, Any]]
"""The name of a method of `Scenario` or of `Provider`, and its arguments."""


class Scenario:
    """A host, its provider and its people, and what must be so at every moment."""

    def __init__(self, strategies: tuple[str, ...], budget: int, profile: EngineVersion = ENGINE_28_5) -> None:
        self.host = Host(profile)
        self.provider = Provider(self.host)
        self.forbidden: tuple[IPv6Network, str] | None = None  # a prefix, and the container that is refused it; "": all
        self._guard()
        self.power = CrashInjector(self.host, self.look)
        self.budget = budget
        # by network and container
        self.expected: dict[str, dict[str, Attachment]] = {name: {} for name in (*NETWORKS, INSIDE)}
        self.unstable: set[str] = set()  # containers whose addresses the engine may have chosen anew
        self.inside = ""  # id of the Docker network that must not be touched
        self.wrong: list[object] = []
        self._serial = 0
        self._running: AbstractAsyncContextManager[RunningOperator] | None = None
        self.host.files.write(
            *(pool(name, **FOLLOWING, maxUnavailable=budget) for name in ("isp", "part")),
            network(INSIDE, egress=TRANSLATED, ndpProxy={"enabled": True}),
            *(
                network(name, updateStrategy=strategy, addressing={"poolRef": {"name": NETWORKS[name]}})
                for name, strategy in zip(NETWORKS, strategies, strict=True)
            ),
        )

    # What must be so

    def away(self) -> list[str]:
        """Networks that are missing, or miss a container."""
        return sorted(name for name in NETWORKS if not self.expected[name].keys() <= self._attached(name).keys())

    async def look(self) -> None:
        """At most so many networks of a pool are away, whoever makes them anew."""
        for of in set(NETWORKS.values()):
            theirs = [n for n in self.away() if NETWORKS[n] == of]
            if len(theirs) > self.budget:
                self.wrong.append((theirs, *self.power.log[-6:]))

    def _attached(self, name: str) -> dict[str, Attachment]:
        engine = self.host.engine
        there = engine.inspect_network(name)
        return {a.container_name: a for a in engine.list_attachments(there.id)} if there is not None else {}

    async def check_everybody_is_where_they_were(self) -> None:
        for name, expected in self.expected.items():
            there = await self.host.docker(name)
            assert there is not None, name
            subnet = subnet_of(there)
            attached = self._attached(name)
            assert attached.keys() == expected.keys(), (name, attached.keys(), expected.keys())
            for each, attachment in expected.items():
                now = attached[each]
                assert now.aliases == attachment.aliases
                assert now.static_ipv6 is None or now.static_ipv6 in subnet
                if attachment.static_ipv6 is not None:
                    assert _suffix(now.static_ipv6) == _suffix(attachment.static_ipv6)
                assert now.ipv6 is None or now.ipv6 in subnet
                if each not in self.unstable:
                    assert _suffix(now.ipv6) == _suffix(attachment.ipv6)

    async def check_nobody_touched_what_is_only_translated(self) -> None:
        there = await self.host.docker(INSIDE)
        assert there is not None
        assert there.id == self.inside
        tracked = await self.host.store.record("followed", "eth0")
        assert tracked is not None
        outer = replace_prefix(subnet_of(there), IPv6Network(str(tracked["prefix"])))
        assert outer is None or str(outer) in str(self.host.firewall.ruleset)

    async def check_nothing_overlaps(self) -> None:
        subnets = [c.subnet for n in await self.host.engine.networks() for c in n.ipv6]
        assert not any(one.overlaps(other) for i, one in enumerate(subnets) for other in subnets[i + 1 :])
        bound = {n: await self.host.bound(n) for n in NETWORKS}
        for name, allocation in bound.items():
            there = await self.host.docker(name)
            assert there is not None
            assert allocation is not None
            assert allocation.prefix == subnet_of(there)

    async def check_nothing_is_left_to_do(self) -> None:
        for plan in (await preview(self.host)).values():
            assert plan.empty, plan
            assert {f.reason for f in plan.findings} <= ALLOWED, plan.findings
        assert await self.host.store.records(RECREATIONS) == {}
        for name in NETWORKS:
            await self.host.conditions(name)

    # The operator

    async def begin(self) -> None:
        self._running = self.host.running()
        await self._running.__aenter__()

    async def end(self) -> None:
        assert self._running is not None
        await self._running.__aexit__(None, None, None)
        self.power.restore()

    async def let(self, seconds: float) -> None:
        """Let time pass, with what runs out in it."""
        end = self.host.clock.now() + seconds
        while (left := end - self.host.clock.now()) > 0:
            await self.host.clock.run_for(min(left, 30.0))
            self.host.net.expire()
        await self.host.clock.run_for(0)

    # People

    def run(self, name: str) -> None:
        """Two containers more, the second one with an address of its own."""
        there = self.host.engine.inspect_network(name)
        for static in (False, True) if there is not None else ():
            self._serial += 1
            here = f"{name}{self._serial}"
            address = subnet_of(there)[0x100 + self._serial] if static else None
            attachment = Attachment("", here, running=True, aliases=(f"also-{here}",), static_ipv6=address)
            self._disturb(name)
            self.host.engine.run_container(here, name, attachment)
            self.expected[name][here] = replace(attachment, ipv6=self._attached(name)[here].ipv6)

    def edit(self, spec: Mapping[str, object]) -> None:
        """Somebody has the pool give out other addresses."""
        self.host.files.write(pool("isp", **spec, maxUnavailable=self.budget))

    def stop(self, name: str) -> None:
        self._oldest(name, self.host.engine.stop_container)

    def start(self, name: str) -> None:
        self._oldest(name, self.host.engine.start_container)

    def remove(self, name: str) -> None:
        self._oldest(name, self.host.engine.remove_container)
        self.expected[name] = dict(list(self.expected[name].items())[1:])

    def _disturb(self, name: str) -> None:
        """Whoever comes while others are away may get their addresses from the engine."""
        if not self.expected[name].keys() <= self._attached(name).keys():
            self.unstable |= self.expected[name].keys()

    def _oldest(self, name: str, act: Callable[[str], None]) -> None:
        """Do that to the oldest container of those that belong on the network; the engine may say no."""
        ids = self.host.engine.container_ids()
        self._disturb(name)
        for here in list(self.expected[name])[:1]:
            self.unstable.add(here)
            with suppress(EngineError):
                act(ids[here])

    # What goes wrong

    def refuse(self, method: str) -> None:
        """The engine refuses the next call."""
        self.host.engine.fail_next(method, EngineConflict("no"))

    def lose(self, method: str, *, after: bool) -> None:
        """The next request, or its response, is lost."""
        self.host.engine.fail_next(method, EngineUnavailable("no answer"), after=after)

    def down(self) -> None:
        self.host.engine.down()

    def up(self) -> None:
        self.host.engine.up()

    def _guard(self) -> None:
        """Have the engine refuse what is forbidden, each time."""
        engine = self.host.engine
        create, connect = engine.create_network, engine.connect

        async def creating(spec: NetworkSpec) -> str:
            if self.forbidden is not None and not self.forbidden[1] and self._forbidden(spec.ipam):
                raise EngineConflict("never")
            return await create(spec)

        async def connecting(network_id: str, attachment: Attachment) -> None:
            there = engine.inspect_network(network_id)
            who = attachment.container_name
            if self.forbidden is not None and self.forbidden[1] == who and there and self._forbidden(there.ipam):
                raise EngineConflict("never")
            await connect(network_id, attachment)

        setattr(engine, "create_network", creating)  # noqa: B010 - mypy takes a method for a constant
        setattr(engine, "connect", connecting)  # noqa: B010 - likewise

    def _forbidden(self, ipam: tuple[SubnetConfig, ...]) -> bool:
        subnets = (c.subnet for c in ipam if isinstance(c.subnet, IPv6Network))
        return self.forbidden is not None and any(subnet.subnet_of(self.forbidden[0]) for subnet in subnets)

    def kill(self, effects: int, *, after: bool) -> None:
        """The operator ends at its effect of that number from now on."""
        self.power.cut(effects, after=after)

    def happen(self, happening: Incident) -> None:
        what, how, named = happening
        getattr(self if hasattr(self, what) else self.provider, what)(*how, **named)


def _suffix(address: IPv6Address | None) -> int | None:
    return int(address) & SUFFIX if address is not None else None


def subnet_of(of: Network | None) -> IPv6Network:
    assert of is not None
    return next(c.subnet for c in of.ipv6 if isinstance(c.subnet, IPv6Network))
