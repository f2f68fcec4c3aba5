"""The sources of a pool."""

from ipaddress import IPv6Network

import pytest

from tests.unit.api.checks import Spec, fields, pool, pool_errors


def test_an_empty_pool_generates_its_prefix() -> None:
    spec = pool().spec
    assert spec.generates
    assert (spec.allocation_length, spec.cooldown, spec.disabled, spec.all_prefixes) == (64, 3600, False, ())


def test_fixed_prefixes_keep_their_order() -> None:
    assert pool({"prefix": "2001:db8::/48"}).spec.all_prefixes == (IPv6Network("2001:db8::/48"),)
    several = pool({"prefixes": ["fd02::/48", "fd01::/48"]}).spec
    assert several.all_prefixes == (IPv6Network("fd02::/48"), IPv6Network("fd01::/48"))
    assert not several.generates


def test_a_pool_may_use_the_prefix_of_an_interface() -> None:
    source = pool({"fromInterface": {"name": "eth0", "prefixLength": 60, "offset": 1}}).spec.from_interface
    assert source is not None
    assert (source.name, source.prefix_length, source.offset) == ("eth0", 60, 1)


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"prefix": "fd00::/48", "generate": "ULA"}, ["generate"]),
        (
            {"prefix": "fd00::/48", "prefixes": ["fd01::/48"], "fromInterface": {"name": "eth0"}},
            ["prefixes", "fromInterface"],
        ),
        ({"prefixes": []}, ["prefixes"]),
        ({"prefixes": ["fd00::/48", "fd00::/40"]}, ["prefixes[0]"]),
        ({"prefixes": ["fd00::/40", "fd01::/48", "fd00:0:1::/48"]}, ["prefixes[2]"]),
        ({"prefixes": ["fd00::/48", "fd00::/48", "fd00::/48"]}, ["prefixes[1]", "prefixes[2]"]),
        ({"prefix": "fe80::/48"}, ["prefix"]),
        ({"prefix": "192.0.2.0/24"}, ["prefix"]),
        ({"prefix": "fd00::/64", "allocationLength": 56}, ["allocationLength"]),
        ({"prefix": "fd00::/80"}, ["allocationLength"]),
        ({"allocationLength": 40}, ["allocationLength"]),
        ({"allocationLength": 127}, ["allocationLength"]),
        ({"prefix": "fc00::/7", "allocationLength": 31}, ["allocationLength"]),
        ({"fromInterface": {"name": "eth0", "prefixLength": 72}}, ["allocationLength"]),
        ({"fromInterface": {"name": "eth0", "offset": 1}}, ["fromInterface.offset"]),
        ({"fromInterface": {"name": "eth0", "prefixLength": 60, "offset": -1}}, ["fromInterface.offset"]),
        ({"fromInterface": {}}, ["fromInterface.name"]),
        ({"prefix": "fd00::/48", "exclude": ["fd01::/64"]}, ["exclude[0]"]),
        ({"prefix": "fd00::/48", "exclude": ["fd00::/48"]}, ["exclude"]),
        ({"prefix": "fd00::/48", "exclude": ["::/0"]}, ["exclude"]),
        ({"prefixes": ["fd00::/64", "fd01::/64"], "exclude": ["fd00::1", "fd01::/65"]}, ["exclude"]),
        ({"exclude": ["fd00::/9", "fd80::/9"]}, ["exclude"]),
        ({"cooldown": 90}, ["cooldown"]),
        ({"generate": "ula"}, ["generate"]),
    ],
    ids=str,
)
def test_conflicting_fields_are_invalid(spec: Spec, where: list[str]) -> None:
    assert fields(pool_errors(spec)) == [f"spec.{name}" for name in where]


def test_a_prefix_inside_another_one_names_both() -> None:
    (error,) = pool_errors({"prefixes": ["fd00:0:1::/48", "fd00::/40"]})
    assert (error.message, error.remedy) == ("fd00:0:1::/48 is inside fd00::/40", "remove one of them")
    (error,) = pool_errors({"prefixes": ["fd00::/48", "fd00::/48"]})
    assert error.message == "fd00::/48 is written twice"


@pytest.mark.parametrize(("length", "last"), [(64, 2**51 - 1), (14, 1)])
def test_an_offset_is_below_the_number_of_parts_that_a_prefix_can_have(length: int, last: int) -> None:
    def source(offset: int) -> Spec:
        return {"fromInterface": {"name": "eth0", "prefixLength": length, "offset": offset}}

    assert pool_errors(source(last)) == ()
    (error,) = pool_errors(source(last + 1))
    assert fields((error,)) == ["spec.fromInterface.offset"]
    assert f"0 to {last};" in error.remedy
    assert fields(pool_errors(source(10**4000))) == ["spec.fromInterface.offset"]


def test_a_pool_that_is_as_long_as_no_prefix_has_no_offset() -> None:
    (error,) = pool_errors({"fromInterface": {"name": "eth0", "prefixLength": 13, "offset": 1}})
    assert (fields((error,)), error.remedy) == (["spec.fromInterface.offset"], "remove it")


@pytest.mark.parametrize("name", ["prefixes", "exclude"])
def test_a_pool_has_at_most_1000_prefixes_and_exclusions(name: str) -> None:
    several = [f"fd00:{number:x}::/48" for number in range(1001)]
    whole: Spec = {} if name == "prefixes" else {"prefix": "fd00::/16"}
    assert pool_errors({**whole, name: several[:1000]}) == ()
    (error,) = pool_errors({**whole, name: several})
    assert (fields((error,)), error.message) == ([f"spec.{name}"], "has 1001 items")
    assert error.remedy == "write at most 1000"


def test_exclusions_may_be_addresses_or_prefixes() -> None:
    spec = pool({"prefix": "fd00::/48", "exclude": ["fd00::1", "fd00:0:0:ff00::/56", "fd00:0:0:8000::/49"]}).spec
    assert spec.exclude[0] == IPv6Network("fd00::1/128")
