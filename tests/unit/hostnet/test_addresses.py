import struct
from ipaddress import IPv6Address, IPv6Interface

import pytest

from dockerv6.hostnet.addresses import (
    AddressTable,
    DecodedAddress,
    add_address,
    decode_address,
    decode_lifetimes,
    dump_addresses,
)
from tests.unit.hostnet.kernel import Kernel
from tests.unit.lib.encoding import attribute, u32

NEWADDR, DELADDR, GETADDR = 20, 21, 22
AF_INET6, NODAD = 10, 0x02
DADFAILED, DEPRECATED, TENTATIVE, PERMANENT = 0x08, 0x20, 0x40, 0x80
UNIVERSE, LINK, HOST = 0, 253, 254
INFINITE = 0xFFFFFFFF
ETH0, BR0 = 5, 7
OWN = IPv6Interface("2001:db8::1/64")
PEER = IPv6Interface("2001:db8::2/64")


def address(*parts: bytes, flags: int = 0, scope: int = UNIVERSE, index: int = ETH0) -> bytes:
    return struct.pack("=BBBBi", AF_INET6, 64, flags, scope, index) + b"".join(parts)


def own(flags: int = PERMANENT, *parts: bytes, index: int = ETH0) -> bytes:
    return address(attribute(1, OWN.packed), *parts, flags=flags, index=index)


def lifetimes(preferred: int, valid: int) -> bytes:
    return attribute(6, struct.pack("=IIII", preferred, valid, 1, 2))


class TestDecoding:
    def test_interface_prefix_length_and_flags_are_decoded(self) -> None:
        payload = own()
        expected = DecodedAddress(ETH0, OWN.packed, 64, PERMANENT, lifetimes=0)
        assert decode_address(payload, 0, len(payload)) == expected

    @pytest.mark.parametrize(
        ("preferred", "valid", "expected"),
        [
            (1800, 3600, (1800, 3600)),
            (0, 60, (0, 60)),
            (100, INFINITE, (100, None)),
            (INFINITE, INFINITE, (None, None)),
            (INFINITE - 1, INFINITE - 1, (INFINITE - 1, INFINITE - 1)),
        ],
    )
    def test_lifetimes_are_seconds_and_all_ones_is_infinite(
        self, preferred: int, valid: int, expected: tuple[float | None, float | None]
    ) -> None:
        assert self.lifetimes(own(0, lifetimes(preferred, valid))) == expected

    def test_an_address_without_lifetimes_is_valid_forever(self) -> None:
        assert self.lifetimes(own()) == (None, None)

    def test_a_deprecated_address_is_not_preferred_whatever_its_lifetime(self) -> None:
        assert self.lifetimes(own(DEPRECATED, lifetimes(INFINITE, INFINITE))) == (0, None)

    @pytest.mark.parametrize("scope", [LINK, HOST])
    def test_addresses_of_a_narrower_scope_are_left_out(self, scope: int) -> None:
        payload = address(attribute(1, OWN.packed), scope=scope)
        assert decode_address(payload, 0, len(payload)) is None

    def test_a_multicast_group_is_not_an_address(self) -> None:
        payload = address(attribute(1, IPv6Address("ff0e::1").packed))
        assert decode_address(payload, 0, len(payload)) is None

    def test_a_message_without_an_address_is_left_out(self) -> None:
        payload = address(lifetimes(1, 1))
        assert decode_address(payload, 0, len(payload)) is None

    def lifetimes(self, payload: bytes) -> tuple[float | None, float | None]:
        decoded = decode_address(payload, 0, len(payload))
        assert decoded is not None
        return decode_lifetimes(payload, decoded)


class TestTable:
    def table(self, kernel: Kernel, *payloads: bytes) -> AddressTable:
        kernel.dumps[GETADDR] = list(payloads)
        return AddressTable(dump_addresses())

    def test_on_a_point_to_point_link_the_address_is_our_end(self, kernel: Kernel) -> None:
        peer, local = attribute(1, PEER.packed), attribute(2, OWN.packed)
        for parts in ((peer, local), (local, peer)):
            assert self.table(kernel, address(*parts, flags=PERMANENT)).addresses[ETH0] == [OWN]

    def test_an_address_with_a_finite_lifetime_is_autoconfigured(self, kernel: Kernel) -> None:
        assert self.table(kernel, own(0)).autoconfigured == {ETH0}
        assert self.table(kernel, own(0, attribute(8, u32(0x200 | PERMANENT)))).autoconfigured == set()

    def test_a_lifetime_is_not_enough_on_kernels_that_report_the_origin_of_an_address(self, kernel: Kernel) -> None:
        loopback = address(attribute(1, PEER.packed), attribute(11, b"\x01"), flags=PERMANENT, scope=LINK)
        assert self.table(kernel, loopback, own(0)).autoconfigured == set()
        assert self.table(kernel, loopback, own(0, attribute(11, b"\x02"))).autoconfigured == {ETH0}

    @pytest.mark.parametrize("flags", [TENTATIVE, DADFAILED, TENTATIVE | DADFAILED])
    def test_an_address_is_tentative_until_duplicate_address_detection_succeeds(
        self, kernel: Kernel, flags: int
    ) -> None:
        proven = address(attribute(1, PEER.packed), flags=PERMANENT)
        for wide in ((), (attribute(8, u32(0x200 | PERMANENT | flags)),)):
            table = self.table(kernel, proven, own(PERMANENT | flags, *wide))
            assert table.tentative == {ETH0: {OWN.ip}}
            assert table.dad_failed == ({ETH0: {OWN.ip}} if flags & DADFAILED else {})

    def test_the_attribute_with_all_flags_replaces_the_byte_in_the_header(self, kernel: Kernel) -> None:
        assert self.table(kernel, own(PERMANENT | TENTATIVE, attribute(8, u32(PERMANENT)))).tentative == {}


class TestAdding:
    EXPECTED = struct.pack("=BBBBi", AF_INET6, 64, NODAD, 0, BR0) + attribute(1, OWN.packed)

    def test_an_address_is_created_or_replaced_without_detection(self, kernel: Kernel) -> None:
        add_address("br0", OWN)
        assert kernel.commands == [(0, NEWADDR, 0x500, self.EXPECTED)]

    def test_a_tentative_address_is_removed_first(self, kernel: Kernel) -> None:
        kernel.dumps[GETADDR] = [own(TENTATIVE), own(TENTATIVE, index=BR0)]
        add_address("br0", OWN)
        assert kernel.commands == [(0, DELADDR, 0, self.EXPECTED), (0, NEWADDR, 0x500, self.EXPECTED)]

    @pytest.mark.parametrize("existing", [own(PERMANENT, index=BR0), own(TENTATIVE, index=ETH0)])
    def test_no_other_address_is_removed(self, kernel: Kernel, existing: bytes) -> None:
        kernel.dumps[GETADDR] = [existing]
        add_address("br0", OWN)
        assert kernel.commands == [(0, NEWADDR, 0x500, self.EXPECTED)]
