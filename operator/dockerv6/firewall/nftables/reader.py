"""Our table as the kernel holds it: over nfnetlink, in dumps of chains, rules, sets and elements.

Everything is read, whatever else is wrong with the table: what resources have that are suspended, or unknown at
present, is known from here only, and a table that is created again gets it back.

Elements are decoded. Rules are recognised: `commands` writes each rule's digest into its comment, and a rule with the
digest of a rendered rule is that rule (ADR 0020). A rule that was edited in place may keep its comment. So the reader
also remembers the expressions that the kernel showed for each digest after our own commit; other expressions under the
same digest make the rule an unknown one. A new process has no such memory and takes the first reading for it.

The only rules that are decoded are those that translate a resource's prefix, since a ruleset can keep them for a
resource that is suspended. Their digest proves the decoding.
"""

import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address

from dockerv6.firewall import prefixes
from dockerv6.firewall.expr import Chain, ElementSet, Rule, UnknownExpr
from dockerv6.firewall.nftables import kernel, sets
from dockerv6.firewall.nftables.commands import DIGEST_MARK, FAMILY, HOOKS, POLICIES, TABLE
from dockerv6.firewall.nftables.kernel import attributes_of, named, number_in, text_in
from dockerv6.firewall.nftables.session import NftSession, OwnedTableError, unavailable
from dockerv6.firewall.nftables.sets import DecodedSet
from dockerv6.firewall.port import FirewallRejected
from dockerv6.firewall.ruleset import EMPTY, Ruleset

_CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE, _CHAIN_FLAGS = 3, 4, 5, 7, 10  # NFTA_CHAIN_*
_CHAIN_BINDING = 0x4  # NFT_CHAIN_BINDING: part of a rule, without a name of its own
_HOOK_NUMBER, _HOOK_PRIORITY = 1, 2  # NFTA_HOOK_*
_RULE_CHAIN, _RULE_EXPRESSIONS, _RULE_USERDATA = 2, 4, 7  # NFTA_RULE_*
_EXPRESSION_NAME, _EXPRESSION_DATA = 1, 2  # NFTA_EXPR_*
_LOOKUP_SET = 1  # NFTA_LOOKUP_SET
_BYTEORDER_SIZE = 4  # NFTA_BYTEORDER_LEN
_CMP_DATA, _IMMEDIATE_DATA, _DATA_VALUE = 3, 2, 1  # NFTA_CMP_DATA, NFTA_IMMEDIATE_DATA, NFTA_DATA_VALUE
_SET_FLAGS, _ANONYMOUS = 3, 0x1  # NFTA_SET_*, NFT_SET_ANONYMOUS: part of a rule
_OBJECT_NAME = 2  # NFTA_OBJ_NAME, NFTA_FLOWTABLE_NAME
_ANONYMOUS_NAME = re.compile(rb"__(set|map)\d")
_DIGEST = re.compile(r"[0-9a-f]{12}")
_MATCH = ("meta", "cmp", "payload", "cmp")
_TRANSLATIONS = ((*_MATCH, "immediate", "nat"), (*_MATCH, "immediate", "immediate", "nat"))
"""The expressions of a rule that translates a prefix: family, address, first and last address of the other prefix.
The last one is left out where the prefix is a single address."""

_ADDRESS_SIZE = 16
_READ_ATTEMPTS = 64
_CHANGED = frozenset({errno.EINTR, errno.ENOENT, errno.EAGAIN, errno.EBUSY})
"""Errors of a dump during which another program commits."""

_TABLE_NAME = 1  # NFTA_CHAIN_TABLE, NFTA_RULE_TABLE and so on
_OUR_NAME = TABLE.encode() + b"\0"

_Attributes = Mapping[int, bytes]
_Expressions = tuple[tuple[str, object], ...]
"""Name and data of each expression; of a lookup in an anonymous set its elements, instead of its number."""

_RawRule = tuple[bytes, bytes, bytes]


@dataclass(frozen=True, slots=True)
class _Dump:
    """Everything that the table holds, at one generation."""

    generation: int
    exists: bool
    flags: Sequence[str] = ()  # of the table; we set none
    chains: Sequence[_Attributes] = ()
    rules: Sequence[_Attributes] = ()
    sets: Sequence[tuple[_Attributes, Sequence[bytes]]] = ()  # with the messages of their elements
    anonymous: Mapping[bytes, frozenset[bytes]] = field(default_factory=dict)  # elements by the set's name
    foreign: Sequence[str] = ()


class TableReader:
    """Reads the table again and again, and decodes only what differs from the previous reading."""

    def __init__(self, session: NftSession) -> None:
        """All methods run on the session's thread."""
        self._session = session
        self._latest: Ruleset = EMPTY
        self._sets: dict[str, DecodedSet] = {}
        self._rules: dict[_RawRule, tuple[_Expressions, Rule]] = {}
        self._written: dict[tuple[str, str], _Expressions] = {}  # by chain and digest

    def read(self, own_commit: int | None = None) -> tuple[int, Ruleset]:
        """The kernel's generation, and the table's content then; the previous value if it is equal.

        Args:
            own_commit: the generation that our own commit has just made. If it is still current, what is read is
                what was written.

        Raises:
            FirewallRejected: other processes never stopped committing.
            FirewallUnavailable: no nf_tables, no privilege, or another process owns the table.
        """
        for _ in range(_READ_ATTEMPTS):
            try:
                dump = self._dump()
            except OSError as error:
                if error.errno not in _CHANGED:
                    raise unavailable(error) from error
                continue
            if self._session.generation_now() == dump.generation:
                if dump.generation == own_commit:
                    self._written = {}
                ruleset = self._ruleset(dump)
                if ruleset != self._latest:
                    self._latest = ruleset
                return dump.generation, self._latest
        raise FirewallRejected("other programs change the packet filter all the time: our table could not be read")

    # ---- dumping ----

    def _dump(self) -> _Dump:
        generation = self._session.generation_now()
        table = self._session.inet_table_now(TABLE)
        if table is None:
            return _Dump(generation, exists=False)
        if table.owner is not None:
            raise OwnedTableError(FAMILY, TABLE, table.owner)
        found: list[tuple[_Attributes, Sequence[bytes]]] = []
        anonymous: dict[bytes, frozenset[bytes]] = {}
        for each in self._objects(kernel.NFT_MSG_GETSET):
            name = sets.name_of(each)
            if number_in(each.get(_SET_FLAGS, b"")) & _ANONYMOUS:
                anonymous[name.encode(errors="surrogateescape")] = frozenset(sets.raw_elements(self._elements(name)))
            else:
                found.append((each, self._elements(name)))
        return _Dump(
            generation,
            exists=True,
            flags=table.flags,
            chains=list(self._objects(kernel.NFT_MSG_GETCHAIN)),
            rules=list(self._objects(kernel.NFT_MSG_GETRULE)),
            sets=found,
            anonymous=anonymous,
            foreign=[
                f"{kind} {text_in(each[_OBJECT_NAME])}"
                for kind, message in (("object", kernel.NFT_MSG_GETOBJ), ("flowtable", kernel.NFT_MSG_GETFLOWTABLE))
                for each in self._objects(message)
            ],
        )

    def _objects(self, message: int) -> Iterator[_Attributes]:
        for each in self._session.dump_now(message, TABLE):
            attributes = dict(attributes_of(each))
            if attributes.get(_TABLE_NAME) == _OUR_NAME:
                yield attributes

    def _elements(self, name: str) -> Sequence[bytes]:
        return self._session.dump_now(kernel.NFT_MSG_GETSETELEM, TABLE, name)

    # ---- decoding ----

    def _ruleset(self, dump: _Dump) -> Ruleset:
        if not dump.exists:
            return EMPTY
        rules = self._rules_by_chain(dump)
        chains = [
            _chain(each, tuple(rules.get(text_in(each[_CHAIN_NAME]), ())))
            for each in dump.chains
            if not number_in(each.get(_CHAIN_FLAGS, b"")) & _CHAIN_BINDING
        ]
        decoded, foreign = self._decoded_sets(dump)
        return Ruleset(
            tuple(sorted(chains, key=lambda chain: chain.name)),
            tuple(sorted(decoded, key=lambda each: each.name)),
            tuple(sorted((*foreign, *dump.foreign, *(f"the {flag} flag" for flag in dump.flags)))),
            exists=True,
        )

    def _decoded_sets(self, dump: _Dump) -> tuple[list[ElementSet], list[str]]:
        foreign: list[str] = []
        decoded: dict[str, DecodedSet] = {}
        for attributes, messages in dump.sets:
            name = sets.name_of(attributes)
            definition = sets.decode_definition(attributes)
            if definition is None:
                foreign.append(f"set {name}, which has another form")
                continue
            if odd := sets.odd_definition(attributes):
                foreign.append(f"set {name} with {odd}")
            previous = self._sets.get(name)
            if previous is None or previous.set.definition != definition.definition:
                previous = DecodedSet(definition)
            decoded[name] = previous.updated(messages)
        self._sets = decoded
        return [each.set for each in decoded.values()], foreign

    def _rules_by_chain(self, dump: _Dump) -> dict[str, list[Rule]]:
        found: dict[str, list[Rule]] = {}
        known: dict[_RawRule, tuple[_Expressions, Rule]] = {}
        written: dict[tuple[str, str], _Expressions] = {}
        for each in dump.rules:
            raw = each[_RULE_CHAIN], each.get(_RULE_EXPRESSIONS, b""), each.get(_RULE_USERDATA, b"")
            chain = text_in(raw[0])
            expressions, rule = self._rules.get(raw) or _decoded(chain, raw, dump.anonymous)
            if not _ANONYMOUS_NAME.search(raw[1]):  # else the same bytes may mean something else another time
                known[raw] = expressions, rule
            key = chain, rule.digest
            written[key] = self._written.get(key, expressions)
            if written[key] != expressions:
                rule = _unknown(f"an edited rule: {rule.comment}")
            found.setdefault(chain, []).append(rule)
        self._rules, self._written = known, written
        return found


def _decoded(chain: str, raw: _RawRule, anonymous: Mapping[bytes, frozenset[bytes]]) -> tuple[_Expressions, Rule]:
    expressions = tuple(_expressions(raw[1], anonymous))
    return expressions, _rule(chain, expressions, sets.comment_in(raw[2]))


def _expressions(nested: bytes, anonymous: Mapping[bytes, frozenset[bytes]]) -> Iterator[tuple[str, object]]:
    for _, item in attributes_of(nested):
        expression = dict(attributes_of(item))
        name, data = text_in(expression[_EXPRESSION_NAME]), expression.get(_EXPRESSION_DATA, b"")
        if name == "byteorder" and number_in(dict(attributes_of(data)).get(_BYTEORDER_SIZE, b"")) == 1:
            continue  # nft 1.0.6 writes it before a set of ranges; the bytes of a single one have no order
        if name == "lookup" and _ANONYMOUS_NAME.search(data):
            lookup = dict(attributes_of(data))
            elements = anonymous.get(lookup.pop(_LOOKUP_SET).rstrip(b"\0"))
            yield name, (tuple(lookup.items()), elements)
        else:
            yield name, data


def _rule(chain: str, expressions: _Expressions, comment: str) -> Rule:
    """The rule that the digest in its comment stands for."""
    text, _, digest = comment.rpartition(DIGEST_MARK)
    if not _DIGEST.fullmatch(digest):
        text, digest = comment, ""
    if chain in prefixes.CHAINS:
        return _translation_rule(chain, expressions, text, digest)
    return Rule((), text, digest=digest) if digest else _unknown(comment or "a rule without a comment")


def _translation_rule(chain: str, expressions: _Expressions, owner: str, digest: str) -> Rule:
    pair = _translated(expressions)
    if pair is None:
        return _unknown(f"a rule that translates no prefix: {owner}")
    rule = prefixes.rule(chain, *pair, owner)
    if digest == rule.digest:
        return rule
    # Before digests were written, the owner was the whole comment. The rule is read, so that it can be kept for its
    # owner, but it differs from a rendered one and is written again.
    return _unknown(f"an edited rule: {owner}") if digest else replace(rule, comment="without a digest", digest="")


def _translated(expressions: _Expressions) -> tuple[str, str] | None:
    """The prefix that a rule matches and the one that it is exchanged for; None: the rule has another form."""
    data = [(name, dict(attributes_of(value))) for name, value in expressions if isinstance(value, bytes)]
    if tuple(name for name, _ in data if name != "bitwise") not in _TRANSLATIONS:
        return None
    matched = _value([value for name, value in data if name == "cmp"][-1].get(_CMP_DATA, b""))
    immediates = [_value(value.get(_IMMEDIATE_DATA, b"")) for name, value in data if name == "immediate"]
    first, last = immediates[0], immediates[-1]
    if not len(matched) <= _ADDRESS_SIZE == len(first) == len(last):
        return None
    hosts = number_in(first) ^ number_in(last)
    length = 8 * _ADDRESS_SIZE - hosts.bit_length()
    # nft compares only the bytes that the prefix has
    return _prefix(matched.ljust(_ADDRESS_SIZE, b"\0"), length), _prefix(first, length)


def _prefix(address: bytes, length: int) -> str:
    return f"{IPv6Address(address)}/{length}"


def _value(nested: bytes) -> bytes:
    return dict(attributes_of(nested)).get(_DATA_VALUE, b"")


def _unknown(text: str) -> Rule:
    return Rule((UnknownExpr(text),))


def _chain(attributes: _Attributes, rules: tuple[Rule, ...]) -> Chain:
    name = text_in(attributes[_CHAIN_NAME])
    if _CHAIN_HOOK not in attributes:
        return Chain(name, rules)
    hook = dict(attributes_of(attributes[_CHAIN_HOOK]))
    return Chain(
        name,
        rules,
        type=text_in(attributes[_CHAIN_TYPE]),
        hook=named(HOOKS, number_in(hook[_HOOK_NUMBER])),
        priority=int.from_bytes(hook[_HOOK_PRIORITY], "big", signed=True),
        policy=named(POLICIES, number_in(attributes.get(_CHAIN_POLICY, b"\1"))),
    )
