"""Whose each element is, kept in the kernel beside the rules: a chain that nothing jumps to, of comments. Pure.

xtables has no sets, and a comment on every rule would cost each packet a call and the table twice its size. So the
elements, with set, key, value and owner, and the rules that translate prefixes, as if their chain were a map, are
written once, into a chain that no packet ever sees. A restarted operator
reads them there, compiles them, and compares: what is in the kernel is what they say, or it is drift.

A line is `dockerv6 ledger OWNER SET=PART,PART>VALUE …`; the first one tells the version and the mark instead.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

from dockerv6.firewall.expr import SHARED, Element
from dockerv6.firewall.prefixes import prefixes_of
from dockerv6.firewall.ruleset import Ruleset
from dockerv6.firewall.xtables.entries import COMMENT_SIZE
from dockerv6.firewall.xtables.rule import PREFIX, CompiledChain, UnsupportedRuleError, XtablesRule

NAME = f"{PREFIX}LEDGER"

_BEGIN = "dockerv6 ledger "
_FIRST = "dockerv6 ledger of version 1, mark "
_SHARED = "."
_SAFE = ":/-._@"
_ELEMENT = re.compile(r"([a-z0-9_]+)=([^>]*)(?:>(.*))?")


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is written down. `strange`: lines that say nothing, or come twice."""

    mark: int | None = None
    elements: tuple[tuple[str, Element], ...] = ()  # with the names of their sets and chains
    strange: bool = False


def written(ruleset: Ruleset, mark: int) -> CompiledChain:
    """The chain that says all of it.

    Raises:
        NotSayableError: an element is too long for a comment.
    """
    owned: dict[str, list[str]] = {}
    for each in ruleset.sets:
        for element in sorted(each.elements, key=lambda element: (element.owner, element.key)):
            owned.setdefault(element.owner, []).append(_said(each.name, element))
    for chain in ruleset.chains:
        for rule in chain.owned:
            prefix, to = prefixes_of(rule)
            owned.setdefault(rule.owner, []).append(_said(chain.name, Element((prefix,), rule.owner, to)))
    lines = [f"{_FIRST}{mark:#x}"]
    for owner in sorted(owned):
        lines.extend(_packed(f"{_BEGIN}{quote(owner, safe=_SAFE) or _SHARED}", owned[owner]))
    return CompiledChain(NAME, tuple(XtablesRule(comment=line) for line in lines), "")


def read(comments: Iterable[str]) -> Ledger:
    """What the lines say."""
    mark: int | None = None
    found: dict[tuple[str, tuple[str, ...]], Element] = {}
    strange = False
    for comment in comments:
        if comment.startswith(_FIRST):
            mark, strange = _mark(comment), strange or mark is not None
        elif comment.startswith(_BEGIN):
            for name, element in _line(comment.removeprefix(_BEGIN)):
                strange = strange or (name, element.key) in found
                found[name, element.key] = element
        else:
            strange = True
    return Ledger(mark, tuple((name, element) for (name, _), element in found.items()), strange)


def _mark(comment: str) -> int | None:
    try:
        return int(comment.removeprefix(_FIRST), 16)
    except ValueError:
        return None


@lru_cache(maxsize=32768)
def _said(name: str, element: Element) -> str:
    key = ",".join(quote(part, safe=_SAFE) for part in element.key)
    return f"{name}={key}>{quote(element.value, safe=_SAFE)}" if element.value else f"{name}={key}"


def _line(text: str) -> Iterator[tuple[str, Element]]:
    owner, *said = text.split(" ")
    name = SHARED if owner == _SHARED else unquote(owner)
    for each in said:
        if (match := _ELEMENT.fullmatch(each)) is not None:
            key = tuple(unquote(part) for part in match[2].split(","))
            yield match[1], Element(key, name, unquote(match[3] or ""))


def _packed(begin: str, said: Iterable[str]) -> Iterator[str]:
    line = begin
    for each in said:
        if len(line) + 1 + len(each) >= COMMENT_SIZE:
            if line == begin:
                raise UnsupportedRuleError(f"too long for a comment: {begin} {each}")
            yield line
            line = begin
        line = f"{line} {each}"
    if line != begin:
        yield line
    if len(begin) >= COMMENT_SIZE:
        raise UnsupportedRuleError(f"too long for a comment: {begin}")
