"""Follows a flow through all base chains of the host, in the kernel's order. Pure.

A match that can't be decided has two results, and both are followed. Ways that meet again at the same rule with the
same packet are one way, so what is undecided costs little. A flow passes if all ways pass, and is dropped if all are
dropped; otherwise its verdict is unknown, because of the match that was not decided.

Within a hook, base chains run in the order of their priorities. A drop is final; an accept ends the base chain only.
Connection tracking sees packets at priority -200 (NF_IP6_PRI_CONNTRACK). All chains that translate run one after the
other at the one priority at which the kernel translates (nf_nat_inet_fn), until the first of them decides: -100 for
destinations, 100 for sources; only the first packet of a flow passes them. Of chains with equal priority, the kernel
calls the one first that was registered last; since that can't be read, both orders are followed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dockerv6.firewall.walk.chains import Action, BaseChain, Reliance, RuleOutcome, Surroundings, WalkRule
from dockerv6.firewall.walk.connections import (
    LOOPBACK,
    loops,
    tracked,
    translated_as_before,
    with_translation_noted,
)
from dockerv6.firewall.walk.packet import (
    INTERNET,
    Flow,
    Packet,
    Paths,
    Tracking,
    exact_address,
    first_packet,
    next_packets,
)
from dockerv6.firewall.walk.verdicts import PASSES, FilterPlace, FlowVerdict

PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = "prerouting", "input", "forward", "output", "postrouting"
STEPS = 100_000
"""Rules that are evaluated for one flow at most. An engine that publishes 1,000 ports has some thousand rules."""

PAUSE = 32
"""Steps between pauses: about 2 ms."""

_NO_WAY = "the way of a packet that was translated"
_TRACKING = -200
_TRANSLATING = {PREROUTING: -100, OUTPUT: -100, INPUT: 100, POSTROUTING: 100}
_TRACKED_AT = frozenset({PREROUTING, OUTPUT})
_WAYS = 64
"""Ways that are followed at the same time from one base chain to the next."""


class _TooManyStepsError(Exception):
    """The flow was followed for too long."""


_Stack = tuple[tuple[str, int], ...]
"""Chains that a packet is in, each with the place of its next rule; the last one is the present one."""

_END = 1 << 62
"""Behind the last rule of a chain."""


class _Way(NamedTuple):
    """A packet in front of a rule, and the match that led there and could not be decided."""

    stack: _Stack
    packet: Packet
    doubt: str


@dataclass(frozen=True, slots=True)
class _Step:
    """What happens at one place of a hook: base chains, of which more than one only where they translate."""

    priority: int
    chains: tuple[BaseChain, ...] = ()
    tracks: bool = False
    translates: bool = False


@dataclass(slots=True)
class _Ways:
    """Where the packets of a flow are, and what became of those that went no further.

    Attributes:
        here: packets that go on, each with the match that led there and could not be decided.
        dropped: what dropped packets, and that match.
        lost: why packets could not be followed.
    """

    here: dict[Packet, str] = field(default_factory=dict)
    dropped: list[tuple[FilterPlace, str, Packet]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def add(self, packet: Packet, doubt: str) -> None:
        self.here.setdefault(packet, doubt)
        if len(self.here) > _WAYS:
            raise _TooManyStepsError

    def end(self, outcome: RuleOutcome, place: FilterPlace, doubt: str) -> None:
        """A packet goes no further."""
        if outcome.action is Action.DROP:
            self.dropped.append((place, doubt, outcome.packet))
        else:
            self.lost.append(f"{outcome.doubt} ({place})")


@dataclass(slots=True)
class Walk:
    """The filters of a host, for any number of flows.

    Attributes:
        paths: where the host sends packets.
        steps: rules that may still be evaluated, for all flows together.
        reliance: what the latest verdict was made from.
        pause: called now and then, so that other threads get their turn.
    """

    paths: Paths
    steps: int
    _steps: Mapping[str, tuple[tuple[_Step, ...], ...]]
    reliance: Reliance = field(default_factory=Reliance)
    pause: Callable[[], None] = lambda: None
    _left: int = 0

    @classmethod
    def through(
        cls,
        chains: Iterable[BaseChain],
        paths: Paths,
        steps: int = STEPS,
        pause: Callable[[], None] = lambda: None,
    ) -> "Walk":
        """Prepare to follow flows through these base chains."""
        listed = tuple(chains)
        hooks = (PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING)
        return cls(
            paths,
            steps,
            {hook: _orders(tuple(each for each in listed if each.hook == hook), hook) for hook in hooks},
            pause=pause,
        )

    def follow(self, flow: Flow) -> FlowVerdict:
        """What becomes of the first three packets of a flow."""
        granted = self._left = min(STEPS, self.steps)
        self.reliance = Reliance()
        try:
            return self._follow(flow)
        except _TooManyStepsError:
            return FlowVerdict(None, doubt="the rules of the host are too many to be followed")
        finally:
            self.steps -= granted - max(0, self._left)

    def follow_for_others(self, flow: Flow) -> FlowVerdict:
        """As `follow`, but a rule that drops only for some addresses of the internet, as an allow-list, is a doubt.

        One address stands for all. If its packets are dropped, the flow is followed with addresses that the rules name.
        """
        verdict, reliance, out = self.follow(flow), self.reliance, self.paths.route(exact_address(INTERNET))
        if verdict.passes is False and INTERNET in (flow.source, flow.destination):
            reliance.lookups |= reliance.elements
            for address in sorted(reliance.named):
                if self.paths.route(exact_address(address)) != out:
                    continue
                source, destination = (address if end == INTERNET else end for end in (flow.source, flow.destination))
                other = self.follow(replace(flow, source=source, destination=destination))
                reliance.join(self.reliance)
                if other.passes is not False:
                    verdict = replace(verdict, passes=None, doubt="the address of the other end")
                    break
        self.reliance = reliance
        return verdict

    def _follow(self, flow: Flow) -> FlowVerdict:
        ways = _Ways({first_packet(flow, self.paths): ""})
        self._deliver(ways)
        verdict = _verdict(ways)
        if verdict.passes is False:
            return verdict
        for nth in (0, 1):
            later = _Ways()
            for packet, doubt in ways.here.items():
                later.add(next_packets(packet)[nth], doubt)
            self._deliver(later)
            found = _verdict(later)
            if found.passes is not True and verdict.passes is True:
                verdict = found
        return verdict

    # ---- hooks

    def _deliver(self, ways: _Ways) -> None:
        """Follow packets to where they leave the host, or to a socket of it."""
        came = {packet: doubt for packet, doubt in ways.here.items() if packet.iif is not None}
        ways.here = {packet: doubt for packet, doubt in ways.here.items() if packet.iif is None}
        self._send(ways)
        self._hook(OUTPUT, ways)
        self._send(ways)  # again, as its destination may have been translated
        leaving = ways.here
        ways.here = came
        self._hook(PREROUTING, ways)
        staying: dict[Packet, str] = {}
        through: dict[Packet, str] = {}
        for packet, doubt in ways.here.items():
            self._route(packet, doubt, staying, through, ways)
        ways.here = through
        self._hook(FORWARD, ways)
        for packet, doubt in leaving.items():
            ways.add(packet, doubt)
        self._hook(POSTROUTING, ways)
        looped = {p: doubt for p, doubt in ways.here.items() if p.oif is not None and p.oif.name == LOOPBACK}
        left = {packet: doubt for packet, doubt in ways.here.items() if packet not in looped}
        ways.here = {replace(packet, iif=packet.oif, oif=None): doubt for packet, doubt in looped.items()}
        self._hook(PREROUTING, ways)
        for packet, doubt in staying.items():
            ways.add(packet, doubt)
        self._hook(INPUT, ways)
        ways.here = {
            replace(packet, iif=None) if loops(packet) else packet: doubt for packet, doubt in ways.here.items()
        }
        for packet, doubt in left.items():
            ways.add(packet, doubt)

    def _send(self, ways: _Ways) -> None:
        """Find the interface by which packets of the host leave."""
        before, ways.here = ways.here, {}
        for packet, doubt in before.items():
            local = self.paths.is_local(packet.destination)
            out = self.paths.links.get(LOOPBACK) if local else self.paths.route(packet.destination)
            if local is None or out is None:
                ways.lost.append(doubt or _NO_WAY)
            else:
                ways.add(replace(packet, oif=out), doubt)

    def _route(
        self, packet: Packet, doubt: str, staying: dict[Packet, str], through: dict[Packet, str], ways: _Ways
    ) -> None:
        """Decide whether a packet is for the host, and if not, by which interface it leaves."""
        if packet.bridged:
            through.setdefault(replace(packet, oif=packet.iif), doubt)
            return
        local = self.paths.is_local(packet.destination)
        if local:
            staying.setdefault(packet, doubt)
            return
        out = self.paths.route(packet.destination)
        if local is None or out is None:
            ways.lost.append(doubt or _NO_WAY)
        else:
            through.setdefault(replace(packet, oif=out), doubt)

    def _hook(self, hook: str, ways: _Ways) -> None:
        """Have packets pass all base chains of a hook."""
        orders = self._steps[hook]
        if len(orders) == 1 or not ways.here:
            self._order(orders[0], hook, ways)
            return
        before, found = ways.here, []
        for order in orders:
            ways.here = dict(before)
            self._order(order, hook, ways)
            found.append(ways.here)
        if found[0] != found[1]:
            doubt = f"chains of equal priority in the {hook} hook change the packet"
            for packet in {**found[0], **found[1]}:
                ways.here[packet] = doubt

    def _order(self, steps: Sequence[_Step], hook: str, ways: _Ways) -> None:
        for step in steps:
            if step.tracks:
                ways.here = {tracked(packet): doubt for packet, doubt in ways.here.items()}
            elif step.translates:
                self._translate(step.chains, hook, ways)
            else:
                for chain in step.chains:
                    done, ways.here = self._chain(chain, ways), {}
                    for packet, doubt, _ in done:
                        ways.add(packet, doubt)

    def _translate(self, chains: Sequence[BaseChain], hook: str, ways: _Ways) -> None:
        """Translate what passes: the first packet by rules, others as the first one was."""
        before, ways.here = ways.here, {}
        decided: list[tuple[Packet, Packet, str]] = []
        for first, doubt in before.items():
            if first.tracking is Tracking.UNTRACKED or loops(first):
                decided.append((first, first, doubt))
                continue
            if first.answered is not None:
                decided.append((first, translated_as_before(first, hook), doubt))
                continue
            ways.here = {first: doubt}
            for chain in chains:
                done, ways.here = self._chain(chain, ways), {}
                for packet, why, translated in done:
                    if translated:
                        decided.append((first, packet, why))
                    else:
                        ways.add(packet, why)
            decided += [(first, packet, why) for packet, why in ways.here.items()]
        ways.here = {}
        for first, packet, doubt in decided:
            ways.add(packet if packet.answered is not None else with_translation_noted(first, packet), doubt)

    def _chain(self, base: BaseChain, ways: _Ways) -> list[tuple[Packet, str, bool]]:
        """Every packet that leaves a base chain, its doubt, and whether it was translated."""
        around = Surroundings(base.hook, self.paths, base.table, self.reliance)
        done: dict[tuple[Packet, bool], str] = {}
        seen: set[tuple[_Stack, Packet]] = set()
        todo = [_Way(((base.name, 0),), packet, doubt) for packet, doubt in ways.here.items()]
        branched = len(todo) > 1  # else there is one way only, and no other can meet it
        while todo:
            way = todo.pop()
            if branched:
                if (way.stack, way.packet) in seen:
                    continue
                seen.add((way.stack, way.packet))
            outcomes = self._step(base, way, around)
            branched = branched or len(outcomes) > 1
            for outcome in outcomes:
                doubt = outcome.doubt or way.doubt
                match outcome.action:
                    case Action.ACCEPT | Action.TRANSLATED:
                        done.setdefault((outcome.packet, outcome.action is Action.TRANSLATED), doubt)
                    case Action.DROP | Action.LOST:
                        ways.end(outcome, _place(base, way), doubt)
                    case _:
                        todo.append(_Way(_next(way.stack, outcome), outcome.packet, doubt))
        return [(packet, doubt, translated) for (packet, translated), doubt in done.items()]

    def _step(self, base: BaseChain, way: _Way, around: Surroundings) -> Sequence[RuleOutcome]:
        """What the next rule does; behind the last one, the packet returns, or gets the policy."""
        self._left -= 1
        if self._left < 0:
            raise _TooManyStepsError
        if self._left % PAUSE == 0:
            self.pause()
        rules, at = self._rules(base, way.stack)
        if at < len(rules):
            return rules[at].run(way.packet, around)
        if len(way.stack) > 1:
            return (RuleOutcome(Action.RETURN, way.packet),)
        return (RuleOutcome(Action.DROP if base.drops else Action.ACCEPT, way.packet),)

    def _rules(self, base: BaseChain, stack: _Stack) -> tuple[Sequence[WalkRule], int]:
        name, at = stack[-1]
        rules = base.table.chains.get(name, ())
        self.reliance.chains[str(base.table), name] = rules
        return rules, at


def _next(stack: _Stack, outcome: RuleOutcome) -> _Stack:
    """Where a packet goes on."""
    (name, at), rest = stack[-1], stack[:-1]
    match outcome.action:
        case Action.JUMP:
            return (*rest, (name, at + 1), (outcome.chain, 0))
        case Action.GOTO:
            return (*rest, (outcome.chain, 0))
        case Action.RETURN:
            return rest or ((name, _END),)
        case _:
            return (*rest, (name, at + 1))


def _orders(chains: tuple[BaseChain, ...], hook: str) -> tuple[tuple[_Step, ...], ...]:
    """The steps of a hook; twice if chains have equal priorities, in opposite orders."""
    forth, back = _ordered(chains, hook), _ordered(chains[::-1], hook)
    return (forth,) if forth == back else (forth, back)


def _ordered(chains: tuple[BaseChain, ...], hook: str) -> tuple[_Step, ...]:
    steps = [_Step(each.priority, (each,)) for each in chains if not each.translates]
    translating = tuple(sorted((each for each in chains if each.translates), key=lambda each: each.priority))
    if hook in _TRANSLATING:
        steps.append(_Step(_TRANSLATING[hook], translating, translates=True))
    if hook in _TRACKED_AT:
        steps.append(_Step(_TRACKING, tracks=True))
    return tuple(sorted(steps, key=lambda each: (each.priority, not each.chains)))


def _place(base: BaseChain, way: _Way) -> FilterPlace:
    table, (chain, at) = base.table, way.stack[-1]
    rules = table.chains.get(chain, ())
    rule = rules[at].text if at < len(rules) else ""
    chain = chain if rule else base.name
    return FilterPlace(table.variant, table.family, table.name, chain, rule, base.name, base.hook, base.priority)


def _verdict(ways: _Ways) -> FlowVerdict:
    if not ways.dropped and not ways.lost:
        return PASSES
    place, why, packet = ways.dropped[0] if ways.dropped else (None, "", None)
    if ways.dropped and not ways.here and not ways.lost:
        return FlowVerdict(passes=False, place=place, packet=packet)
    return FlowVerdict(None, place, ways.lost[0] if ways.lost else why, packet)
