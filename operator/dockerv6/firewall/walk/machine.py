"""A rule of nftables, run on a packet of which not everything is known. Pure.

A rule is a program for a register machine (net/netfilter/nf_tables_core.c): expressions load what they find into
registers, compare and look them up, and give a verdict. Here a register may be unknown. Where it decides whether the
rule goes on, the rule has both results. An expression that isn't known may match or not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from dockerv6.firewall.nftables.foreign import NftExpression, NftRule, decode_rule
from dockerv6.firewall.nftables.kernel import NFPROTO_IPV6, attributes_of
from dockerv6.firewall.walk import loads, translations
from dockerv6.firewall.walk.bits import Answer, Bits, alike, exact, negated, unknown
from dockerv6.firewall.walk.chains import Action, RuleOutcome, Surroundings
from dockerv6.firewall.walk.extensions import run_match, run_target
from dockerv6.firewall.walk.packet import TCP, Packet, Tracking
from dockerv6.firewall.walk.sets import UNTOLD, Found, decode_data
from dockerv6.firewall.xtables.nft import decode

_LARGEST_KEY = 64  # NFT_DATA_VALUE_MAXLEN
_WORD_BASE, _WORD, _LONG = 8, 4, 16  # NFT_REG32_00
_NOT_EQUAL, _LESS, _GREATER = 1, 2, 4  # NFT_CMP_*; for ranges, NFT_RANGE_NEQ is 1 as well
_INVERTED = 1  # NFT_LOOKUP_F_INV, NFT_DYNSET_F_INV
_MASK_XOR = 0  # NFT_BITWISE_MASK_XOR
_QUOTA, _LIMIT, _CONNLIMIT, _SYNPROXY = 2, 4, 5, 10  # NFT_OBJECT_*
_VERDICTS = {
    0: Action.DROP,
    1: Action.ACCEPT,
    -1: Action.CONTINUE,
    -2: Action.CONTINUE,
    -3: Action.JUMP,
    -4: Action.GOTO,
    -5: Action.RETURN,
}

_PASSIVE = frozenset(
    {"counter", "log", "last", "dup", "flow_offload", "ct_helper", "ct_timeout", "ct_expect", "secmark"}
)
_COUNTING = frozenset({"counter", "last", "quota"})
_LOSING = {"queue": "queue", "tproxy": "tproxy", "synproxy": "synproxy", "fwd": "fwd"}

_constant = lru_cache(maxsize=1024)(decode_data)
"""The value or the verdict in an attribute of a rule: every packet that passes the rule asks for it."""

StepResult = Answer | tuple[RuleOutcome, ...]
"""Whether the rule goes on (None: perhaps), or how it ends."""


@dataclass(frozen=True)
class NftWalkRule:
    """A rule of nftables, decoded when the first packet comes to it."""

    raw: bytes
    family: str
    xtables: bool = False  # iptables-nft has written it

    @cached_property
    def rule(self) -> NftRule:
        """The rule without what changes with every packet."""
        decoded = decode_rule(dict(attributes_of(self.raw)))
        steady = (NftExpression(each.name, {}) if each.name in _COUNTING else each for each in decoded.expressions)
        return replace(decoded, expressions=tuple(steady))

    @cached_property
    def text(self) -> str:
        """As ip6tables-save shows it; else the handle by which `nft -a list chain` does."""
        handle = f"handle {self.rule.handle}"
        if self.xtables:
            return f"-A {self.rule.chain} {decode(self.rule, self.family)}"
        return f'{handle} (comment "{self.rule.comment}")' if self.rule.comment else handle

    def run(self, packet: Packet, around: Surroundings) -> Sequence[RuleOutcome]:
        """Every possible result."""
        return _Run(packet, around).through(self.rule.expressions)


class _Run:
    """One packet in one rule."""

    def __init__(self, packet: Packet, around: Surroundings) -> None:
        self.packet = packet
        self._around = around
        self._registers: dict[int, Bits] = {}  # by their first byte
        self._loaded: dict[int, str] = {}
        self._unread = "a value"  # what may have loaded a register of which nothing else is known
        self._doubt = ""
        self._others: list[RuleOutcome] = []

    def through(self, expressions: Sequence[NftExpression]) -> Sequence[RuleOutcome]:
        """The results of all expressions."""
        for each in expressions:
            result = self._step(each)
            if result is True:
                continue
            if result is False:
                return [*self._others, self._outcome(Action.CONTINUE)]
            if result is None:
                self._others.append(self._outcome(Action.CONTINUE))
                continue
            return [*self._others, *result]
        return [*self._others, self._outcome(Action.CONTINUE)]

    def _outcome(self, action: Action, chain: str = "") -> RuleOutcome:
        return RuleOutcome(action, self.packet, chain, self._doubt)

    def _doubted(self, what: str) -> None:
        self._doubt = what

    # ---- registers

    def _load(self, register: int, value: Bits | None, what: str) -> StepResult:
        if value is None:
            return False
        at, value = _place(register), value.padded()
        end = at + len(value.data)
        for other in [
            other for other, there in self._registers.items() if other < end and at < other + len(there.data)
        ]:
            del self._registers[other]
        self._registers[at] = value
        self._loaded[at] = what
        return True

    def _read(self, register: int, size: int) -> Bits:
        """Some bytes from a register on; what was not loaded is unknown."""
        at = _place(register)
        found = self._registers.get(at)
        if found is not None and len(found.data) >= size:
            return found if len(found.data) == size else found.part(0, size)
        whole, end = unknown(size), at + size
        for place, value in self._registers.items():
            if at <= place < end:
                whole = whole.replaced(place - at, value.part(0, min(len(value.data), end - place)))
        return whole

    def _name(self, register: int) -> str:
        return self._loaded.get(_place(register), self._unread)

    # ---- expressions

    def _step(self, each: NftExpression) -> StepResult:
        handler = _HANDLERS.get(each.name)
        if handler is not None:
            return handler(self, each)
        if each.name in _PASSIVE:
            return True
        if each.name in _LOSING:
            self._doubted(_LOSING[each.name])
            return (self._outcome(Action.LOST),)
        self._registers.clear()  # it may load into any, such as jhash
        self._loaded.clear()
        self._unread = each.name
        self._doubted(each.name)
        return None

    def _meta(self, each: NftExpression) -> StepResult:
        key = each.number(2)
        if 3 in each.attributes:  # noqa: PLR2004 - NFTA_META_SREG
            if key == loads.META_MARK:
                self.packet = replace(self.packet, mark=self._read(each.number(3), 4))
            return True
        what = f"meta {loads.META.get(key, key)}"
        return self._load(each.number(1), loads.meta(key, self.packet, self._around), what)

    def _ct(self, each: NftExpression) -> StepResult:
        key = each.number(2)
        if 4 in each.attributes:  # noqa: PLR2004 - NFTA_CT_SREG
            if key == loads.CT_MARK and self.packet.tracking is Tracking.TRACKED:
                self.packet = replace(self.packet, ct_mark=self._read(each.number(4), 4))
            return True
        direction = each.number(3) if 3 in each.attributes else None  # noqa: PLR2004 - NFTA_CT_DIRECTION
        return self._load(each.number(1), loads.conntrack(key, direction, self.packet), f"ct {loads.CT.get(key, key)}")

    def _payload(self, each: NftExpression) -> StepResult:
        if 5 not in each.attributes:  # noqa: PLR2004 - NFTA_PAYLOAD_SREG
            what = loads.payload_text(each, self.packet)
            return self._load(each.number(1), loads.payload(each, self.packet), what)
        base, offset, value = each.number(2), each.number(3), self._read(each.number(5), each.number(4))
        if base == 1:
            self.packet = replace(self.packet, network=self.packet.network.replaced(offset, value))
        elif base == 2:  # noqa: PLR2004 - NFT_PAYLOAD_TRANSPORT_HEADER
            self.packet = replace(self.packet, transport=self.packet.transport.replaced(offset, value))
        return True

    def _fib(self, each: NftExpression) -> StepResult:
        return self._load(each.number(1), loads.fib(each, self.packet, self._around), "fib")

    def _exthdr(self, each: NftExpression) -> StepResult:
        if 7 in each.attributes or 1 not in each.attributes:  # noqa: PLR2004 - NFTA_EXTHDR_SREG: it is written
            return self.packet.protocol == TCP  # only TCP options can be written
        value = loads.extension_header(each, self.packet)
        result = self._load(each.number(1), value, "a TCP option")
        if value is None or value.exact:
            return result
        self._doubted("a TCP option")
        return None

    def _immediate(self, each: NftExpression) -> StepResult:
        data = _constant(each.attributes.get(2, b""))
        if data.verdict is None:
            return self._load(each.number(1), exact(data.value), "a constant")
        return self._verdict(*data.verdict)

    def _verdict(self, code: int, chain: str) -> StepResult:
        action = _VERDICTS.get(code)
        if action is None:
            self._doubted("queue")
            return (self._outcome(Action.LOST),)
        return (self._outcome(action, chain),)

    def _cmp(self, each: NftExpression) -> StepResult:
        value, operation = _constant(each.attributes.get(3, b"")).value, each.number(2)
        register = self._read(each.number(1), len(value))
        self._note(each.number(1), value)
        least, most = bytes(len(value)), b"\xff" * len(value)
        answer: Answer = None
        match operation:
            case 0 | 1:
                answer = negated(register.equals(value), operation == _NOT_EQUAL)
            case 2 | 5:  # less, and its opposite
                answer = negated(register.within(value, most), operation == _LESS)
            case 3 | 4:
                answer = negated(register.within(least, value), operation == _GREATER)
        return self._decided(answer, self._name(each.number(1)))

    def _range(self, each: NftExpression) -> StepResult:
        first, last = (_constant(each.attributes.get(kind, b"")).value for kind in (3, 4))
        self._note(each.number(1), first)
        answer = self._read(each.number(1), len(first)).within(first, last)
        return self._decided(negated(answer, each.number(2) == _NOT_EQUAL), self._name(each.number(1)))

    def _note(self, register: int, value: bytes) -> None:
        if self._loaded.get(_place(register)) in loads.ADDRESSES:
            self._around.reliance.name(value)

    def _decided(self, answer: Answer, what: str) -> StepResult:
        if answer is None:
            self._doubted(what)
        return answer

    def _bitwise(self, each: NftExpression) -> StepResult:
        size, operation = each.number(3), each.number(6)
        mask, inverted = (_constant(each.attributes.get(kind, b"")).value for kind in (4, 5))
        value = self._read(each.number(1), size)
        what = self._name(each.number(1))
        result = value.masked(mask, inverted) if operation == _MASK_XOR and len(mask) == size else unknown(size)
        return self._load(each.number(2), result, what)

    def _byteorder(self, each: NftExpression) -> StepResult:
        value = self._read(each.number(1), each.number(4))
        return self._load(each.number(2), loads.to_network_order(value, each.number(5)), self._name(each.number(1)))

    def _lookup(self, each: NftExpression) -> StepResult:
        name, inverted = each.text(1), bool(each.number(5) & _INVERTED)
        found = self._around.find(name, self._read(each.number(2), _LARGEST_KEY))
        what = f"{self._name(each.number(2))} in set {name}"
        if found.answer is False and (str(self._around.table), name) in self._around.reliance.added:
            found = UNTOLD  # the packet itself may be in it by now
        if self._loaded.get(_place(each.number(2))) in loads.ADDRESSES:
            self._around.name_elements(name)
        if 3 not in each.attributes or inverted:  # noqa: PLR2004 - NFTA_LOOKUP_DREG
            return self._decided(negated(found.answer, inverted), what)
        return self._mapped(found, each.number(3), what)

    def _mapped(self, found: Found, register: int, what: str) -> StepResult:
        """Load what a map has, or follow a verdict map."""
        if found.answer is False:
            return False
        if not found.elements:
            self._doubted(what)
            if register == 0:
                return (self._outcome(Action.LOST), self._outcome(Action.CONTINUE))
            self._load(register, unknown(16), what)
            return None
        if register == 0:
            return self._verdicts(found, what)
        self._load(register, alike([exact(each.value) for each in found.elements]), what)
        return self._decided(found.answer, what)

    def _verdicts(self, found: Found, what: str) -> StepResult:
        possible = dict.fromkeys(each.verdict for each in found.elements if each.verdict is not None)
        if found.answer is None or len(possible) > 1:
            self._doubted(what)
        results = [outcome for verdict in possible for outcome in _ending(self._verdict(*verdict))]
        if found.answer is None:
            results.append(self._outcome(Action.CONTINUE))
        return tuple(results)

    def _dynset(self, each: NftExpression) -> StepResult:
        """Adding an element succeeds; expressions, and deleting one, may not."""
        self._around.reliance.added.add((str(self._around.table), each.text(1)))
        if each.number(3) < 2 and not {7, 10} & each.attributes.keys() and not each.number(9) & _INVERTED:  # noqa: PLR2004
            return True
        self._doubted(f"set {each.text(1)}, which rules change")
        return None

    def _objref(self, each: NftExpression) -> StepResult:
        kind = each.number(1)
        if 4 in each.attributes or kind in {_QUOTA, _LIMIT, _CONNLIMIT}:  # noqa: PLR2004 - NFTA_OBJREF_SET_NAME
            self._doubted("a named object")
            return None
        if kind == _SYNPROXY:
            self._doubted("synproxy")
            return (self._outcome(Action.LOST),)
        return True

    def _reject(self, _: NftExpression) -> StepResult:
        return (self._outcome(Action.DROP),)

    def _notrack(self, _: NftExpression) -> StepResult:
        if self.packet.tracking is Tracking.BEFORE:
            self.packet = replace(self.packet, tracking=Tracking.UNTRACKED)
        return True

    def _nat(self, each: NftExpression) -> StepResult:
        if each.number(2) not in {NFPROTO_IPV6, 1}:
            return True
        first, last, low, high = (
            self._read(each.number(kind), size) if kind in each.attributes else None
            for kind, size in ((3, 16), (4, 16), (5, 2), (6, 2))
        )
        target = translations.Target(first, last or first, low, high or low, each.number(7))
        self.packet = translations.translate(self.packet, target, destination=each.number(1) == 1)
        return (self._outcome(Action.TRANSLATED),)

    def _masq(self, each: NftExpression) -> StepResult:
        low, high = (self._read(each.number(k), 2) if k in each.attributes else None for k in (2, 3))
        target = translations.Target(None, None, low, high or low)
        self.packet = translations.masquerade(self.packet, self._around.paths, target)
        return (self._outcome(Action.TRANSLATED),)

    def _redir(self, each: NftExpression) -> StepResult:
        low, high = (self._read(each.number(k), 2) if k in each.attributes else None for k in (1, 2))
        target = translations.Target(None, None, low, high or low)
        self.packet = translations.redirect(self.packet, self._around.paths, target)
        return (self._outcome(Action.TRANSLATED),)

    def _match(self, each: NftExpression) -> StepResult:
        name = each.text(1)
        answer = run_match(name, each.number(2), each.attributes.get(3, b""), self.packet, self._around)
        return self._decided(answer, f"-m {name}")

    def _target(self, each: NftExpression) -> StepResult:
        name, data = each.text(1), each.attributes.get(3, b"")
        outcomes = run_target(name, each.number(2), data, self.packet, self._around)
        if len(outcomes) == 1 and outcomes[0].action is Action.CONTINUE:
            self.packet = outcomes[0].packet
            return True
        return tuple(replace(each, doubt=each.doubt or self._doubt) for each in outcomes)


def _ending(result: StepResult) -> tuple[RuleOutcome, ...]:
    return result if isinstance(result, tuple) else ()


def _place(register: int) -> int:
    """The byte at which a register begins: NFT_REG_1 and so on have 16 bytes, NFT_REG32_00 and so on have 4."""
    return register * _LONG if register < _WORD_BASE else _LONG + (register - _WORD_BASE) * _WORD


_EXPRESSIONS = (
    *("meta", "ct", "payload", "fib", "exthdr", "immediate", "cmp", "range", "bitwise", "byteorder", "lookup"),
    *("dynset", "objref", "reject", "notrack", "nat", "masq", "redir", "match", "target"),
)
_HANDLERS: Mapping[str, Callable[[_Run, NftExpression], StepResult]] = {
    name: getattr(_Run, f"_{name}") for name in _EXPRESSIONS
}
