"""What the kernel's tables should hold for a ruleset, entry by entry, and what ruleset it is that they hold. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv6Network

from dockerv6.firewall import prefixes
from dockerv6.firewall.expr import Chain, Element, ElementSet, KeyType, Rule, SetMark, UnknownExpr
from dockerv6.firewall.iptables import ledger
from dockerv6.firewall.iptables.compile import compile_nat, compile_ruleset, is_supported, origin
from dockerv6.firewall.model import DEFAULT_MARK, FirewallIntent, TransportProtocol
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY, Ruleset
from dockerv6.firewall.xtables.entries import (
    COMMENT_SIZE,
    HEAD,
    NAME_AT,
    NAME_SIZE,
    OFFSETS,
    OFFSETS_AT,
    STANDARD,
    TARGET_HEAD,
    encode,
)
from dockerv6.firewall.xtables.rule import MANGLE, NAT, PREFIX, CompiledTable, UnsupportedRuleError

Chains = Mapping[str, tuple[bytes, ...]]
"""Entries by chain; jumps by their chain's name."""

_PREFIX_MAP = ElementSet("", (KeyType.PREFIX,), data=KeyType.PREFIX)
"""What the rules that translate prefixes would be elements of, were they any."""

_MOST_PORT = 65535
_IFNAMSIZ = 16

_COMMENT = TARGET_HEAD.pack(TARGET_HEAD.size + COMMENT_SIZE, b"comment", 0)


@dataclass(frozen=True, slots=True)
class TableContents:
    """What one table is to hold: our chains, and the first rule of built-in chains."""

    chains: Chains
    jumps: Chains


Parts = Mapping[str, TableContents]
"""By table."""

NOTHING: Parts = {MANGLE: TableContents({}, {}), NAT: TableContents({}, {})}


@lru_cache(maxsize=4)
def blank(mark: int) -> Ruleset:
    """The ruleset that we write, for that mark, without anybody's elements and rules."""
    return render(FirewallIntent(keep=frozenset({"-"}), mark=mark, guest_bridges=()))


def settled(target: Ruleset) -> Ruleset:
    """The target with the chains that it means.

    Chains that were read as damaged may be meant to stay, when all that is wanted is what somebody's elements need.

    Raises:
        NotSayableError: it has other chains than those of `rules`.
    """
    if not target.exists:
        return EMPTY
    mended = replace(target, chains=_owning(blank(mark_of(target)).chains, {c.name: c.owned for c in target.chains}))
    if any(isinstance(term, UnknownExpr) for chain in target.chains for rule in chain.rules for term in rule.terms):
        return mended
    for chain in target.chains:
        if is_supported(chain) and chain != mended.chain(chain.name):
            raise UnsupportedRuleError(
                f"chain {chain.name} can't be said in xtables, "
                "where links' kinds can't be asked for: the intent has to name guest_bridges"
            )
    return mended


def parts(ruleset: Ruleset, dnat: int) -> Parts:
    """What both tables are to hold, `DNAT` in that revision. Raises `UnsupportedRuleError`."""
    if not ruleset.exists:
        return NOTHING
    mangle, nat = compile_ruleset(ruleset)
    book = ledger.written(ruleset, mark_of(ruleset))
    return {MANGLE: _part(replace(mangle, chains=(*mangle.chains, book)), dnat), NAT: _part(nat, dnat)}


def nat_part(ruleset: Ruleset, dnat: int) -> TableContents:
    """What the table nat alone is to hold. Raises `UnsupportedRuleError`."""
    return _part(compile_nat(ruleset), dnat)


def _part(table: CompiledTable, dnat: int) -> TableContents:
    return TableContents(
        {chain.name: tuple(encode(spec, dnat) for spec in chain.specs) for chain in table.chains},
        {builtin: (encode(spec),) for builtin, spec, _ in table.jumps},
    )


def mark_of(ruleset: Ruleset) -> int:
    """The mark that its rules set."""
    terms = (term for chain in ruleset.chains for rule in chain.rules for term in rule.terms)
    return next((term.bits for term in terms if isinstance(term, SetMark)), DEFAULT_MARK)


def understood(there: Mapping[str, Chains], meant: Callable[[Ruleset], Parts]) -> Ruleset:
    """The ruleset that the tables hold; whatever isn't exactly that ruleset's shows as altered chains or as foreign.

    `meant` is `parts`, or what remembers what it gave.
    """
    if not any(ours(chains) for chains in there.values()):
        return EMPTY
    book = ledger.read(_comments(there[MANGLE].get(ledger.NAME, ())))
    said, unknown = _filled(blank(DEFAULT_MARK if book.mark is None else book.mark), book.elements)
    try:
        wanted = meant(said)
    except UnsupportedRuleError as error:
        return replace(said, foreign=(f"what can't be: {error}",))
    damage = [*unknown]
    altered: set[str] = set()
    for table, present in there.items():
        for name in sorted(_differing(present, wanted[table])):
            whose = origin(name, said.chains)
            if whose:
                altered.add(whose)
            else:
                damage.append(f"{name} in table {table}")
    if book.strange:
        damage.append("lines in the ledger that say nothing")
    chains = tuple(_marred(chain) if chain.name in altered else chain for chain in said.chains)
    return replace(said, chains=chains, foreign=tuple(damage))


def ours(chains: Chains) -> bool:
    """Whether anything of ours is in a table: a chain, or a rule that leads to one."""
    return any(name.startswith(PREFIX) or any(leads(each) for each in entries) for name, entries in chains.items())


def leads(entry: bytes) -> str:
    """The chain of ours that the entry sends packets to; empty: to none."""
    target, size = OFFSETS.unpack_from(entry, OFFSETS_AT)
    at = target + NAME_AT
    if size - target != STANDARD or not entry.startswith(_PREFIX, at):
        return ""
    return entry[at : at + NAME_SIZE].partition(b"\0")[0].decode(errors="replace")


_PREFIX = PREFIX.encode()


def _filled(bare: Ruleset, elements: Iterable[tuple[str, Element]]) -> tuple[Ruleset, tuple[str, ...]]:
    """The ruleset with the elements and what rules are written as elements, and what of them has no place in it."""
    found: dict[str, set[Element]] = {each.name: set() for each in bare.sets}
    rules: dict[str, list[Rule]] = {name: [] for name in prefixes.CHAINS}
    unknown: set[str] = set()
    for name, element in elements:
        if name in rules and _fits(element, _PREFIX_MAP):
            rules[name].append(prefixes.rule(name, element.key[0], element.value, element.owner))
            continue
        kind = bare.set(name)
        if kind is None or not _fits(element, kind):
            unknown.add(f"element {element} of set {name}")
        else:
            found[name].add(element)
    sets = tuple(replace(each, elements=frozenset(found[each.name])) for each in bare.sets)
    return replace(bare, chains=_owning(bare.chains, rules), sets=sets), tuple(sorted(unknown))


def _owning(chains: Iterable[Chain], rules: Mapping[str, Sequence[Rule]]) -> tuple[Chain, ...]:
    return tuple(chain.owning(rules.get(chain.name, ())) for chain in chains)


def _fits(element: Element, kind: ElementSet) -> bool:
    """Whether the element can be one of the set's."""
    if len(element.key) != len(kind.key) or bool(element.value) != (kind.data is not None):
        return False
    pairs = [*zip(element.key, kind.key, strict=True), *([(element.value, kind.data)] if kind.data else [])]
    return all(_is(part, of) for part, of in pairs)


@lru_cache(maxsize=32768)
def _is(part: str, kind: KeyType) -> bool:
    match kind:
        case KeyType.PREFIX:
            try:
                return "/" in part and bool(IPv6Network(part))
            except ValueError:
                return False
        case KeyType.PORT:
            return part.isdecimal() and int(part) <= _MOST_PORT
        case KeyType.PROTOCOL:
            return part in set(TransportProtocol)
        case KeyType.INTERFACE:
            return 0 < len(part.encode()) < _IFNAMSIZ and not set(part) & {"/", " "}


def _comments(entries: Iterable[bytes]) -> Iterable[str]:
    at = HEAD + TARGET_HEAD.size
    for entry in entries:
        is_comment = entry.startswith(_COMMENT, HEAD)
        yield entry[at : at + COMMENT_SIZE].partition(b"\0")[0].decode(errors="replace") if is_comment else ""


def _differing(there: Chains, wanted: TableContents) -> Iterable[str]:
    """Our chains that differ, are missing or are too many; of a built-in chain, the chain that is (not) entered."""
    names = {name for name in there if name.startswith(PREFIX)} | set(wanted.chains)
    for name in names:
        if there.get(name) != wanted.chains.get(name):
            yield name
    for name, entries in there.items():
        jumps = wanted.jumps.get(name, ())
        if name.startswith(PREFIX) or entries[: len(jumps)] == jumps == tuple(each for each in entries if leads(each)):
            continue
        if jumps:
            yield leads(jumps[0])
        else:
            yield f"a rule in chain {name}"
    for name, jumps in wanted.jumps.items():
        if name not in there:
            yield leads(jumps[0])


def _marred(chain: Chain) -> Chain:
    """With its rules of single resources, which the ledger has too: whose are held keep them."""
    return replace(chain, rules=(Rule((UnknownExpr("its rules in xtables differ"),)), *chain.owned))
