"""Sysctls through /proc/sys: names, reading, writing, remedies for a refusal, and which interfaces need accept_ra=2.

``/proc/sys/net`` shows the network namespace of the calling task (proc(5)).

``accept_ra`` (Documentation/networking/ip-sysctl.rst): 1 accepts router advertisements only while forwarding is off on
the interface, 2 accepts them always. Turning forwarding on deletes at once what advertisements have installed - default
routes and on-link prefixes - on every interface whose accept_ra is not 2 (rt6_purge_dflt_routers in
net/ipv6/route.c), and nothing renews it. So accept_ra must be 2 before forwarding becomes 1. Addresses stay until their
lifetimes end; they still identify an uplink after another program has turned forwarding on.

A program in user space that processes advertisements (systemd-networkd, NetworkManager) sets accept_ra to 0; forwarding
deletes nothing of what it installed.
"""

import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from dockerv6.hostnet.model import Interface, Route, RouteProtocol
from dockerv6.hostnet.port import HostNetError, HostNetPermissionError

ROOT = Path("/proc/sys")

_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG})
_SWAP_SEPARATORS = str.maketrans("./", "/.")
_MAX_SIZE = 65536


ACCEPT_UNLESS_FORWARDING = "1"


def canonical(name: str) -> str:
    """The name with slashes as separators. Both forms of sysctl(8) are accepted, see `port.HostNet.sysctl`.

    Raises:
        ValueError: the name is empty or absolute, or has a part that is empty or a dot or two.
    """
    first = next((character for character in name if character in "./"), "/")
    path = name if first == "/" else name.translate(_SWAP_SEPARATORS)
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise ValueError(f"{name!r} is not the name of a sysctl such as net.ipv6.conf.all.forwarding")
    return path


def read(name: str, root: Path = ROOT) -> str | None:
    """The value without its final newline; None if the kernel has no such key. Blocks (briefly).

    Raises:
        ValueError: not the name of a sysctl.
        HostNetPermissionError: not readable.
        HostNetError: any other refusal.
    """
    path = canonical(name)
    try:
        descriptor = os.open(root / path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, _MAX_SIZE).decode(errors="replace").removesuffix("\n")
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise _host_net_error(error, f"cannot read sysctl {path}") from error


def write(name: str, value: str, root: Path = ROOT) -> None:
    """Set the value. Blocks: the forwarding keys wait for the kernel's routing lock.

    Raises:
        ValueError: not the name of a sysctl.
        HostNetPermissionError: not permitted; the message contains the remedy.
        HostNetError: no such key, or a value that the kernel refuses.
    """
    path = canonical(name)
    try:
        # Not open("w"): its O_CREAT would report a missing key as "permission denied".
        descriptor = os.open(root / path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _host_net_error(error, f"cannot set sysctl {path} to {value!r}") from error


def _host_net_error(error: OSError, what: str) -> HostNetError:
    if error.errno in _DENIED:
        return HostNetPermissionError(f"{what}: {error.strerror}; {remedy(error.errno or 0, os.geteuid())}")
    if error.errno in _ABSENT:
        return HostNetError(f"{what}: the kernel has no such key (is its module loaded, does the interface exist?)")
    return HostNetError(f"{what}: {error.strerror}")


def remedy(code: int, user: int) -> str:
    """The remedy for an errno, for a process with this effective user id."""
    if code == errno.EROFS:
        return (
            "/proc/sys is mounted read-only: run the container with --network host --cap-add NET_ADMIN "
            "--security-opt systempaths=unconfined; in a systemd unit set ProtectKernelTunables=no"
        )
    if user != 0:
        return "run as root"
    return (
        "CAP_NET_ADMIN is missing, or AppArmor denies it: run the container with --network host --cap-add NET_ADMIN "
        "--security-opt apparmor=unconfined"
    )


def ra_interfaces(interfaces: Iterable[Interface], routes: Iterable[Route]) -> tuple[str, ...]:
    """Names of the interfaces that have a route or an address from a router advertisement, by index.

    Members of a bridge or bond are left out: the bridge has the routes and addresses.
    """
    by_route = {route.interface for route in routes if route.protocol is RouteProtocol.RA}
    return tuple(
        interface.name
        for interface in sorted(interfaces, key=lambda interface: interface.index)
        if interface.master is None and (interface.autoconfigured or interface.name in by_route)
    )


def ra_disabled_by_forwarding(
    interfaces: Iterable[Interface], routes: Iterable[Route], accept_ra: Mapping[str, str | None]
) -> tuple[str, ...]:
    """Names of the interfaces that need accept_ra=2 while forwarding is on, by index.

    Args:
        interfaces: all interfaces of the host.
        routes: all routes of the host.
        accept_ra: the sysctl's value by interface name, at least for those that `ra_interfaces` returns. None or
            missing: the interface has no IPv6.
    """
    return tuple(name for name in ra_interfaces(interfaces, routes) if accept_ra.get(name) == ACCEPT_UNLESS_FORWARDING)
