"""What ``ndpProxy`` asks for. Values only."""

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network


@dataclass(frozen=True, slots=True)
class ProxiedSubnet:
    """Whom a resource has neighbour solicitations answered for: the containers of one subnet of a network."""

    owner: str
    subnet: IPv6Network
    interface: str | None = None  # ndpProxy.interface; None: the one that holds the covering prefix
    external_prefixes: tuple[
        IPv6Network, ...
    ] = ()  # as long as the subnet: what it is translated to, or was; empty: untranslated

    @property
    def prefixes(self) -> tuple[IPv6Network, ...]:
        """What neighbours know the containers by; the first is the present one."""
        return self.external_prefixes or (self.subnet,)

    def has(self, address: IPv6Address) -> bool:
        """Whether an entry for that address can only be there because of this subnet."""
        return any(address in prefix for prefix in (self.subnet, *self.external_prefixes))
