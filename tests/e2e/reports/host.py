"""The host on which a report is replayed: an engine, a running operator, and neighbours, shared by several reports."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.e2e.cluster import eventually, network_yaml, policy_yaml
from tests.e2e.site import Site
from tests.lab.baseline import restore_xtables, xtables_rules
from tests.lab.compose import Stack
from tests.lab.lab import Lab, Station
from tests.lab.net import FAR_ADDRESS, UPLINK, ping
from tests.lab.process import CommandFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.lab.session import Session
    from tests.lab.settings import Settings

# deprecated, so that the host does not choose them as a source by itself
_NOT_A_SOURCE = ("nodad", "preferred_lft", "0", "valid_lft", "forever")
# the engine's defaults would overlap the IPv4 subnets that authors wrote, and are too few for all reports
_POOLS = {"default-address-pools": [{"base": "172.31.0.0/16", "size": 24}]}


class Host(Site):
    """A host with Docker, as the author of a report had it. Each report has its own names for everything on it."""

    __slots__ = ()

    def start(self) -> None:
        """Start the operator and wait until it listens, which is cheaper than asking it."""
        self.operator.start()
        eventually(self._listens, "the operator listens")

    def _listens(self) -> bool:
        assert self.operator.running, self.operator.log_tail()
        return (self.operator.run_dir / "http.sock").exists()

    def network(self, name: str, spec: Mapping[str, Any] | None = None) -> None:
        """Write an IPv6Network and wait until it is ready."""
        self.operator.apply_yaml(f"{name}.yaml", network_yaml(name, spec))
        self.operator.wait_ready(f"ipv6network/{name}")

    def policy(self, name: str, spec: Mapping[str, Any]) -> None:
        """Write an IPv6Policy and wait until it is ready."""
        self.operator.apply_yaml(f"{name}.yaml", policy_yaml(name, spec))
        self.operator.wait_ready(f"ipv6policy/{name}")

    def stack(self, name: str, text: str) -> Stack:
        """Write a Compose file; it is not started yet."""
        stack = Stack(self.engine, self.lab.directory / name, name)
        stack.write(text)
        return stack

    def source_of(self, container: str) -> str:
        """The address that a server on the Internet sees, or "" if a container does not reach it."""
        try:
            return self.lab.neighbour.seen_as(self.engine, container)
        except CommandFailedError:
            return ""

    def pings(self, container: str, address: str = FAR_ADDRESS, *, expected: bool = True) -> bool:
        """Whether a container gets an echo reply; without one it waits longer if it is expected."""
        return ping(self.engine, container, address, deadline=20 if expected else 1)

    def wait_source(self, container: str, address: str) -> None:
        """Wait until a server on the Internet sees that address. A policy follows a new network by itself."""
        eventually(
            lambda: self.pings(container, expected=False) and self.source_of(container) == address,
            f"{container} leaves as {address}",
        )

    @contextmanager
    def second_address(self, address: str) -> Iterator[None]:
        """Give the uplink another address for the block."""
        length = 64 if ":" in address else 24
        lifetime = _NOT_A_SOURCE if ":" in address else ()
        self.engine.netexec("ip", "address", "add", f"{address}/{length}", "dev", UPLINK, *lifetime)
        try:
            yield
        finally:
            self.engine.netexec("ip", "address", "del", f"{address}/{length}", "dev", UPLINK)

    @contextmanager
    def routed(self, prefix: str) -> Iterator[None]:
        """Let the provider route a prefix to the host for the block."""
        self.lab.neighbour.add_route(prefix)
        try:
            yield
        finally:
            self.lab.neighbour.remove_route(prefix)

    @contextmanager
    def xtables_restored(self) -> Iterator[None]:
        """Restore the rules of iptables and ip6tables after the block."""
        saved = {family: xtables_rules(self.engine, family) for family in ("iptables", "ip6tables")}
        try:
            yield
        finally:
            for family, rules in saved.items():
                restore_xtables(self.engine, family, rules)

    def clear(self) -> None:
        """Remove all containers: the next report may publish the same ports."""
        if containers := self.engine.client().containers(all=True):
            self.remove(*(each["Id"] for each in containers))


class Hosts:
    """Hosts by the settings of their engines, started on first use and kept for the next report."""

    def __init__(self, session: Session, directory: Path) -> None:
        self._session = session
        self._directory = directory
        self._hosts: list[tuple[Settings, Host]] = []
        self._stations: list[Station] = []

    def get(self, settings: Settings) -> Host:
        """Return the host with these settings."""
        return next((host for known, host in self._hosts if known == settings), None) or self._start(settings)

    def _start(self, settings: Settings) -> Host:
        station = Station.build(self._session, replace(settings, config={**settings.config, **_POOLS}))
        lab = Lab(station.engine, station.neighbour, self._directory / station.engine.name)
        host = Host(lab, lab.operator())
        self._stations.append(station)
        self._hosts.append((settings, host))
        host.start()
        return host

    def close(self) -> None:
        """Remove all hosts."""
        for _, host in self._hosts:
            host.lab.close()
        for station in self._stations:
            station.remove()
