"""A model of a host whose pools change their prefixes: engine, ledger and records as values.

The model executes plans step by step. It refuses what an engine refuses: overlapping networks, removal of networks in
use, addresses in use. The operator may crash before any step, and the engine may refuse any new network.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, IPv6Network
from typing import TypeVar

from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.pool import IPv6Pool
from dockerv6.dockerd.model import Attachment, Network
from dockerv6.ipam.memory import MemoryLedger
from dockerv6.planning import steps as s
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix
from dockerv6.planning.docker.network_spec import own_network
from dockerv6.planning.docker.recreation import PreviousNetwork, plan_rollback
from dockerv6.planning.inputs import NAME_LABEL, SPEC_HASH, Desired, Holdings, NetworkIndex, Observed, RulesView
from dockerv6.planning.network import plan_network
from dockerv6.planning.plan import Plan
from tests.unit.planning.scene import ENGINE_28, IDENTITY, NOW, bridge, created, host

T = TypeVar("T")

NEVER: Callable[[], bool] = lambda: False  # noqa: E731 - the default of two fields


class Crash(Exception):  # noqa: N818 - an event, not an error
    """The operator crashes before a step."""


class Refused(Exception):  # noqa: N818 - the engine's answer
    """The engine refuses to create the network."""


@dataclass
class RenumberingModel:
    """The state of the host, and the state in the operator's memory."""

    resources: Mapping[str, NetworkResource]
    pools: dict[str, IPv6Pool]
    foreign: tuple[Network, ...] = ()
    tracked: dict[str, TrackedPrefix] = field(default_factory=dict)
    crashes: Callable[[], bool] = NEVER
    refuses: Callable[[], bool] = NEVER
    now: float = NOW
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    networks: dict[str, Network] = field(default_factory=dict)  # by id
    attached: dict[str, dict[str, Attachment]] = field(default_factory=dict)  # network id -> container id
    detached: dict[str, dict[str, Attachment]] = field(default_factory=dict)  # resource -> containers to attach again
    previous: dict[str, PreviousNetwork] = field(default_factory=dict)
    in_flight: dict[str, str] = field(default_factory=dict)  # resource -> pool
    refused: dict[str, str] = field(default_factory=dict)  # in memory only
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 10_000)))
    most_unavailable: dict[str, int] = field(default_factory=dict)  # by pool, the maximum so far

    def plan(self, name: str) -> Plan:
        return plan_network(self.desired(name), self.observed(name), self.holdings)

    def reconcile(self, name: str) -> None:
        """Plan and execute; roll back if the engine refuses."""
        found = self.plan(name)
        if any(isinstance(step, s.RememberNetwork) for step in found.steps):
            self.in_flight[name] = self.resources[name].spec.addressing.pool or ""
        try:
            self._execute(name, found)
        except Refused:
            self._rollback(name, found)
            return
        if not self.plan(name).steps:
            self._complete(name)

    def restart(self) -> None:
        """Start the operator again with its records."""
        self.refused.clear()
        self.in_flight = {name: previous.pool for name, previous in self.previous.items()}

    def bind(self, name: str, pool: str, prefix: IPv6Network) -> None:
        """Allocate the subnet to the network."""
        _result(self.ledger.bind(name, pool, prefix, self.now, revision=None))

    def live(self, name: str) -> Network | None:
        return own_network(self.desired(name), self.observed(name))

    def desired(self, name: str) -> Desired:
        return Desired(self.resources[name], self.pools, IDENTITY)

    def observed(self, name: str) -> Observed:
        live = (*self.networks.values(), *self.foreign)
        own = next((n for n in self.networks.values() if n.labels.get(NAME_LABEL) == name), None)
        attached = self.attached[own.id] if own is not None else {}
        pool = self.resources[name].spec.addressing.pool
        return Observed(
            now=self.now,
            engine=ENGINE_28,
            networks=NetworkIndex(live),
            attachments=tuple(attached.values()),
            remembered=tuple(a for a in self.detached.get(name, {}).values() if a.container_id not in attached),
            applied=True,
            host=host(*(bridge(n) for n in live)),
            rules=RulesView(),
            in_flight=tuple(sorted(each for each, of in self.in_flight.items() if of == pool and each != name)),
            refused=self.refused.get(name, ""),
            refusal="the engine refused it",
        )

    @property
    def holdings(self) -> Holdings:
        kept = {each.pool: each.prefix for each in _result(self.ledger.pool_prefixes())}
        return Holdings(_result(self.ledger.allocations()), kept, self.tracked)

    def _complete(self, name: str) -> None:
        self.in_flight.pop(name, None)
        self.previous.pop(name, None)

    def _rollback(self, name: str, refused: Plan) -> None:
        previous = self.previous.get(name)
        (wanted,) = (step.spec for step in refused.steps if isinstance(step, s.CreateNetwork))
        if previous is None:
            return
        self.refused[name] = wanted.labels[SPEC_HASH]
        back = plan_rollback(self.desired(name), self.observed(name), self.holdings, previous)
        self._execute(name, back, may_refuse=False)
        self._complete(name)

    def _execute(self, name: str, of: Plan, *, may_refuse: bool = True) -> None:
        for step in of.steps:
            if self.crashes():
                raise Crash
            if isinstance(step, s.CreateNetwork) and may_refuse and name in self.previous and self.refuses():
                raise Refused
            self._execute_step(name, step)

    def _execute_step(self, name: str, step: s.Step) -> None:
        match step:
            case s.KeepPoolPrefix() | s.BindSubnet() | s.ForgetSubnet():
                self._write_ledger(step)
            case s.RememberNetwork() | s.RememberEndpoints():
                self._write_records(step)
            case s.UpdateFirewall():
                pass
            case _:
                self._change_engine(name, step)

    def _write_ledger(self, step: s.KeepPoolPrefix | s.BindSubnet | s.ForgetSubnet) -> None:
        match step:
            case s.KeepPoolPrefix(pool, prefix):
                assert _result(self.ledger.keep_pool_prefix(pool, prefix)).prefix == prefix
            case s.BindSubnet(owner, pool, prefix, seen):
                _result(self.ledger.bind(owner, pool, prefix, self.now, revision=seen))
            case s.ForgetSubnet(allocation):
                _result(self.ledger.forget(allocation))

    def _write_records(self, step: s.RememberNetwork | s.RememberEndpoints) -> None:
        match step:
            case s.RememberNetwork(owner, previous, subnet, pool):
                self.previous.setdefault(owner, PreviousNetwork(previous, subnet, pool))
                self.in_flight[owner] = pool
                away = sum(1 for each in self.previous.values() if each.pool == pool)
                self.most_unavailable[pool] = max(away, self.most_unavailable.get(pool, 0))
            case s.RememberEndpoints(owner, _, endpoints):
                self.detached.setdefault(owner, {}).update({e.container_id: e for e in endpoints})

    def _change_engine(self, name: str, step: s.Step) -> None:
        match step:
            case s.DetachEndpoint(network_id, endpoint):
                del self.attached[network_id][endpoint.container_id]
            case s.RemoveNetwork(network_id):
                assert not self.attached[network_id], "it is in use"
                del self.networks[network_id], self.attached[network_id]
            case s.CreateNetwork(spec):
                made = created(spec, next(self.numbers))
                for config in made.ipam:
                    for other in (*self.networks.values(), *self.foreign):
                        assert not any(_overlap(config.subnet, c.subnet) for c in other.ipam), (made, other)
                self.networks[made.id], self.attached[made.id] = made, {}
            case s.AttachEndpoint(network, endpoint):
                self.attach(name, network, endpoint)
            case _:
                raise AssertionError(step)

    def attach(self, name: str, network: str, endpoint: Attachment) -> None:
        """Attach a container as an engine does: with its static address, else with the lowest free address."""
        (live,) = (n for n in self.networks.values() if n.name == network)
        (config,) = live.ipv6
        assert isinstance(config.subnet, IPv6Network)
        assert isinstance(config.gateway, IPv6Address)
        used = {a.ipv6 for a in self.attached[live.id].values()} | {config.gateway, config.subnet[0]}
        address_ = endpoint.static_ipv6
        if address_ is None:
            address_ = next(address for number in range(1, 100) if (address := config.subnet[number]) not in used)
        assert address_ in config.subnet
        assert address_ not in used
        assert endpoint.container_id not in self.attached[live.id]
        self.attached[live.id][endpoint.container_id] = replace(endpoint, ipv6=address_)
        self.detached.get(name, {}).pop(endpoint.container_id, None)


def _overlap(one: object, other: object) -> bool:
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.overlaps(other)


def _result(of: Coroutine[None, None, T]) -> T:
    """Return the result of a coroutine that never waits."""
    try:
        of.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise asyncio.InvalidStateError("the coroutine waits")
