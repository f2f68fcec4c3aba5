"""The provider at the other end of the uplink: it delegates, advertises and withdraws prefixes."""

from dataclasses import dataclass, field, replace
from ipaddress import IPv6Interface, IPv6Network

from tests.simulation.coupled import DEFAULT_ROUTE, ETH0
from tests.world import Host

UPLINK = "eth0"


@dataclass
class Provider:
    """Changes the delegated prefixes, addresses and state of eth0, the host's uplink."""

    host: Host
    delegated: set[IPv6Network] = field(default_factory=set)
    plugged: bool = True

    def delegate(self, prefix: str, valid: float | None = None) -> None:
        """Delegate the prefix to the host's DHCPv6 client, or renew it."""
        self.delegated.add(IPv6Network(prefix))
        self.host.net.delegate(IPv6Network(prefix), valid)

    def undelegate(self, prefix: str) -> None:
        """Revoke the prefix. Does nothing if it is not delegated."""
        if IPv6Network(prefix) in self.delegated:
            self.delegated.discard(IPv6Network(prefix))
            self.host.net.undelegate(IPv6Network(prefix))

    def replace_delegations(self, *prefixes: str, valid: float | None = None) -> None:
        """Delegate exactly these prefixes."""
        for revoked in sorted(self.delegated - {IPv6Network(p) for p in prefixes}):
            self.undelegate(str(revoked))
        for prefix in prefixes:
            self.delegate(prefix, valid)

    def advertise(self, prefix: str, preferred: float | None = 1800.0, valid: float | None = 3600.0) -> None:
        """Give the host an address of the on-link prefix by a router advertisement; ``preferred=0`` deprecates it."""
        if self.plugged:
            address = IPv6Interface((IPv6Network(prefix)[5], IPv6Network(prefix).prefixlen))
            self.host.net.advertise(UPLINK, address, preferred=preferred, valid=valid)

    def withdraw(self, prefix: str) -> None:
        """Remove the host's address of the prefix."""
        if self.plugged:
            self.host.net.withdraw(UPLINK, IPv6Network(prefix))

    def unplug(self) -> None:
        """Remove the interface with its addresses and routes."""
        if self.plugged:
            self.plugged = False
            self.host.net.remove_interface(UPLINK)

    def plug(self, *addresses: str, index: int = 2) -> None:
        """Add the interface again under the same name. A different ``index`` makes it another interface."""
        if not self.plugged:
            self.plugged = True
            interfaces = tuple(sorted(IPv6Interface(a) for a in addresses))
            self.host.net.add_interface(replace(ETH0, index=index, addresses=interfaces))
            self.host.net.add_route(DEFAULT_ROUTE)
