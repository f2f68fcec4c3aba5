from ipaddress import IPv6Address

import pytest

from dockerv6.firewall.expr import Element, ElementSet, KeyType
from dockerv6.firewall.nftables import sets
from tests.unit.lib.encoding import attribute

PREFIX, LINK, PROTOCOL, PORT = KeyType.PREFIX, KeyType.INTERFACE, KeyType.PROTOCOL, KeyType.PORT
END = (1 << 128) - 1


def nested(kind: int, value: bytes) -> bytes:
    return attribute(kind | 0x8000, attribute(1, value))


def raw(key: bytes, *, last: bytes = b"", data: bytes = b"", owner: str = "", flags: int = 0) -> bytes:
    made = nested(1, key)
    if last:
        made += nested(10, last)
    if data:
        made += nested(2, data)
    if flags:
        made += attribute(3, flags.to_bytes(4, "big"))
    if owner:
        text = owner.encode() + b"\0"
        made += attribute(6, b"\x07\x02xx" + bytes((0, len(text))) + text)
    return made


def address(text: str) -> bytes:
    return IPv6Address(text).packed


def name(text: str) -> bytes:
    return text.encode().ljust(16, b"\0")


def a_set(*key: KeyType, data: KeyType | None = None, interval: bool = True) -> ElementSet:
    return ElementSet("s", key, interval=interval, data=data)


TCP, HTTP = b"\x06\0\0\0", b"\0\x50\0\0"


@pytest.mark.parametrize(
    ("element", "of", "expected"),
    [
        (raw(name("br0"), owner="blog"), a_set(LINK, interval=False), Element(("br0",), "blog")),
        (
            raw(TCP + HTTP, data=address("fd00::5"), owner="policy/all"),
            a_set(PROTOCOL, PORT, data=PREFIX, interval=False),
            Element(("tcp", "80"), "policy/all", "fd00::5/128"),
        ),
        (
            raw(b"\x84\0\0\0" + HTTP, data=b"\x01\xbb"),
            a_set(PROTOCOL, PORT, data=PORT, interval=False),
            Element(("sctp", "80"), "", "443"),
        ),
        (
            raw(address("fd00::") + name("br0"), last=address("fd00::ffff:ffff:ffff:ffff") + name("br0")),
            a_set(PREFIX, LINK),
            Element(("fd00::/64", "br0")),
        ),
        (
            raw(address("fd00::1") + address("::"), last=address("fd00::5") + END.to_bytes(16, "big")),
            a_set(PREFIX, PREFIX),
            Element(("fd00::1-fd00::5", "::/0")),
        ),
    ],
)
def test_an_element_is_read_from_its_bytes(element: bytes, of: ElementSet, expected: Element) -> None:
    assert sets.decode_element(element, of) == expected


@pytest.mark.parametrize(
    ("element", "of"),
    [
        (raw(name("br0"), flags=2), a_set(LINK)),
        (raw(b"\x8f\0\0\0"), a_set(PROTOCOL)),
        (raw(name("br0"), last=name("br9")), a_set(LINK)),
        (raw(b"\0\x50", last=b"\0\x5a"), a_set(PORT)),
        (raw(b"x" * 16), a_set(LINK)),
        (attribute(3, bytes(4)), a_set(LINK)),
        (attribute(1, attribute(2, b"verdict")), a_set(LINK)),
    ],
)
def test_an_element_of_another_form_is_refused(element: bytes, of: ElementSet) -> None:
    with pytest.raises(sets.UnknownElementError):
        sets.decode_element(element, of)


def test_the_boundaries_of_ranges_become_elements() -> None:
    boundaries = [
        sets.RangeBoundary(0, False, "", ""),  # nft writes this first, unless the set starts at ::
        sets.RangeBoundary(int(IPv6Address("fd00::")), True, "blog", "::5/128"),
        sets.RangeBoundary(int(IPv6Address("fd00:0:0:1::")), False, "", ""),
        sets.RangeBoundary(int(IPv6Address("fd00:0:0:1::")), True, "shop", ""),
        sets.RangeBoundary(int(IPv6Address("fd00:0:0:2::")), False, "", ""),
        sets.RangeBoundary(int(IPv6Address("ff00::")), True, "", ""),
    ]
    assert list(sets.ranges(boundaries[::-1])) == [
        Element(("fd00::/64",), "blog", "::5/128"),
        Element(("fd00:0:0:1::/64",), "shop"),
        Element(("ff00::/8",)),
    ]


def test_a_boundary_starts_or_ends_a_range() -> None:
    of = a_set(PREFIX)
    assert sets.decode_boundary(raw(address("::5"), owner="blog"), of) == (5, True, "blog", "")
    assert sets.decode_boundary(raw(address("::6"), flags=1), of) == (6, False, "", "")
    for unknown in (raw(address("::6"), flags=2), raw(address("::6"), last=address("::7"))):
        with pytest.raises(sets.UnknownElementError):
            sets.decode_boundary(unknown, of)


def test_the_start_of_a_range_in_a_map_has_the_value() -> None:
    of = a_set(PREFIX, data=PREFIX)
    assert sets.decode_boundary(raw(address("::5"), data=address("::9")), of) == (5, True, "", "::9/128")
    assert sets.decode_boundary(raw(address("::6"), flags=1), of) == (6, False, "", "")
    with pytest.raises(sets.UnknownElementError):
        sets.decode_boundary(raw(address("::6")), of)


def test_a_dump_is_split_into_elements() -> None:
    listed = b"".join(attribute(1 | 0x8000, raw(name(each))) for each in ("br0", "br1"))
    message = attribute(1, b"dockerv6\0") + attribute(2, b"s\0") + attribute(3 | 0x8000, listed)
    found = [sets.decode_element(each, a_set(LINK)) for each in sets.raw_elements([message, message])]
    assert [element.key for element in found] == [("br0",), ("br1",)] * 2


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def fields(*sizes: int) -> bytes:
    """NFTA_SET_DESC with the sizes of fields."""
    return attribute(2 | 0x8000, b"".join(attribute(1 | 0x8000, attribute(1, u32(size))) for size in sizes))


def definition(*, flags: int = 0, key: int = 8, size: int = 16, **more: bytes) -> dict[int, bytes]:
    numbers = {"data": 6, "data_size": 7, "policy": 8, "description": 9, "timeout": 11, "expression": 17}
    made = {2: b"s\0", 3: u32(flags), 4: u32(key), 5: u32(size)}
    return made | {numbers[name]: value for name, value in more.items()}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (definition(key=41), a_set(LINK, interval=False)),
        (definition(flags=0x4), a_set(PREFIX)),
        (definition(flags=0x84, key=8 << 6 | 41, size=32, description=fields(16, 16)), a_set(PREFIX, LINK)),
        (
            definition(flags=0x8, key=12 << 6 | 13, size=8, data=u32(8), data_size=u32(16)),
            a_set(PROTOCOL, PORT, data=PREFIX, interval=False),
        ),
        (definition(flags=0xC, data=u32(13), data_size=u32(2)), a_set(PREFIX, data=PORT)),
    ],
)
def test_a_definition_is_decoded(attributes: dict[int, bytes], expected: ElementSet) -> None:
    assert sets.decode_definition(attributes) == expected
    assert not sets.odd_definition(attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        definition(key=7),
        definition(key=0),
        definition(size=4),
        definition(flags=0x8, data=b"\xff\xff\xff\0"),
        definition(flags=0x8),
        definition(flags=0x8, data=u32(8), data_size=u32(4)),
        definition(flags=0x4, key=8 << 6 | 41, size=32),
        definition(flags=0x84, key=8 << 6 | 41, size=32, description=fields(8, 8, 16)),
    ],
)
def test_a_set_of_other_types_is_none(attributes: dict[int, bytes]) -> None:
    assert sets.decode_definition(attributes) is None


@pytest.mark.parametrize(
    ("attributes", "odd"),
    [
        (definition(flags=0x10), "flags timeout"),
        (definition(flags=0x22), "flags constant, dynamic"),
        (definition(flags=0x1000), "flags 0x1000"),
        (definition(timeout=bytes(8)), "a timeout"),
        (definition(policy=u32(1)), "another policy"),
        (definition(description=attribute(1, u32(5))), "a size"),
        (definition(expression=b""), "expressions"),
    ],
)
def test_a_set_with_something_odd_is_read_all_the_same(attributes: dict[int, bytes], odd: str) -> None:
    assert sets.decode_definition(attributes) == a_set(PREFIX, interval=False)
    assert sets.odd_definition(attributes) == odd


def dump(*elements: bytes) -> list[bytes]:
    return [attribute(3 | 0x8000, b"".join(attribute(1 | 0x8000, each) for each in elements))]


def test_an_odd_element_leaves_the_others_and_what_it_means_itself() -> None:
    wildcard, timeout = raw(b"br".ljust(16, b"x")), raw(name("br1"), owner="blog") + attribute(4, bytes(8))
    now = sets.DecodedSet(a_set(LINK, interval=False)).updated(dump(raw(name("br0")), wildcard, timeout))
    assert now.set.elements == {Element(("br0",)), Element(("br1",), "blog")}
    assert now.set.odd == (
        "a protocol or an interface that can't be named",
        "an element with more than a key and a value",
    )
    assert not now.updated(dump(raw(name("br0")))).set.odd


@pytest.mark.parametrize(
    ("boundaries", "odd"),
    [
        ([("::", 1), ("::5", 0), ("::6", 1), ("::6", 0)], False),
        ([("::5", 0), ("::6", 0), ("::7", 1)], True),
        ([("::5", 1)], True),
        ([("::5", 0), ("::6", 1), ("::7", 1)], True),
    ],
)
def test_a_boundary_without_the_other_is_odd(boundaries: list[tuple[str, int]], *, odd: bool) -> None:
    elements = [raw(address(at), flags=flags) for at, flags in boundaries]
    assert bool(sets.DecodedSet(a_set(PREFIX)).updated(dump(*elements)).set.odd) is odd


def test_only_new_elements_of_a_dump_are_decoded() -> None:
    def of(*names: str) -> list[bytes]:
        return dump(*(raw(name(each)) for each in names))

    first = sets.DecodedSet(a_set(LINK, interval=False)).updated(of("br0", "br1"))
    assert {each.key for each in first.set.elements} == {("br0",), ("br1",)}
    assert first.updated(of("br0", "br1")) is first
    assert first.updated(of("br1", "br0")).set is first.set
    assert {each.key for each in first.updated(of("br1", "br2")).set.elements} == {("br1",), ("br2",)}
