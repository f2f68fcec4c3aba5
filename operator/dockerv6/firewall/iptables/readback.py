"""From a ruleset to the entries that the tables should hold, and from the tables back to the ruleset. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv6Network
from itertools import groupby

from dockerv6.firewall import prefixes
from dockerv6.firewall.expr import Chain, Element, ElementSet, KeyType, Rule, SetMark, UnknownExpr
from dockerv6.firewall.iptables import ownership
from dockerv6.firewall.iptables.compile import CompiledTable, compile_nat, compile_ruleset, is_supported, origin
from dockerv6.firewall.model import DEFAULT_MARK, FirewallIntent
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY, Ruleset
from dockerv6.firewall.xtables.entries import chain_of, comment_of, encode
from dockerv6.firewall.xtables.rule import MANGLE, NAT, OWN_CHAIN_PREFIX, UnsupportedRuleError
from dockerv6.lib.networking import MAX_INTERFACE_NAME, TransportProtocol

Chains = Mapping[str, tuple[bytes, ...]]
"""Entries by chain, as `entries.encode` gives them."""

_PREFIX_MAP = ElementSet("", (KeyType.PREFIX,), data=KeyType.PREFIX)
"""The map that the rules which translate prefixes are recorded as elements of."""

_MOST_PORT = 65535


@dataclass(frozen=True, slots=True)
class TableContents:
    """What one table should hold: our chains, and the first rules of built-in chains."""

    chains: Chains
    jumps: Chains


Contents = Mapping[str, TableContents]
"""By table."""

EMPTY_CONTENTS: Contents = {MANGLE: TableContents({}, {}), NAT: TableContents({}, {})}


@lru_cache(maxsize=4)
def blank(mark: int) -> Ruleset:
    """The ruleset that we write for a mark, without elements and rules of resources."""
    return render(FirewallIntent(keep=frozenset({"-"}), mark=mark, guest_bridges=()))


def with_rendered_chains(target: Ruleset) -> Ruleset:
    """The target with the chains as `render` writes them.

    Raises:
        UnsupportedRuleError: the target has other chains than `render` writes for an intent with `guest_bridges`.
    """
    if not target.exists:
        return EMPTY
    rendered = replace(target, chains=_owning(blank(mark_of(target)).chains, {c.name: c.owned for c in target.chains}))
    for chain in target.chains:
        if is_supported(chain) and chain != rendered.chain(chain.name):
            raise UnsupportedRuleError(
                f"chain {chain.name} can't be written for xtables, which doesn't match on a link's kind: "
                "the intent has to name guest_bridges"
            )
    return rendered


def contents_of(ruleset: Ruleset, dnat: int) -> Contents:
    """What both tables should hold, `DNAT` in that revision. Raises `UnsupportedRuleError`."""
    if not ruleset.exists:
        return EMPTY_CONTENTS
    mangle, nat = compile_ruleset(ruleset)
    records = ownership.compile_records(ruleset, mark_of(ruleset))
    return {MANGLE: _contents(replace(mangle, chains=(*mangle.chains, records)), dnat), NAT: _contents(nat, dnat)}


def nat_contents(ruleset: Ruleset, dnat: int) -> TableContents:
    """What the table nat alone should hold. Raises `UnsupportedRuleError`."""
    return _contents(compile_nat(ruleset), dnat)


def _contents(table: CompiledTable, dnat: int) -> TableContents:
    return TableContents(
        {chain.name: tuple(encode(rule, dnat) for rule in chain.rules) for chain in table.chains},
        {
            builtin: tuple(encode(rule) for _, rule, _ in jumps)
            for builtin, jumps in groupby(table.jumps, key=lambda jump: jump[0])
        },
    )


def mark_of(ruleset: Ruleset) -> int:
    """The mark that its rules set."""
    terms = (term for chain in ruleset.chains for rule in chain.rules for term in rule.terms)
    return next((term.bits for term in terms if isinstance(term, SetMark)), DEFAULT_MARK)


def ruleset_of(present: Mapping[str, Chains], expect: Callable[[Ruleset], Contents]) -> Ruleset:
    """The ruleset that the tables hold. What differs from its contents shows as altered chains or as foreign.

    Args:
        present: the chains by table.
        expect: `contents_of`, or a cache of it.
    """
    if not any(has_own(chains) for chains in present.values()):
        return EMPTY
    records = ownership.read_records(map(comment_of, present[MANGLE].get(ownership.CHAIN, ())))
    recorded, unknown = _filled(blank(DEFAULT_MARK if records.mark is None else records.mark), records.elements)
    try:
        expected = expect(recorded)
    except UnsupportedRuleError as error:
        return replace(recorded, foreign=(f"what no kernel takes: {error}",))
    foreign = [*unknown]
    altered: set[str] = set()
    for table, chains in present.items():
        for name in sorted(_differing(chains, expected[table])):
            whose = origin(name, recorded.chains)
            if whose:
                altered.add(whose)
            else:
                foreign.append(f"{name} in table {table}")
    if records.malformed:
        foreign.append("ownership records that can't be read")
    chains_read = tuple(_altered(chain) if chain.name in altered else chain for chain in recorded.chains)
    return replace(recorded, chains=chains_read, foreign=tuple(foreign))


def has_own(chains: Chains) -> bool:
    """Whether a table holds anything of ours: a chain, or a rule that enters one."""
    return any(name.startswith(OWN_CHAIN_PREFIX) or any(map(entered_chain, each)) for name, each in chains.items())


def entered_chain(entry: bytes) -> str:
    """The chain of ours that the entry sends packets to; empty: none."""
    name = chain_of(entry)
    return name if name.startswith(OWN_CHAIN_PREFIX) else ""


def _filled(bare: Ruleset, elements: Iterable[tuple[str, Element]]) -> tuple[Ruleset, tuple[str, ...]]:
    """The ruleset with the recorded elements and rules, and a line for each element that no set of it can hold."""
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
    """Whether the set can hold the element."""
    if len(element.key) != len(kind.key) or bool(element.value) != (kind.data is not None):
        return False
    pairs = [*zip(element.key, kind.key, strict=True), *([(element.value, kind.data)] if kind.data else [])]
    return all(_is_of_kind(part, of) for part, of in pairs)


@lru_cache(maxsize=32768)
def _is_of_kind(part: str, kind: KeyType) -> bool:
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
            return 0 < len(part.encode(errors="surrogateescape")) <= MAX_INTERFACE_NAME and not set(part) & {"/", " "}


def _differing(present: Chains, expected: TableContents) -> Iterable[str]:
    """Our chains that differ, are missing or are too many; of a built-in chain, the chain that its jump enters."""
    names = {name for name in present if name.startswith(OWN_CHAIN_PREFIX)} | set(expected.chains)
    for name in names:
        if present.get(name) != expected.chains.get(name):
            yield name
    for name, entries in present.items():
        jumps = expected.jumps.get(name, ())
        if name.startswith(OWN_CHAIN_PREFIX) or has_jumps(entries, jumps):
            continue
        yield from map(entered_chain, jumps) if jumps else (f"a rule in chain {name}",)
    for name, jumps in expected.jumps.items():
        if name not in present:
            yield from map(entered_chain, jumps)


def has_jumps(entries: tuple[bytes, ...], jumps: tuple[bytes, ...]) -> bool:
    """Whether these jumps are a chain's first rules, and no other rule of it enters a chain of ours."""
    return entries[: len(jumps)] == jumps == tuple(filter(entered_chain, entries))


def _altered(chain: Chain) -> Chain:
    """The chain as an altered one; it keeps the rules of resources, which are recorded."""
    return replace(chain, rules=(Rule((UnknownExpr("its rules in xtables differ"),)), *chain.owned))
