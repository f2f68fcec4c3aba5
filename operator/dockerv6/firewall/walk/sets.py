"""Sets, maps and verdict maps of nftables, as any program may have defined them, and what is found in them. Pure.

An element is a range of keys in each field of the key, often of a single value. What it means is decided by the
kernel's three kinds of sets: hash tables, trees of ranges (whose dump names where each range begins and where it has
ended), and ranges in each field of a concatenation (nft_set_hash.c, nft_set_rbtree.c, nft_set_pipapo.c).
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dockerv6.firewall.nftables.kernel import attributes_of, number_in, text_in
from dockerv6.firewall.nftables.sets import raw_elements
from dockerv6.firewall.walk.bits import Answer, Bits, every

LARGEST = 65_536
"""Elements. A larger set is not read, and a look-up in it has no certain answer."""

_GUESSED = 2_048
"""Elements that a key of which bits are unknown is compared with at most."""

_NAME, _FLAGS, _KEY_SIZE, _DESCRIPTION = 2, 3, 5, 9  # NFTA_SET_*
_CONCAT, _FIELD, _FIELD_SIZE = 2, 1, 1  # NFTA_SET_DESC_CONCAT, NFTA_LIST_ELEM, NFTA_SET_FIELD_LEN
_INTERVALS = 0x4  # NFT_SET_INTERVAL
_KEY, _DATA, _ELEMENT_FLAGS, _EXPRESSION, _KEY_END, _EXPRESSIONS = 1, 2, 3, 7, 10, 11  # NFTA_SET_ELEM_*
_ENDS, _CATCHALL = 0x1, 0x2  # NFT_SET_ELEM_*
_VALUE, _VERDICT, _CODE, _CHAIN = 1, 2, 1, 2  # NFTA_DATA_*, NFTA_VERDICT_*
_EXPRESSION_NAME = 1  # NFTA_EXPR_NAME
_HARMLESS = frozenset({"counter", "last"})


@dataclass(frozen=True, slots=True)
class FoundElement:
    """An element.

    Attributes:
        first: the least key, and `last` the greatest one, in every field.
        value: of a map.
        verdict: of a verdict map: its code and chain.
        uncertain: an expression decides with every packet whether it matches, such as a limit.
    """

    first: bytes
    last: bytes
    value: bytes = b""
    verdict: tuple[int, str] | None = None
    uncertain: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a lookup: whether there is an element, and which ones it may be."""

    answer: Answer
    elements: Sequence[FoundElement] = ()


UNTOLD = Found(None)
"""The answer is unknown."""

NOT_FOUND = Found(answer=False)


@dataclass(slots=True)
class WalkSet:
    """A set. `fields` are the sizes of its key's fields, where it has ranges in each of them."""

    elements: Sequence[FoundElement] | None  # None: too many
    key_size: int = 0
    fields: tuple[int, ...] = ()
    catchall: FoundElement | None = None
    _single: dict[bytes, FoundElement] = field(default_factory=dict)
    _starts: list[bytes] = field(default_factory=list)
    _ranges: list[FoundElement] = field(default_factory=list)
    _masked: dict[int, dict[int, FoundElement]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Build the indexes for keys whose bits are all known."""
        for each in self.elements or ():
            if each.first == each.last:
                self._single[each.first] = each
            elif self.fields and (mask := self._mask(each)):
                self._masked.setdefault(mask, {})[int.from_bytes(each.first, "big")] = each
            else:
                self._ranges.append(each)
        self._ranges.sort(key=lambda each: each.first)
        self._starts = [each.first for each in self._ranges]

    def find(self, key: Bits) -> Found:
        """Look up a key."""
        if self.elements is None:
            return UNTOLD
        found = self._exact(key.data) if key.exact else self._possible(key)
        if found.answer is True or self.catchall is None:
            return found
        if found.answer is None:
            return Found(None, (*found.elements, self.catchall)) if found.elements else UNTOLD
        return Found(None if self.catchall.uncertain else True, (self.catchall,))

    def _exact(self, key: bytes) -> Found:
        each = self._single.get(key) or self._in_masked(key)
        if each is None and self.fields and len(self._ranges) > _GUESSED:
            return UNTOLD  # every one of them would have to be compared
        each = each or self._in_ranges(key)
        if each is None:
            return NOT_FOUND
        return Found(None if each.uncertain else True, (each,))

    def _in_masked(self, key: bytes) -> FoundElement | None:
        number = int.from_bytes(key, "big")
        return next((each for mask, here in self._masked.items() if (each := here.get(number & mask))), None)

    def _in_ranges(self, key: bytes) -> FoundElement | None:
        if self.fields:
            known = Bits(key, b"\xff" * len(key))
            return next((each for each in self._ranges if self._matches(each, known)), None)
        at = bisect_right(self._starts, key) - 1
        return self._ranges[at] if at >= 0 and key <= self._ranges[at].last else None

    def _possible(self, key: Bits) -> Found:
        """The elements that a key with unknown bits may match."""
        if self.elements is None or len(self.elements) > _GUESSED:
            return UNTOLD
        answers = [(self._matches(each, key), each) for each in self.elements]
        possible = [each for answer, each in answers if answer is not False]
        certain = any(answer and not each.uncertain for answer, each in answers)
        return Found(True if certain else None if possible else False, possible)

    def _matches(self, element: FoundElement, key: Bits) -> Answer:
        if not self.fields:
            return key.within(element.first, element.last)
        answers, at = [], 0
        for size in self.fields:
            answers.append(key.part(at, size).within(element.first[at : at + size], element.last[at : at + size]))
            at += size + -size % 4
        return every(*answers)

    def _mask(self, element: FoundElement) -> int:
        """The bits in which keys of the element are alike; 0: its ranges are not all prefixes."""
        mask, at = b"", 0
        for size in self.fields:
            first, last = (int.from_bytes(end[at : at + size], "big") for end in (element.first, element.last))
            hosts = first ^ last
            if hosts & (hosts + 1) or first & hosts:
                return 0
            mask += (~hosts & (1 << 8 * size) - 1).to_bytes(size, "big") + b"\xff" * (-size % 4)
            at += size + -size % 4
        return int.from_bytes(mask, "big")


def decode_set(attributes: Mapping[int, bytes], messages: Iterable[bytes]) -> WalkSet:
    """A set in a dump, with the messages of its elements."""
    raw, size = list(raw_elements(messages)), number_in(attributes.get(_KEY_SIZE, b""))
    if len(raw) > LARGEST:
        return WalkSet(None)
    parsed = [dict(attributes_of(each)) for each in raw]
    catchall = next((each for each in parsed if number_in(each.get(_ELEMENT_FLAGS, b"")) & _CATCHALL), None)
    fields = _fields(attributes)
    keyed = [each for each in parsed if _KEY in each]
    intervals = bool(number_in(attributes.get(_FLAGS, b"")) & _INTERVALS)
    ranges = _tree(keyed, size) if intervals and not fields else (_element(each) for each in keyed)
    return WalkSet(
        tuple(ranges),
        size,
        fields if intervals else (),
        None if catchall is None else _element(catchall),
    )


def _fields(attributes: Mapping[int, bytes]) -> tuple[int, ...]:
    description = dict(attributes_of(attributes.get(_DESCRIPTION, b"")))
    listed = attributes_of(description.get(_CONCAT, b""))
    return tuple(number_in(dict(attributes_of(each)).get(_FIELD_SIZE, b"")) for _, each in listed)


def _tree(parsed: Iterable[Mapping[int, bytes]], size: int) -> Iterator[FoundElement]:
    """The ranges of a tree: an end is the first key behind a range; without an end, the range has all keys."""
    ends = {True: 0, False: 1}
    placed = sorted(
        (
            (decode_data(each[_KEY]).value, ends[bool(number_in(each.get(_ELEMENT_FLAGS, b"")) & _ENDS)], number, each)
            for number, each in enumerate(parsed)
        ),
        key=lambda item: item[:3],
    )
    for place, (key, begins, _, each) in enumerate(placed):
        if not begins:
            continue
        if _KEY_END in each:
            yield _element(each)
            continue
        behind = placed[place + 1][0] if place + 1 < len(placed) else None
        last = b"\xff" * (size or len(key)) if behind is None else _before(behind)
        yield _element(each, last)


def _before(key: bytes) -> bytes:
    return (int.from_bytes(key, "big") - 1).to_bytes(len(key), "big")


def _element(parsed: Mapping[int, bytes], last: bytes = b"") -> FoundElement:
    first = decode_data(parsed[_KEY]).value if _KEY in parsed else b""
    if _KEY_END in parsed:
        last = decode_data(parsed[_KEY_END]).value
    data = decode_data(parsed.get(_DATA, b""))
    listed = [parsed[_EXPRESSION]] if _EXPRESSION in parsed else []
    listed += [each for _, each in attributes_of(parsed.get(_EXPRESSIONS, b""))]
    names = {text_in(dict(attributes_of(each)).get(_EXPRESSION_NAME, b"")) for each in listed}
    return FoundElement(first, last or first, data.value, data.verdict, uncertain=not names <= _HARMLESS)


@dataclass(frozen=True, slots=True)
class NftData:
    """A value, or a verdict: its code and chain (NFTA_DATA_*)."""

    value: bytes = b""
    verdict: tuple[int, str] | None = None


def decode_data(nested: bytes) -> NftData:
    """The value or the verdict in an attribute."""
    found = dict(attributes_of(nested))
    if _VERDICT not in found:
        return NftData(found.get(_VALUE, b""))
    verdict = dict(attributes_of(found[_VERDICT]))
    code = int.from_bytes(verdict.get(_CODE, b""), "big", signed=True)
    return NftData(verdict=(code, text_in(verdict.get(_CHAIN, b""))))
