from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.lib.prefixes import (
    PrefixSet,
    count_taken,
    first_address,
    free_gaps,
    is_ula,
    nth_subnet,
    overlaps_any,
    subnet_count,
    ula_prefix,
)

SITE = IPv6Network("fd00:1:2::/48")


def networks(shortest: int = 0, longest: int = 128) -> st.SearchStrategy[IPv6Network]:
    """Prefixes around SITE, dense enough to overlap one another."""
    near = st.integers(int(SITE.network_address) - 2**81, int(SITE.network_address) + 2**81)
    return st.builds(
        lambda address, length: IPv6Network((address, length), strict=False), near, st.integers(shortest, longest)
    )


@pytest.mark.parametrize(
    ("prefix", "local"),
    [("fd00::/8", True), ("fc00::/7", True), ("fdff::1/128", True), ("fc00::/6", False), ("2001:db8::/32", False)],
)
def test_unique_local_addresses_are_fc00_7(prefix: str, *, local: bool) -> None:
    assert is_ula(IPv6Network(prefix)) is local


def test_overlap_with_any_of_several_prefixes() -> None:
    others = [IPv6Network("fd00:9::/48"), IPv6Network("fd00:1::/32"), IPv6Network("fd00:1:2:3::/64")]
    assert overlaps_any(SITE, others)
    assert not overlaps_any(SITE, others[:1])


def test_a_set_leaves_out_what_is_inside_another_prefix() -> None:
    inner, twice = IPv6Network("fd00:1:2:3::/64"), IPv6Network("fd00:1::/48")
    assert PrefixSet([inner, SITE, twice, twice]).prefixes == (twice, SITE)
    assert PrefixSet([]).prefixes == ()


@given(st.lists(networks(), max_size=12), networks())
def test_a_set_answers_as_its_prefixes_do(prefixes: list[IPv6Network], asked: IPv6Network) -> None:
    many = PrefixSet(prefixes)
    around = [each for each in prefixes if asked.subnet_of(each)]
    assert many.containing(asked) == min(around, key=lambda each: each.prefixlen, default=None)
    assert many.overlaps(asked) == overlaps_any(asked, prefixes)
    overlapping = [each for each in many.prefixes if each.overlaps(asked)]
    assert list(many.ranges_in(asked)) == [(int(each[0]), int(each[-1])) for each in overlapping]


def test_first_address_is_one_past_the_prefix() -> None:
    assert first_address(SITE) == IPv6Address("fd00:1:2::1")
    assert first_address(IPv6Network("fd00::6/127")) == IPv6Address("fd00::7")


def test_a_single_address_has_no_first_address() -> None:
    with pytest.raises(ValueError, match="single address"):
        first_address(IPv6Network("fd00::1/128"))


def test_ula_prefix_is_fd_and_the_global_id() -> None:
    assert ula_prefix(bytes.fromhex("123456789a")) == IPv6Network("fd12:3456:789a::/48")


@given(st.binary(min_size=5, max_size=5))
def test_ula_prefix_is_always_a_local_48(randomness: bytes) -> None:
    prefix = ula_prefix(randomness)
    assert prefix.prefixlen == 48
    assert prefix.subnet_of(IPv6Network("fd00::/8"))


@pytest.mark.parametrize("randomness", [b"", b"1234", b"123456"])
def test_global_id_has_forty_bits(randomness: bytes) -> None:
    with pytest.raises(ValueError, match="5 bytes"):
        ula_prefix(randomness)


def test_subnets_are_counted_and_numbered_without_enumerating() -> None:
    vast = IPv6Network("2001:db8::/32")
    assert subnet_count(SITE, 64) == 65_536
    assert subnet_count(vast, 80) == 2**48
    assert nth_subnet(SITE, 64, 65_535) == IPv6Network("fd00:1:2:ffff::/64")
    assert nth_subnet(vast, 80, 2**48 - 1) == IPv6Network("2001:db8:ffff:ffff:ffff::/80")


@pytest.mark.parametrize("length", [47, 129, -1])
def test_subnet_length_must_fit(length: int) -> None:
    with pytest.raises(ValueError, match="no subnets of length"):
        subnet_count(SITE, length)


@pytest.mark.parametrize("index", [-1, 65_536])
def test_subnet_number_must_exist(index: int) -> None:
    with pytest.raises(IndexError, match="65536 subnets"):
        nth_subnet(SITE, 64, index)


def test_an_empty_prefix_is_one_gap() -> None:
    assert list(free_gaps(SITE, 64, PrefixSet([]))) == [range(65_536)]


def test_gaps_are_between_taken_blocks() -> None:
    taken = [nth_subnet(SITE, 64, index) for index in (7, 0, 3, 4)]
    assert list(free_gaps(SITE, 64, PrefixSet(taken))) == [range(1, 3), range(5, 7), range(8, 65_536)]


def test_blocks_of_any_length_take_every_subnet_that_they_overlap() -> None:
    taken = [IPv6Network("fd00:1:2:5::1/128"), IPv6Network("fd00:1:2:100::/56")]
    assert list(free_gaps(SITE, 64, PrefixSet(taken))) == [range(5), range(6, 0x100), range(0x200, 65_536)]


def test_blocks_outside_the_prefix_take_no_subnet() -> None:
    taken = [IPv6Network("fd00:1:1:ffff::/64"), IPv6Network("fd00:1:3::/64"), IPv6Network("::/128")]
    assert list(free_gaps(SITE, 64, PrefixSet(taken))) == [range(65_536)]


@pytest.mark.parametrize("block", ["fd00:1:2::/48", "fd00::/16", "::/0"])
def test_covered_prefix_has_no_gap(block: str) -> None:
    assert list(free_gaps(SITE, 64, PrefixSet([IPv6Network(block)]))) == []


def test_taken_subnets_are_counted_once() -> None:
    vast = PrefixSet([IPv6Network("2000::/3"), IPv6Network("fd00:1::/63")])
    taken = PrefixSet([IPv6Network("2000::/4"), IPv6Network("2001:db8::/64"), IPv6Network("fd00:1::1/128")])
    assert count_taken(vast, 126, taken) == 2**122 + 1


def test_gaps_of_a_short_prefix() -> None:
    vast = IPv6Network("2001:db8::/32")
    taken = [nth_subnet(vast, 80, index) for index in (0, 2**47)]
    assert list(free_gaps(vast, 80, PrefixSet(taken))) == [range(1, 2**47), range(2**47 + 1, 2**48)]


@given(st.lists(networks(longest=90), max_size=8), st.integers(48, 56))
def test_gaps_are_exactly_the_subnets_that_overlap_nothing(taken: list[IPv6Network], length: int) -> None:
    gaps = list(free_gaps(SITE, length, PrefixSet(taken)))
    free = {index for gap in gaps for index in gap}
    expected = {n for n, subnet in enumerate(SITE.subnets(new_prefix=length)) if not overlaps_any(subnet, taken)}
    assert free == expected
    assert all(earlier.stop < later.start for earlier, later in pairwise(gaps))
