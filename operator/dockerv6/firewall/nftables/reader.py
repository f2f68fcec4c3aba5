"""Our table as the kernel holds it, read with no more effort than what changed takes.

Chains, rules and what sets are like come from libnftables, and only where their bytes are none that it showed before.
Elements are read as bytes, each understood once (see `dumps`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from dockerv6.firewall.expr import Element, ElementSet, Rule
from dockerv6.firewall.nftables import codec, dumps
from dockerv6.firewall.nftables.kernel import attributes_of
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.ruleset import Ruleset

_GETCHAIN, _GETRULE, _GETSET, _GETSETELEM, _GETOBJ, _GETFLOWTABLE = 4, 7, 10, 13, 19, 23  # NFT_MSG_*
_TABLE_NAME = 1  # the same attribute of all of these
_CHANGING = {_GETCHAIN: 6, _GETSET: 20}  # NFTA_CHAIN_USE, NFTA_SET_COUNT: how many rules or elements there are
_SET_FLAGS, _ANONYMOUS = 3, 0x1  # of a rule, with which it comes and goes
_RULE_CHAIN, _RULE_HANDLE, _RULE_EXPRESSIONS, _RULE_USERDATA = 2, 3, 4, 7  # NFTA_RULE_*
_NAMELESS = (b"__set", b"__map")
_LIST: codec.Object = {"list": {"table": {"family": codec.FAMILY, "name": codec.TABLE}}}
_OUR_NAME = codec.TABLE.encode() + b"\0"
_ATTEMPTS = 3
_MOST_RULES = 1000

_Attributes = dict[int, bytes]
_RuleKey = tuple[bytes, bytes, bytes]


@dataclass(frozen=True, slots=True)
class _Shown:
    """What libnftables showed when chains and sets were as in `structure`; the rules are of any time."""

    structure: list[tuple[int, _Attributes]]
    ruleset: Ruleset
    rules: dict[_RuleKey, Rule]


@dataclass(frozen=True, slots=True)
class _Known:
    """A set, and what each of its raw elements was understood as."""

    set: ElementSet
    understood: dict[bytes, Element | dumps.Boundary]


class Reader:
    """Reads the table again and again; all on the session's thread."""

    def __init__(self, session: NftSession) -> None:
        """Know nothing yet."""
        self._session = session
        self._shown: _Shown | None = None
        self._sets: dict[str, _Known] = {}

    def read(self) -> Ruleset:
        """What the table holds; all of it of one moment.

        Raises:
            FirewallRejected: the table is not there.
        """
        for _ in range(_ATTEMPTS):
            generation = self._session.generation_now()
            try:
                found = self._read()
            except OSError:  # changed meanwhile
                continue
            except dumps.StrangeError:
                break
            if self._session.generation_now() == generation:
                return found
        self._shown = None
        return codec.ruleset(self._session.run_now([_LIST]))

    def _read(self) -> Ruleset:
        structure = [each for message in (_GETCHAIN, _GETSET, _GETOBJ, _GETFLOWTABLE) for each in self._dumped(message)]
        rules = [attributes for _, attributes in self._dumped(_GETRULE)]
        shown = self._shown
        if shown is None or shown.structure != structure or any(_key(rule) not in shown.rules for rule in rules):
            shown = self._shown = self._listed(structure, rules)
        by_chain: dict[str, list[Rule]] = {}
        for rule in rules:
            by_chain.setdefault(rule[_RULE_CHAIN][:-1].decode(), []).append(shown.rules[_key(rule)])
        known = {each.name: self._filled(each) for each in shown.ruleset.sets}
        self._sets = known
        return replace(
            shown.ruleset,
            chains=tuple(replace(each, rules=tuple(by_chain.get(each.name, ()))) for each in shown.ruleset.chains),
            sets=tuple(known[each.name].set for each in shown.ruleset.sets),
        )

    def _listed(self, structure: list[tuple[int, _Attributes]], rules: list[_Attributes]) -> _Shown:
        """Have everything but elements shown; what rules meant earlier is kept, they may come back."""
        listed = self._session.run_now([_LIST], terse=True)
        handles = codec.rules_by_handle(listed)
        earlier = self._shown.rules if self._shown is not None and len(self._shown.rules) < _MOST_RULES else {}
        try:
            now = {_key(rule): handles[int.from_bytes(rule[_RULE_HANDLE], "big")] for rule in rules}
        except KeyError as error:
            raise InterruptedError("the rules changed before they were shown") from error
        return _Shown(structure, codec.ruleset(listed), {**earlier, **now})

    def _dumped(self, message: int) -> Iterator[tuple[int, _Attributes]]:
        """The kind and the bytes of each of our objects."""
        for each in self._session.dump_now(message, codec.TABLE):
            attributes = dict(attributes_of(each))
            attributes.pop(_CHANGING.get(message, 0), None)
            flags = int.from_bytes(attributes.get(_SET_FLAGS, b""), "big") if message == _GETSET else 0
            if attributes.get(_TABLE_NAME) == _OUR_NAME and not flags & _ANONYMOUS:
                yield message, attributes

    def _filled(self, each: ElementSet) -> _Known:
        """The set with its elements; the same object as before if they are the same."""
        before = self._sets.get(each.name)
        if before is not None and before.set.definition != each.definition:
            before = None
        earlier = before.understood if before is not None else {}
        raw = list(dumps.raw_elements(self._session.dump_now(_GETSETELEM, codec.TABLE, each.name)))
        if before is not None and len(raw) == len(earlier) and all(one in earlier for one in raw):
            return before
        understood = {one: earlier.get(one) or _understood(one, each) for one in raw}
        boundaries = [value for value in understood.values() if isinstance(value, dumps.Boundary)]
        whole = [value for value in understood.values() if isinstance(value, Element)]
        return _Known(replace(each, elements=frozenset([*whole, *dumps.ranges(boundaries)])), understood)


def _understood(raw: bytes, of: ElementSet) -> Element | dumps.Boundary:
    return dumps.boundary(raw, of) if of.interval and len(of.key) == 1 else dumps.element(raw, of)


def _key(rule: _Attributes) -> _RuleKey:
    """What a rule is known by: what it says, and where a nameless set says part of it, also its number."""
    said = rule.get(_RULE_EXPRESSIONS, b"")
    number = rule[_RULE_HANDLE] if any(name in said for name in _NAMELESS) else b""
    return said, rule.get(_RULE_USERDATA, b""), number
