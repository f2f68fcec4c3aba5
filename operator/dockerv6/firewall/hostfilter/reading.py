"""Reads every base chain that IPv6 packets pass: nftables and iptables-nft over nfnetlink, legacy tables by getsockopt.

What was decoded is kept for as long as the kernel shows the same bytes, so a change of one rule costs the decoding of
one rule. What is read is bounded: a table that is too large, or that changes all the time, is refused, and then the
fate of the flows is unknown.
"""

import operator
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.nftables import kernel
from dockerv6.firewall.nftables.foreign import FAMILIES, NftChain, decode_chain
from dockerv6.firewall.nftables.kernel import NFPROTO_INET, NFPROTO_IPV6, attributes_of, number_in, text_in
from dockerv6.firewall.nftables.session import ABSENT
from dockerv6.firewall.nftables.sets import name_of
from dockerv6.firewall.port import FirewallBusy, FirewallError
from dockerv6.firewall.walk import legacy
from dockerv6.firewall.walk.chains import BaseChain, Evidence, FilterTable, Lookup, TableChain, WalkRule
from dockerv6.firewall.walk.evaluator import Walk
from dockerv6.firewall.walk.machine import NftWalkRule
from dockerv6.firewall.walk.packet import Flow, Paths
from dockerv6.firewall.walk.sets import WalkSet, decode_set
from dockerv6.firewall.walk.verdicts import FlowVerdict
from dockerv6.firewall.xtables.legacy import LegacyReader, LegacyTable, used_tables
from dockerv6.firewall.xtables.rule import FILTER, MANGLE, NAT

RULE_BYTES = 32 << 20
"""Bytes of a family's rules. 20,000 rules have about 8 MiB."""

ELEMENT_BYTES = 8 << 20
"""Bytes of a set's elements. 65,536 elements have about 4 MiB."""

_ATTEMPTS = 8
_FAMILIES = (NFPROTO_INET, NFPROTO_IPV6)
_XTABLES = frozenset({FILTER, MANGLE, NAT, "raw", "security"})
"""Names of iptables-nft's tables."""

_TABLE_NAME, _TABLE_FLAGS, _DORMANT = 1, 2, 0x1  # NFTA_TABLE_*, NFT_TABLE_F_DORMANT
_RULE_TABLE, _RULE_CHAIN, _RULE_HANDLE, _SET_TABLE = 1, 2, 3, 1  # NFTA_RULE_*, NFTA_SET_TABLE


@dataclass(slots=True)
class FilterReader:
    """Reads again and again, on the thread of its caller and in that thread's network namespace."""

    nftables: kernel.NfTables = field(default_factory=kernel.NfTables)
    legacy: LegacyReader = field(default_factory=LegacyReader)
    _rules: dict[tuple[int, str, str, bytes], NftWalkRule] = field(default_factory=dict)
    _chains: dict[tuple[str, str, str], Sequence[WalkRule]] = field(default_factory=dict)
    _sets: dict[tuple[int, str, str], tuple[Sequence[bytes], WalkSet]] = field(default_factory=dict)
    _tables: dict[str, tuple[LegacyTable, tuple[BaseChain, ...]]] = field(default_factory=dict)
    _known: tuple[int, tuple[BaseChain, ...]] | None = None

    def read(self) -> tuple[BaseChain, ...]:
        """Every base chain of family inet, of ip6 and of legacy tables, but for those of dormant tables.

        Raises:
            OSError: it can't be read.
            FirewallError: it is too large, or changes all the time.
        """
        return (*self._nftables(), *self._legacy())

    def close(self) -> None:
        """Close the socket."""
        self.nftables.close()

    # ---- nftables

    def _nftables(self) -> tuple[BaseChain, ...]:
        for _ in range(_ATTEMPTS):
            try:
                generation = self.nftables.generation()
            except OSError as error:
                if error.errno in ABSENT:
                    return ()  # without nf_tables nothing in it can drop
                raise
            if self._known is not None and self._known[0] == generation:
                return self._known[1]
            try:
                found = tuple(chain for family in _FAMILIES for chain in self._family(family))
            except (InterruptedError, FileNotFoundError):  # it changed meanwhile
                continue
            except OverflowError as error:
                raise FirewallBusy("the packet filter has too many rules to be followed") from error
            if self.nftables.generation() == generation:
                self._known = generation, found
                return found
        raise FirewallBusy("the packet filter changes all the time while it is read")

    def _family(self, family: int) -> Iterator[BaseChain]:
        dormant = self._dormant(family)
        chains = [
            decode_chain(family, dict(attributes_of(each)))
            for each in self.nftables.dump(kernel.NFT_MSG_GETCHAIN, family=family)
        ]
        live = [each for each in chains if each.table not in dormant]
        if not any(each.hook for each in live):
            return
        rules = self._rules_of(family)
        sets = self._sets_of(family, dormant)
        tables: dict[str, FilterTable] = {}
        for each in live:
            if each.table not in tables:
                here = {
                    chain.name: rules.get((each.table, chain.name), ()) for chain in live if chain.table == each.table
                }
                tables[each.table] = FilterTable(
                    _variant(each), each.family, each.table, here, sets.get(each.table, {})
                )
            if each.hook:
                yield _base(each, tables[each.table])

    def _dormant(self, family: int) -> frozenset[str]:
        listed = (dict(attributes_of(each)) for each in self.nftables.dump(kernel.NFT_MSG_GETTABLE, family=family))
        return frozenset(
            text_in(each[_TABLE_NAME]) for each in listed if number_in(each.get(_TABLE_FLAGS, b"")) & _DORMANT
        )

    def _rules_of(self, family: int) -> Mapping[tuple[str, str], Sequence[WalkRule]]:
        """The rules by table and chain. An equal rule, and a chain of such rules, are the same objects as before."""
        found: dict[tuple[str, str], list[NftWalkRule]] = {}
        rules: dict[tuple[str, str, bytes], NftWalkRule] = {}
        for raw in self.nftables.dump(kernel.NFT_MSG_GETRULE, family=family, most=RULE_BYTES):
            place = _place(raw)
            known = self._rules.get((family, *place))
            if known is None or known.raw != raw:
                name = FAMILIES[family]
                new = NftWalkRule(raw, name, xtables=_is_xtables(name, place[0]))
                known = known if known is not None and known.rule == new.rule else new
            rules[place] = known
            found.setdefault(place[:2], []).append(known)
        self._rules = {key: rule for key, rule in self._rules.items() if key[0] != family}
        self._rules |= {(family, *place): rule for place, rule in rules.items()}
        return {place: self._kept((str(family), *place), tuple(listed)) for place, listed in found.items()}

    def _kept(self, place: tuple[str, str, str], rules: Sequence[WalkRule]) -> Sequence[WalkRule]:
        """The chain as it was, if its rules are equal."""
        known = self._chains.get(place, ())
        if len(known) != len(rules) or any(map(operator.is_not, known, rules)):
            self._chains[place] = rules
        return self._chains[place]

    def _sets_of(self, family: int, dormant: frozenset[str]) -> Mapping[str, Mapping[str, WalkSet]]:
        found: dict[str, dict[str, WalkSet]] = {}
        for raw in self.nftables.dump(kernel.NFT_MSG_GETSET, family=family):
            attributes = dict(attributes_of(raw))
            table, name = text_in(attributes[_SET_TABLE]), name_of(attributes)
            if table not in dormant:
                found.setdefault(table, {})[name] = self._set(family, table, name, raw)
        return found

    def _set(self, family: int, table: str, name: str, raw: bytes) -> WalkSet:
        try:
            messages = self.nftables.dump(kernel.NFT_MSG_GETSETELEM, table, name, family=family, most=ELEMENT_BYTES)
        except OverflowError:
            return WalkSet(None)
        key, shown = (family, table, name), (raw, *messages)
        if key not in self._sets or self._sets[key][0] != shown:
            self._sets[key] = shown, decode_set(dict(attributes_of(raw)), messages)
        return self._sets[key][1]

    # ---- legacy

    def _legacy(self) -> Iterator[BaseChain]:
        for name in sorted(used_tables() & legacy.TABLES.keys()):
            known = self._tables.get(name)
            table = self.legacy.read(name) if known is None else self.legacy.read(name, known[0])
            if known is None or table is not known[0]:
                before = known[1][0].table.chains if known is not None and known[1] else {}
                known = table, tuple(legacy.base_chains(name, table.chains(name), before))
                self._tables[name] = known
            yield from known[1]


def _place(raw: bytes) -> tuple[str, str, bytes]:
    """Table, chain and handle of a rule, with which its attributes begin."""
    found: dict[int, bytes] = {}
    for kind, value in attributes_of(raw):
        found[kind] = value
        if kind == _RULE_HANDLE:
            break
    return text_in(found.get(_RULE_TABLE, b"")), text_in(found.get(_RULE_CHAIN, b"")), found.get(_RULE_HANDLE, b"")


def _variant(chain: NftChain) -> FilterVariant:
    return FilterVariant.XTABLES_NFT if _is_xtables(chain.family, chain.table) else FilterVariant.NFTABLES


def _is_xtables(family: str, table: str) -> bool:
    return family == FAMILIES[NFPROTO_IPV6] and table in _XTABLES


def _base(chain: NftChain, table: FilterTable) -> BaseChain:
    return BaseChain(
        table, chain.name, chain.hook, chain.priority, drops=chain.policy == "drop", translates=chain.type == "nat"
    )


STEPS = 200_000
"""Rules that are evaluated in one go for all flows of the host: some seconds of one CPU."""


@dataclass(slots=True)
class PacketWalk:
    """Follows flows through what the kernel holds. A verdict is kept as long as what it was made from is the same."""

    reader: FilterReader = field(default_factory=FilterReader)
    _scene: object = None
    _verdicts: dict[Flow, tuple[FlowVerdict, tuple[TableChain | Lookup, ...]]] = field(default_factory=dict)
    _evidence: Evidence = field(default_factory=Evidence)

    def close(self) -> None:
        """Close the socket."""
        self.reader.close()

    def follow(self, flows: Sequence[Flow], paths: Paths) -> tuple[FlowVerdict, ...]:
        """The fate of each flow; it is unknown if the filters can't be read."""
        try:
            chains = self.reader.read()
        except (OSError, FirewallError) as error:
            return (FlowVerdict(None, doubt=f"the host's filters can't be read: {error}"),) * len(flows)
        tables = {str(each.table): each.table for each in chains}
        scene = paths, tuple((str(e.table), e.name, e.hook, e.priority, e.drops, e.translates) for e in chains)
        if self._scene != scene:
            self._scene, self._verdicts, self._evidence = scene, {}, Evidence()
        changed, before = self._evidence.changed(tables), self._verdicts
        before = {flow: before[flow] for flow in flows if flow in before and changed.isdisjoint(before[flow][1])}
        self._verdicts = {}
        self._evidence.drop_others(frozenset(key for _, keys in before.values() for key in keys))
        walk = Walk.through(chains, paths, STEPS, pause=partial(time.sleep, 0))  # other threads get the interpreter
        for flow in flows:
            if flow in before:
                self._verdicts[flow] = before[flow]
            else:
                verdict = walk.follow_for_others(flow)
                self._verdicts[flow] = verdict, self._evidence.keep(walk.reliance)
        verdicts = tuple(self._verdicts[flow][0] for flow in flows)
        if not walk.steps:  # the next time, it is for the flows that are left
            self._verdicts = {flow: kept for flow, kept in self._verdicts.items() if kept[0].passes is not None}
        return verdicts
