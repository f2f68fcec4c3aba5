"""Driver options: those that the engine's drivers support, and those that have a field of their own.

Sources: moby, daemon/libnetwork/netlabel/labels.go; drivers/bridge/labels.go and fromLabels() in bridge_linux.go;
drivers/macvlan and drivers/ipvlan, fromOptions(); network_unix.go. Drivers silently ignore unknown options.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from dockerv6.api.errors import FieldError, closest_match, either_of
from dockerv6.api.values import is_interface
from dockerv6.lib.text import small_number


class Driver(StrEnum):
    """The network drivers that dockerv6 supports."""

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
"""The modes of ipvlan in which the host routes for the containers, without neighbour discovery."""

_FIELDS: Mapping[str, str] = {
    f"{_BRIDGE}name": "spec.bridge.name",
    f"{_BRIDGE}enable_icc": "spec.bridge.icc",
    f"{PREFIX}driver.mtu": "spec.bridge.mtu",
    f"{PREFIX}mtu": "spec.bridge.mtu",
    f"{PREFIX}enable_ipv4": "spec.ipv4.enabled",
    f"{PREFIX}internal": "spec.internal",
    f"{PREFIX}gateway": "spec.addressing.gateway",
    # an option of docker-ipv6nat, not of the engine
    f"{_BRIDGE}host_binding_ipv6": "spec.publish.hostAddress",
}
"""Options with a field of their own, and the field."""

_BOOLEANS = {"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"}
"""Accepted by strconv.ParseBool of Go."""

_ValueCheck = Callable[[str], str | None]


def _boolean(value: str) -> str | None:
    return None if value in _BOOLEANS else 'write "true" or "false"'


def _one_of(*words: str) -> _ValueCheck:
    return lambda value: None if value in words else f"write {either_of(words)}"


def _number(low: int, high: int) -> _ValueCheck:
    def check(value: str) -> str | None:
        number = small_number(value)
        return None if number is not None and low <= number <= high else f"write a number from {low} to {high}"

    return check


def _address(family: type[IPv4Address] | type[IPv6Address], example: str) -> _ValueCheck:
    def check(value: str) -> str | None:
        try:
            family(value)
        except ValueError:
            return f"write an address such as {example}"
        return None

    return check


def _parent(value: str) -> str | None:
    if value == "lo":
        return "write an interface of the LAN, such as eth0: engines reject the loopback interface"
    return None if is_interface(value) else "write the name of an interface of the host, such as eth0 or eth0.100"


def _interfaces(value: str) -> str | None:
    valid = all(is_interface(name) for name in value.split(":"))
    return None if valid else "write names of interfaces of the host with colons between them, such as eth0:wg0"


def _interface_prefix(value: str) -> str | None:
    """Engines put a number behind it."""
    return None if value and is_interface(f"{value}0") else "write the beginning of an interface name, such as eth"


_GATEWAY_MODE = _one_of("nat", "nat-unprotected", "routed", "isolated")

_COMMON: Mapping[str, _ValueCheck] = {
    # engine >= 28.1: number and interval in milliseconds of the announcements of a container's address
    f"{PREFIX}advertise_addr_nmsgs": _number(0, 3),
    f"{PREFIX}advertise_addr_ms": _number(100, 2000),
}

DRIVER_OPTIONS: Mapping[Driver, Mapping[str, _ValueCheck]] = {
    Driver.BRIDGE: {
        f"{_BRIDGE}default_bridge": _boolean,
        f"{_BRIDGE}enable_ip_masquerade": _boolean,
        f"{_BRIDGE}host_binding_ipv4": _address(IPv4Address, "192.0.2.1"),
        GATEWAY_MODE_IPV4: _GATEWAY_MODE,
        GATEWAY_MODE_IPV6: _GATEWAY_MODE,
        f"{_BRIDGE}inhibit_ipv4": _boolean,
        f"{_BRIDGE}trusted_host_interfaces": _interfaces,
        f"{PREFIX}container_iface_prefix": _interface_prefix,
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
"""The options of each driver, and the check of their values, which returns a remedy for an invalid value."""


def option_errors(options: Mapping[str, str], driver: Driver, *, internal: bool) -> Iterator[FieldError]:
    """Errors in driver options. Paths start at the options."""
    known = DRIVER_OPTIONS[driver]
    fields = _fields(driver)
    for key, value in options.items():
        check = known.get(key)
        if key in fields:
            yield FieldError((key,), "this option has its own field", f"remove it and write {fields[key]}")
        elif key == f"{PREFIX}enable_ipv6":
            yield FieldError((key,), "IPv6 is always enabled for an IPv6Network", "remove it")
        elif check is not None:
            yield from _value_errors(key, value, check, internal=internal)
        elif key.startswith(PREFIX) or "." not in key:
            yield FieldError(
                (key,), f"the driver {driver} has no option {key!r} and would silently ignore it", _remedy(key, driver)
            )


def parent_errors(options: Mapping[str, str], driver: Driver, *, internal: bool) -> Iterator[FieldError]:
    """Errors in the parent of a macvlan or ipvlan network. Paths start at the options.

    Measured with engines 20.10 to 28.5: without a parent they create a dummy interface (``dm-…``, ``di-…``), and the
    network has no external connectivity, internal or not. With a parent, `internal` only leaves out the default route:
    hosts on the link of the parent and the containers still reach each other.
    """
    parent = options.get(PARENT)
    if parent is None and not internal:
        yield FieldError(
            (PARENT,),
            f"is required: without it the {driver} network has no external connectivity",
            f"write options: {{{PARENT}: eth0}} with the interface of the LAN, or internal: true for a network without"
            " external connectivity",
        )
    elif parent is not None and internal:
        yield FieldError(
            (PARENT,),
            f"makes the containers reachable from the link of {parent} although the network is internal: engines only"
            f" leave out the default route of an internal {driver} network",
            f"remove it for a network without external connectivity, or remove internal to connect it to {parent}",
        )


def _value_errors(key: str, value: str, check: _ValueCheck, *, internal: bool) -> Iterator[FieldError]:
    remedy = check(value)
    if remedy is not None:
        yield FieldError((key,), f"{value!r} is not a valid value of this option", remedy)
    elif value == "isolated" and not internal:
        yield FieldError(
            (key,),
            "the engine supports gateway mode isolated only for internal networks",
            "write spec.internal: true, or another mode",
        )


def _fields(driver: Driver) -> Mapping[str, str]:
    """The options that have a field of their own with this driver."""
    if driver is Driver.BRIDGE:
        return _FIELDS
    return {key: field for key, field in _FIELDS.items() if not field.startswith(("spec.bridge.", "spec.publish."))}


def _remedy(key: str, driver: Driver) -> str:
    fields = _fields(driver)
    # without the common prefix, which would make all names similar
    names = {name.removeprefix(PREFIX): name for name in (*DRIVER_OPTIONS[driver], *fields)}
    last = {name.rpartition(".")[2]: name for name in reversed(names.values())}
    guess = closest_match(key.removeprefix(PREFIX), names)
    name = names[guess] if guess is not None else last.get(key.rpartition(".")[2])
    if name is not None:
        return f"remove it and write {fields[name]}" if name in fields else f"did you mean {name}?"
    other = next((name for name, options in DRIVER_OPTIONS.items() if key in options), None)
    return f"it is an option of driver {other}; remove it" if other else "remove it"
