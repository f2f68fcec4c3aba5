"""The sysctls of a host in memory: those of its interfaces, and whatever else it was given."""

from collections.abc import Collection, Mapping

from dockerv6.hostnet import sysctl
from dockerv6.hostnet.model import ChangeKind, interface_sysctl
from dockerv6.hostnet.port import HostNetError
from tests.fakes.hostnet.changes import Announcements

_DEFAULTS = {"forwarding": "0", "accept_ra": "1", "proxy_ndp": "0", "disable_ipv6": "0"}
_ANNOUNCED = frozenset({"forwarding", "proxy_ndp"})
_TREE = ("net", "ipv6", "conf")
_EVERYWHERE = ("all", "default")


class FakeSysctls:
    """Values by canonical name."""

    def __init__(self, changes: Announcements) -> None:
        """As the kernel has them when it starts."""
        self._changes = changes
        self._values: dict[str, str] = {}
        for name in _EVERYWHERE:
            self._bring(name, _DEFAULTS)

    def read(self, name: str) -> str | None:
        """None where there is no such key.

        Raises:
            ValueError: not a name of a sysctl.
        """
        return self._values.get(sysctl.canonical(name))

    def put(self, name: str, value: str) -> None:
        """A key that need not have been there; nothing is announced.

        Raises:
            ValueError: not a name of a sysctl.
        """
        self._values[sysctl.canonical(name)] = value

    def write(self, name: str, value: str, interfaces: Collection[str]) -> tuple[str, str]:
        """Write one, and those of these interfaces that it stands for; its canonical name, and what it is now.

        Raises:
            ValueError: not a name of a sysctl.
            HostNetError: no such key, or not a number.
        """
        path = sysctl.canonical(name)
        if path not in self._values:
            raise HostNetError(f"can't set sysctl {path} to {value!r}: the kernel has no such key")
        try:
            value = str(int(value))
        except ValueError as error:
            raise HostNetError(f"can't set sysctl {path} to {value!r}: Invalid argument") from error
        for written in _reached_by(path, interfaces):
            self._write(written, value)
        return path, value

    def add_interface(self, interface: str) -> None:
        """It brings its own, with what "default" has."""
        self._bring(interface, {key: self._values[interface_sysctl("default", key)] for key in _DEFAULTS})
        self._changes.announce(ChangeKind.SYSCTL, interface)

    def remove_interface(self, interface: str) -> None:
        """It takes them along."""
        prefix = interface_sysctl(interface, "")
        self._values = {key: value for key, value in self._values.items() if not key.startswith(prefix)}

    def _bring(self, interface: str, values: Mapping[str, str]) -> None:
        self._values.update({interface_sysctl(interface, key): value for key, value in values.items()})

    def _write(self, path: str, value: str) -> None:
        *tree, interface, key = path.split("/")
        changed = self._values[path] != value
        self._values[path] = value
        if changed and tuple(tree) == _TREE and key in _ANNOUNCED:
            self._changes.announce(ChangeKind.SYSCTL, interface)


def _reached_by(path: str, interfaces: Collection[str]) -> tuple[str, ...]:
    if path == interface_sysctl("all", "forwarding"):
        return tuple(interface_sysctl(name, "forwarding") for name in (*_EVERYWHERE, *interfaces))
    return (path,)
