"""The owner of each element, kept in the kernel beside the rules: a chain of comments that nothing jumps to. Pure.

xtables has no sets, and a comment on every rule would cost each packet a call and the table twice its size. So the
elements, with set, key, value and owner, are written once, into a chain that no packet passes; the rules that translate
prefixes are written there as if their chain were a map. After a restart the operator reads the records, compiles them,
and compares: a rule in the kernel that differs from them is drift.

A record is `dockerv6 ledger OWNER SET=PART,PART>VALUE …`; the first one holds the version and the mark instead.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

from dockerv6.firewall.expr import SHARED, Element
from dockerv6.firewall.iptables.compile import CompiledChain
from dockerv6.firewall.prefixes import prefixes_of
from dockerv6.firewall.ruleset import Ruleset
from dockerv6.firewall.xtables.entries import COMMENT_SIZE
from dockerv6.firewall.xtables.rule import OWN_CHAIN_PREFIX, UnsupportedRuleError, XtablesRule

CHAIN = f"{OWN_CHAIN_PREFIX}LEDGER"
"""The chain's name, and the records' first words, are of the first version; a host that is updated has them."""

_BEGIN = "dockerv6 ledger "
_FIRST = "dockerv6 ledger of version 1, mark "
_SHARED = "."
_SAFE = ":/-._@"
_ELEMENT = re.compile(r"([a-z0-9_]+)=([^>]*)(?:>(.*))?")


@dataclass(frozen=True, slots=True)
class OwnershipRecords:
    """What the records hold.

    Attributes:
        mark: the mark that the rules use; None: no record holds it.
        elements: with the names of their sets and chains.
        malformed: there are records that can't be read, or two for the same element.
    """

    mark: int | None = None
    elements: tuple[tuple[str, Element], ...] = ()
    malformed: bool = False


def compile_records(ruleset: Ruleset, mark: int) -> CompiledChain:
    """The chain that holds the records of a ruleset.

    Raises:
        UnsupportedRuleError: an element is too long for a comment.
    """
    owned: dict[str, list[str]] = {}
    for each in ruleset.sets:
        for element in sorted(each.elements, key=lambda element: (element.owner, element.key)):
            owned.setdefault(element.owner, []).append(_format(each.name, element))
    for chain in ruleset.chains:
        for rule in chain.owned:
            prefix, to = prefixes_of(rule)
            owned.setdefault(rule.owner, []).append(_format(chain.name, Element((prefix,), rule.owner, to)))
    records = [f"{_FIRST}{mark:#x}"]
    for owner in sorted(owned):
        records.extend(_packed(f"{_BEGIN}{quote(owner, safe=_SAFE) or _SHARED}", owned[owner]))
    return CompiledChain(CHAIN, tuple(XtablesRule(comment=record) for record in records), "")


def read_records(comments: Iterable[str]) -> OwnershipRecords:
    """The records in these comments."""
    mark: int | None = None
    found: dict[tuple[str, tuple[str, ...]], Element] = {}
    malformed = False
    for comment in comments:
        if comment.startswith(_FIRST):
            mark, malformed = _mark(comment), malformed or mark is not None
        elif comment.startswith(_BEGIN):
            for name, element in _elements(comment.removeprefix(_BEGIN)):
                malformed = malformed or (name, element.key) in found
                found[name, element.key] = element
        else:
            malformed = True
    return OwnershipRecords(mark, tuple((name, element) for (name, _), element in found.items()), malformed)


def _mark(comment: str) -> int | None:
    try:
        return int(comment.removeprefix(_FIRST), 16)
    except ValueError:
        return None


@lru_cache(maxsize=32768)
def _format(name: str, element: Element) -> str:
    key = ",".join(quote(part, safe=_SAFE, errors="surrogateescape") for part in element.key)
    return f"{name}={key}>{quote(element.value, safe=_SAFE)}" if element.value else f"{name}={key}"


def _elements(text: str) -> Iterator[tuple[str, Element]]:
    owner, *words = text.split(" ")
    name = SHARED if owner == _SHARED else unquote(owner)
    for word in words:
        if (match := _ELEMENT.fullmatch(word)) is not None:
            key = tuple(unquote(part, errors="surrogateescape") for part in match[2].split(","))
            yield match[1], Element(key, name, unquote(match[3] or ""))


def _packed(begin: str, words: Iterable[str]) -> Iterator[str]:
    """Records that begin so, each with as many of the words as a comment holds."""
    record = begin
    for word in words:
        if len(record) + 1 + len(word) >= COMMENT_SIZE:
            if record == begin:
                raise UnsupportedRuleError(f"too long for a comment: {begin} {word}")
            yield record
            record = begin
        record = f"{record} {word}"
    if record != begin:
        yield record
    if len(begin) >= COMMENT_SIZE:
        raise UnsupportedRuleError(f"too long for a comment: {begin}")
