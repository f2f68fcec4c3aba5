"""The other end of the uplink: it delegates and advertises prefixes, and takes them back."""

from dataclasses import dataclass, field, replace
from ipaddress import IPv6Interface, IPv6Network

from tests.simulation.coupled import DEFAULT_ROUTE, ETH0
from tests.world import Host

OWN = "eth0"


@dataclass
class Provider:
    """What becomes of the host's uplink, eth0."""

    host: Host
    delegated: set[IPv6Network] = field(default_factory=set)
    plugged: bool = True

    def delegate(self, prefix: str, valid: float | None = None) -> None:
        """A DHCPv6 client gets it, or gets it anew."""
        self.delegated.add(IPv6Network(prefix))
        self.host.net.delegate(IPv6Network(prefix), valid)

    def undelegate(self, prefix: str) -> None:
        """It is lost; one that is not there is lost already."""
        if IPv6Network(prefix) in self.delegated:
            self.delegated.discard(IPv6Network(prefix))
            self.host.net.undelegate(IPv6Network(prefix))

    def instead(self, *prefixes: str, valid: float | None = None) -> None:
        """These are delegated from now on, and nothing else."""
        for gone in sorted(self.delegated - {IPv6Network(p) for p in prefixes}):
            self.undelegate(str(gone))
        for prefix in prefixes:
            self.delegate(prefix, valid)

    def advertise(self, prefix: str, preferred: float | None = 1800.0, valid: float | None = 3600.0) -> None:
        """A router advertisement gives the host an address of that on-link prefix; preferred 0 deprecates it."""
        if self.plugged:
            address = IPv6Interface((IPv6Network(prefix)[5], IPv6Network(prefix).prefixlen))
            self.host.net.advertise(OWN, address, preferred=preferred, valid=valid)

    def withdraw(self, prefix: str) -> None:
        """The host's address of that prefix is gone."""
        if self.plugged:
            self.host.net.withdraw(OWN, IPv6Network(prefix))

    def unplug(self) -> None:
        """The interface vanishes, with its addresses and routes."""
        if self.plugged:
            self.plugged = False
            self.host.net.remove_interface(OWN)

    def plug(self, *addresses: str, index: int = 2) -> None:
        """It is back under the same name, as another interface perhaps."""
        if not self.plugged:
            self.plugged = True
            here = tuple(sorted(IPv6Interface(a) for a in addresses))
            self.host.net.add_interface(replace(ETH0, index=index, addresses=here))
            self.host.net.add_route(DEFAULT_ROUTE)
