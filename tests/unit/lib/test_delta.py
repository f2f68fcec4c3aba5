from ipaddress import IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from dockerv6.lib.delta import Delta, delta, delta_of_sets

MAPPINGS = st.dictionaries(st.integers(0, 20), st.integers(0, 3))


def test_each_key_goes_where_it_belongs() -> None:
    assert delta({"a": 1, "b": 2, "c": 3}, {"b": 2, "c": 4, "d": 5}) == Delta(add=("a",), change=("c",), remove=("d",))


def test_order_is_that_of_the_keys_not_of_the_mappings() -> None:
    assert delta({3: 0, 1: 0, 2: 0}, {9: 0, 7: 0}) == Delta(add=(1, 2, 3), remove=(7, 9))


def test_caller_says_what_counts_as_the_same() -> None:
    assert not delta({"mtu": 1500}, {"mtu": "1500"}, same=lambda desired, observed: str(desired) == observed)


def test_keys_of_any_sortable_type() -> None:
    low, high = IPv6Network("2001:db8::/64"), IPv6Network("2001:db8:1::/64")
    assert delta_of_sets([high, low], []).add == (low, high)


def test_size_counts_the_work() -> None:
    assert len(delta({"a": 1, "c": 3}, {"c": 4, "d": 5})) == 3
    assert not Delta()


@given(MAPPINGS, MAPPINGS)
def test_applying_it_leaves_nothing_to_do(desired: dict[int, int], observed: dict[int, int]) -> None:
    difference = delta(desired, observed)
    world = {key: value for key, value in observed.items() if key not in difference.remove}
    world |= {key: desired[key] for key in difference.add + difference.change}
    assert world == desired
    assert not delta(desired, world)


@given(st.sets(st.integers()), st.sets(st.integers()))
def test_sets_only_come_and_go(desired: set[int], observed: set[int]) -> None:
    difference = delta_of_sets(desired, observed)
    assert difference.change == ()
    assert (observed - set(difference.remove)) | set(difference.add) == desired
