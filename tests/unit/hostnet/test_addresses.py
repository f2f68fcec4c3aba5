import struct
from ipaddress import IPv6Address

import pytest

from dockerv6.hostnet.addresses import OwnAddress, lifetimes, own_address
from tests.unit.lib.test_netlink import attribute

OWN = IPv6Address("2001:db8::1")
DEPRECATED, PERMANENT = 0x20, 0x80
UNIVERSE, LINK, HOST = 0, 253, 254
FOR_EVER = 0xFFFFFFFF


def decoded(*parts: bytes, flags: int = 0, scope: int = UNIVERSE) -> tuple[bytes, OwnAddress | None]:
    payload = struct.pack("=BBBBi", 10, 64, flags, scope, 7) + b"".join(parts)
    return payload, own_address(payload, 0, len(payload))


def cache(preferred: int, valid: int) -> bytes:
    return attribute(6, struct.pack("=IIII", preferred, valid, 1, 2))


def left(*parts: bytes, flags: int = 0) -> tuple[float | None, float | None]:
    payload, found = decoded(attribute(1, OWN.packed), *parts, flags=flags)
    assert found is not None
    return lifetimes(payload, found)


def test_an_address_tells_its_interface_its_length_and_its_flags() -> None:
    _, found = decoded(attribute(1, OWN.packed), flags=PERMANENT)
    assert found == OwnAddress(7, OWN.packed, 64, PERMANENT, lifetimes=0)


@pytest.mark.parametrize(
    ("preferred", "valid", "expected"),
    [
        (1800, 3600, (1800, 3600)),
        (0, 60, (0, 60)),
        (100, FOR_EVER, (100, None)),
        (FOR_EVER, FOR_EVER, (None, None)),
        (FOR_EVER - 1, FOR_EVER - 1, (FOR_EVER - 1, FOR_EVER - 1)),
    ],
)
def test_lifetimes_are_seconds_and_all_ones_is_for_ever(
    preferred: int, valid: int, expected: tuple[float | None, float | None]
) -> None:
    assert left(cache(preferred, valid)) == expected


def test_an_address_that_tells_no_lifetimes_lasts_for_ever() -> None:
    assert left() == (None, None)


def test_a_deprecated_address_is_not_preferred_whatever_its_lifetime_says() -> None:
    assert left(cache(FOR_EVER, FOR_EVER), flags=DEPRECATED) == (0, None)


@pytest.mark.parametrize("scope", [LINK, HOST])
def test_an_address_of_a_narrower_scope_is_none(scope: int) -> None:
    assert decoded(attribute(1, OWN.packed), scope=scope)[1] is None


def test_a_group_that_was_joined_is_no_address() -> None:
    assert decoded(attribute(1, IPv6Address("ff0e::1").packed))[1] is None


def test_a_message_without_an_address_tells_none() -> None:
    assert decoded(cache(1, 1))[1] is None
