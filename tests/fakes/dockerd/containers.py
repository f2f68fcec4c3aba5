"""A container of the fake engine, and what a listing shows of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dockerv6.dockerd.decode_containers import port_order
from dockerv6.dockerd.model import Container, ContainerEndpoint
from tests.fakes.dockerd import ports as fake_ports
from tests.fakes.dockerd.ports import NOTHING, Families

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dockerv6.dockerd.model import Attachment, Endpoint, Network, PortBinding
    from tests.fakes.dockerd.ports import Publish


@dataclass(slots=True)
class Entry:
    """A container's configuration for one network, and its endpoint while it runs."""

    wish: Attachment  # what a user asked for; addresses in use are in `endpoint`
    network_id: str = ""  # unknown until the container first runs on it
    endpoint: Endpoint | None = None


@dataclass(slots=True)
class FakeContainer:
    """A container, running or not."""

    id: str
    name: str
    created: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    network_mode: str = "default"
    publish: tuple[Publish, ...] = ()
    running: bool = False
    paused: bool = False
    entries: dict[str, Entry] = field(default_factory=dict)  # by the network's name, as engines keep them
    host_ports: dict[Publish, int] = field(default_factory=dict)  # what it has been given while it runs
    families: Families = NOTHING

    @property
    def bindings(self) -> tuple[PortBinding, ...]:
        """The ports of the host that it has."""
        return tuple(sorted(fake_ports.bindings(self.host_ports, self.families), key=port_order))

    def view(self) -> Container:
        """What a listing shows while it runs."""
        return Container(
            id=self.id,
            name=self.name,
            created=self.created,
            labels=dict(self.labels),
            ports=self.bindings,
            endpoints=tuple(
                ContainerEndpoint(
                    entry.network_id, name, entry.endpoint.ipv6 if entry.endpoint else None, entry.wish.gw_priority
                )
                for name, entry in sorted(self.entries.items())
            ),
            network_mode=self.network_mode,
        )


def families(networks: Iterable[Network], *, userland_proxy: bool) -> Families:
    """Say which addresses of the host the ports of a container on these networks can bind.

    Only bridges publish, and not internal ones. The userland proxy takes IPv6 clients to an IPv4-only container.
    """
    publishing = [network for network in networks if network.driver == "bridge" and not network.internal]
    ipv4 = any(network.enable_ipv4 for network in publishing)
    ipv6 = any(network.enable_ipv6 for network in publishing)
    return Families(ipv4=ipv4, ipv6=ipv6 or (ipv4 and userland_proxy))
