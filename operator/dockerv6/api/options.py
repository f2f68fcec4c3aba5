"""Raw driver options: which ones an engine's driver understands, and which ones have a field of their own.

Sources: moby, daemon/libnetwork/netlabel/labels.go; drivers/bridge/labels.go and fromLabels() in bridge_linux.go;
drivers/macvlan and drivers/ipvlan, fromOptions(); network_unix.go. Drivers disregard unknown keys without a word.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from dockerv6.api.errors import FieldError, closest_match, either_of
from dockerv6.lib.networking import MAX_INTERFACE_NAME


class Driver(StrEnum):
    """The engine's network drivers that dockerv6 knows."""

    BRIDGE = "bridge"
    MACVLAN = "macvlan"
    IPVLAN = "ipvlan"


PREFIX = "com.docker.network."
_BRIDGE = f"{PREFIX}bridge."
GATEWAY_MODE_IPV4 = f"{_BRIDGE}gateway_mode_ipv4"
GATEWAY_MODE_IPV6 = f"{_BRIDGE}gateway_mode_ipv6"

PARENT = "parent"
MACVLAN_MODE = "macvlan_mode"
IPVLAN_MODE = "ipvlan_mode"
IPVLAN_FLAG = "ipvlan_flag"
LAYER_3_MODES = frozenset({"l3", "l3s"})
"""The modes of ipvlan in which the host routes for the containers, and nobody speaks neighbour discovery for them."""

_FIELDS: Mapping[str, str] = {
    f"{_BRIDGE}name": "spec.bridge.name",
    f"{_BRIDGE}enable_icc": "spec.bridge.icc",
    f"{PREFIX}driver.mtu": "spec.bridge.mtu",
    f"{PREFIX}mtu": "spec.bridge.mtu",
    f"{PREFIX}enable_ipv4": "spec.ipv4.enabled",
    f"{PREFIX}internal": "spec.internal",
    f"{PREFIX}gateway": "spec.addressing.gateway",
    # docker-ipv6nat's, not the engine's.
    f"{_BRIDGE}host_binding_ipv6": "spec.publish.hostAddress",
}
"""Options that say what a field says."""

_BOOLEANS = {"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"}
"""What Go's strconv.ParseBool takes."""

Check = Callable[[str], str | None]


def _boolean(value: str) -> str | None:
    return None if value in _BOOLEANS else 'write "true" or "false"'


def _one_of(*words: str) -> Check:
    return lambda value: None if value in words else f"write {either_of(words)}"


def _number(low: int, high: int) -> Check:
    def check(value: str) -> str | None:
        fits = value.isascii() and value.isdigit() and low <= int(value) <= high
        return None if fits else f"write a number from {low} to {high}"

    return check


def _address(family: type[IPv4Address] | type[IPv6Address], example: str) -> Check:
    def check(value: str) -> str | None:
        try:
            family(value)
        except ValueError:
            return f"write an address such as {example}"
        return None

    return check


def _something(value: str) -> str | None:
    return None if value.strip() else "write a value, or remove it"


def _parent(value: str) -> str | None:
    if value == "lo":
        return "write an interface that leads to the LAN, such as eth0: engines refuse the loopback"
    if not value or len(value.encode()) > MAX_INTERFACE_NAME or "/" in value or any(c.isspace() for c in value):
        return "write the name of one of the host's interfaces, such as eth0, or eth0.100 for its VLAN 100"
    return None


_GATEWAY_MODE = _one_of("nat", "nat-unprotected", "routed", "isolated")

_COMMON: Mapping[str, Check] = {
    # Engine >= 28.1: how often, and how many milliseconds apart, a container announces its address.
    f"{PREFIX}advertise_addr_nmsgs": _number(0, 3),
    f"{PREFIX}advertise_addr_ms": _number(100, 2000),
}

DRIVER_OPTIONS: Mapping[Driver, Mapping[str, Check]] = {
    Driver.BRIDGE: {
        f"{_BRIDGE}default_bridge": _boolean,
        f"{_BRIDGE}enable_ip_masquerade": _boolean,
        f"{_BRIDGE}host_binding_ipv4": _address(IPv4Address, "192.0.2.1"),
        GATEWAY_MODE_IPV4: _GATEWAY_MODE,
        GATEWAY_MODE_IPV6: _GATEWAY_MODE,
        f"{_BRIDGE}inhibit_ipv4": _boolean,
        f"{_BRIDGE}trusted_host_interfaces": _something,
        f"{PREFIX}container_iface_prefix": _something,
        f"{PREFIX}host_ipv4": _address(IPv4Address, "192.0.2.1"),
        f"{PREFIX}host_ipv6": _address(IPv6Address, "2001:db8::1"),
        **_COMMON,
    },
    Driver.MACVLAN: {
        PARENT: _parent,
        MACVLAN_MODE: _one_of("bridge", "private", "vepa", "passthru"),
        **_COMMON,
    },
    Driver.IPVLAN: {
        PARENT: _parent,
        IPVLAN_MODE: _one_of("l2", "l3", "l3s"),
        IPVLAN_FLAG: _one_of("bridge", "private", "vepa"),
        **_COMMON,
    },
}
"""What each driver acts on, and how its values are checked."""


def option_errors(options: Mapping[str, str], driver: Driver, *, internal: bool) -> Iterator[FieldError]:
    """What is wrong with raw options; paths start at the options."""
    known = DRIVER_OPTIONS[driver]
    fields = _fields(driver)
    for key, value in options.items():
        check = known.get(key)
        if key in fields:
            yield FieldError((key,), "this option has a field of its own", f"remove it and write {fields[key]}")
        elif key == f"{PREFIX}enable_ipv6":
            yield FieldError((key,), "an IPv6Network always has IPv6", "remove it")
        elif check is not None:
            yield from _value_errors(key, value, check, internal=internal)
        elif key.startswith(PREFIX) or "." not in key:
            yield FieldError(
                (key,), f"the {driver} driver has no option {key!r} and would silently ignore it", _remedy(key, driver)
            )


def parent_errors(options: Mapping[str, str], driver: Driver, *, internal: bool) -> Iterator[FieldError]:
    """What is wrong with the parent of a network without a bridge; paths start at the options.

    Measured with engines 20.10 to 28.5: without a parent they make a dummy interface (``dm-…``, ``di-…``) and a network
    that nobody outside can reach, whether or not it is called internal. With one, `internal` only spares the default
    route: who is on the parent's link reaches the containers, and they reach him.
    """
    parent = options.get(PARENT)
    if parent is None and not internal:
        yield FieldError(
            (PARENT,),
            f"without it the engine makes a {driver} network that leads nowhere",
            f"write options: {{{PARENT}: eth0}}, with the host's interface that leads to the LAN; or internal: true, if"
            " nowhere is meant",
        )
    elif parent is not None and internal:
        yield FieldError(
            (PARENT,),
            f"engines only spare an internal {driver} network its default route: everybody on {parent}'s link reaches"
            " the containers all the same",
            f"remove it, and the network gets an interface that leads nowhere; or remove internal to be on {parent}",
        )


def _value_errors(key: str, value: str, check: Check, *, internal: bool) -> Iterator[FieldError]:
    remedy = check(value)
    if remedy is not None:
        yield FieldError((key,), f"{value!r} is no value for this option", remedy)
    elif value == "isolated" and not internal:
        yield FieldError(
            (key,),
            "the engine allows gateway mode isolated only in internal networks",
            "write spec.internal: true, or another mode",
        )


def _fields(driver: Driver) -> Mapping[str, str]:
    """The options that say what a field says which this driver has."""
    if driver is Driver.BRIDGE:
        return _FIELDS
    return {key: field for key, field in _FIELDS.items() if not field.startswith(("spec.bridge.", "spec.publish."))}


def _remedy(key: str, driver: Driver) -> str:
    fields = _fields(driver)
    # Without the long common beginning, which would make everything look alike.
    names = {name.removeprefix(PREFIX): name for name in (*DRIVER_OPTIONS[driver], *fields)}
    last = {name.rpartition(".")[2]: name for name in reversed(names.values())}
    guess = closest_match(key.removeprefix(PREFIX), names)
    name = names[guess] if guess is not None else last.get(key.rpartition(".")[2])
    if name is not None:
        return f"remove it and write {fields[name]}" if name in fields else f"did you mean {name}?"
    other = next((name for name, options in DRIVER_OPTIONS.items() if key in options), None)
    return f"it belongs to driver {other}; remove it" if other else "remove it"
