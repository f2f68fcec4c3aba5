"""A host on which pools change their prefixes: engine, ledger and notes as values, steps carried out one by one.

What an engine refuses is refused here too: overlapping networks, networks that are still in use, addresses that are
taken. A plan may be cut off after any step, and an engine may refuse any new network.
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
from dockerv6.planning.inputs import SPEC_HASH, Desired, Holdings, NetworkIndex, Observed, RulesView
from dockerv6.planning.network import plan_network
from dockerv6.planning.plan import Plan
from tests.unit.planning.scene import ENGINE_28, IDENTITY, NOW, bridge, created, host

T = TypeVar("T")

NEVER: Callable[[], bool] = lambda: False  # noqa: E731 - the default of two fields


class Crash(Exception):  # noqa: N818 - no error, an event
    """The operator ends here, whatever it was about to do."""


class Refused(Exception):  # noqa: N818 - the engine's answer
    """The engine does not make this network."""


@dataclass
class RenumberingModel:
    """All that survives the operator, and what it knows in memory."""

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
    notes: dict[str, dict[str, Attachment]] = field(default_factory=dict)  # resource -> who is to be attached again
    previous: dict[str, PreviousNetwork] = field(default_factory=dict)
    transit: dict[str, str] = field(default_factory=dict)  # who is on the way, and the pool
    refused: dict[str, str] = field(default_factory=dict)  # in memory only
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 10_000)))
    most_away: dict[str, int] = field(default_factory=dict)  # by pool, at any time

    def plan(self, name: str) -> Plan:
        return plan_network(self.desired(name), self.observed(name), self.holdings)

    def reconcile(self, name: str) -> None:
        """One look at a resource: plan, carry out, say that it arrived; or go back."""
        found = self.plan(name)
        if any(isinstance(step, s.RememberNetwork) for step in found.steps):
            self.transit[name] = self.resources[name].spec.addressing.pool or ""
        try:
            self._carry_out(name, found)
        except Refused:
            self._roll_back(name, found)
            return
        if not self.plan(name).steps:
            self._arrived(name)

    def restart(self) -> None:
        """The operator begins again with what it wrote down."""
        self.refused.clear()
        self.transit = {name: previous.pool for name, previous in self.previous.items()}

    def bind(self, name: str, pool: str, prefix: IPv6Network) -> None:
        """As if it had been given that subnet long ago."""
        _now(self.ledger.bind(name, pool, prefix, self.now, revision=None))

    def live(self, name: str) -> Network | None:
        return own_network(self.desired(name), self.observed(name))

    def desired(self, name: str) -> Desired:
        return Desired(self.resources[name], self.pools, IDENTITY)

    def observed(self, name: str) -> Observed:
        there = (*self.networks.values(), *self.foreign)
        mine = next((n for n in self.networks.values() if IDENTITY.owns(n, name)), None)
        attached = self.attached[mine.id] if mine is not None else {}
        pool = self.resources[name].spec.addressing.pool
        return Observed(
            now=self.now,
            engine=ENGINE_28,
            networks=NetworkIndex(there),
            attachments=tuple(attached.values()),
            remembered=tuple(a for a in self.notes.get(name, {}).values() if a.container_id not in attached),
            applied=True,
            host=host(*(bridge(n) for n in there)),
            rules=RulesView(),
            in_flight=tuple(sorted(each for each, of in self.transit.items() if of == pool and each != name)),
            refused=self.refused.get(name, ""),
            refusal="the engine refused it",
        )

    @property
    def holdings(self) -> Holdings:
        kept = {each.pool: each.prefix for each in _now(self.ledger.pool_prefixes())}
        return Holdings(_now(self.ledger.allocations()), kept, self.tracked)

    def _arrived(self, name: str) -> None:
        self.transit.pop(name, None)
        self.previous.pop(name, None)

    def _roll_back(self, name: str, refused: Plan) -> None:
        previous = self.previous.get(name)
        (wanted,) = (step.spec for step in refused.steps if isinstance(step, s.CreateNetwork))
        if previous is None:
            return
        self.refused[name] = wanted.labels[SPEC_HASH]
        back = plan_rollback(self.desired(name), self.observed(name), self.holdings, previous)
        self._carry_out(name, back, refusing=False)
        self._arrived(name)

    def _carry_out(self, name: str, of: Plan, *, refusing: bool = True) -> None:
        for step in of.steps:
            if self.crashes():
                raise Crash
            if isinstance(step, s.CreateNetwork) and refusing and name in self.previous and self.refuses():
                raise Refused
            self._do(name, step)

    def _do(self, name: str, step: s.Step) -> None:
        match step:
            case s.KeepPoolPrefix() | s.BindSubnet() | s.ForgetSubnet():
                self._write_ledger(step)
            case s.RememberNetwork() | s.RememberEndpoints():
                self._write_down(step)
            case s.UpdateFirewall():
                pass
            case _:
                self._tell_engine(name, step)

    def _write_ledger(self, step: s.KeepPoolPrefix | s.BindSubnet | s.ForgetSubnet) -> None:
        match step:
            case s.KeepPoolPrefix(pool, prefix):
                assert _now(self.ledger.keep_pool_prefix(pool, prefix)).prefix == prefix
            case s.BindSubnet(owner, pool, prefix, seen):
                _now(self.ledger.bind(owner, pool, prefix, self.now, revision=seen))
            case s.ForgetSubnet(allocation):
                _now(self.ledger.forget(allocation))

    def _write_down(self, step: s.RememberNetwork | s.RememberEndpoints) -> None:
        match step:
            case s.RememberNetwork(owner, previous, subnet, pool):
                self.previous.setdefault(owner, PreviousNetwork(previous, subnet, pool))
                self.transit[owner] = pool
                away = sum(1 for each in self.previous.values() if each.pool == pool)
                self.most_away[pool] = max(away, self.most_away.get(pool, 0))
            case s.RememberEndpoints(owner, _, endpoints):
                self.notes.setdefault(owner, {}).update({e.container_id: e for e in endpoints})

    def _tell_engine(self, name: str, step: s.Step) -> None:
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
        """As engines do: an address of its own where it is asked for, else the lowest that is free."""
        (there,) = (n for n in self.networks.values() if n.name == network)
        (config,) = there.ipv6
        assert isinstance(config.subnet, IPv6Network)
        assert isinstance(config.gateway, IPv6Address)
        taken = {a.ipv6 for a in self.attached[there.id].values()} | {config.gateway, config.subnet[0]}
        given = endpoint.static_ipv6
        if given is None:
            given = next(address for number in range(1, 100) if (address := config.subnet[number]) not in taken)
        assert given in config.subnet
        assert given not in taken
        assert endpoint.container_id not in self.attached[there.id]
        self.attached[there.id][endpoint.container_id] = replace(endpoint, ipv6=given)
        self.notes.get(name, {}).pop(endpoint.container_id, None)


def _overlap(one: object, other: object) -> bool:
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.overlaps(other)


def _now(of: Coroutine[None, None, T]) -> T:
    """What is in memory is there at once."""
    try:
        of.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise asyncio.InvalidStateError("it waits for something")
