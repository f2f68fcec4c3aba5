"""Who may reach a network's containers, and who answers neighbour solicitations for them."""

from collections.abc import Iterator

from pydantic import Field

from dockerv6.api.egress import Egress, EgressMode
from dockerv6.api.errors import FieldError
from dockerv6.api.meta import Model
from dockerv6.api.publish import Protocol
from dockerv6.api.selectors import ContainerSelector
from dockerv6.api.values import AddressOrPrefix6, Flag, Interface, Port


class IngressPort(Model):
    """A port that an ingress rule opens."""

    protocol: Protocol = Field(Protocol.TCP, description="`tcp`, `udp` or `sctp`. Default: `tcp`.")
    port: Port = Field(description="The container's port, 1 to 65535.")


class IngressRule(Model):
    """Connections that may come in from outside, to a container's own address or, translated, to its outer one."""

    from_prefixes: tuple[AddressOrPrefix6, ...] = Field(
        (), alias="from", description="Addresses and prefixes of clients. Default: everybody."
    )
    ports: tuple[IngressPort, ...] = Field((), description="Ports that may be reached. Default: all.")
    containers: ContainerSelector | None = Field(
        None, description="Containers that may be reached. Default: all of the network."
    )


class Firewall(Model):
    """Who may reach the network's containers."""

    isolation: Flag = Field(
        True,
        description="Containers of other networks can't reach this network's, except through published ports. "
        "Default: `true`.",
    )
    ingress: tuple[IngressRule, ...] = Field(
        (),
        description="What else may come in. Default: nothing but published ports, established flows and the ICMPv6 "
        "that must pass "
        "(RFC 4890 §4.3).",
    )


class NdpProxy(Model):
    """Answers to neighbour solicitations on behalf of containers, for a prefix that is on-link, not routed."""

    enabled: Flag = Field(
        False,
        description="Answer for every running container of the network, as a VPS with one on-link /64 needs it; with "
        "`PrefixTranslation` for its outer address. Default: `false`.",
    )
    interface: Interface | None = Field(
        None,
        description="Where to answer. Default: the interface that holds the prefix which covers the network's subnet, "
        "or the one that it is translated to.",
    )

    def findings(self) -> Iterator[FieldError]:
        """An interface alone does nothing."""
        if self.interface is not None and not self.enabled:
            yield FieldError(
                ("interface",), "it has no effect while enabled is false", "write enabled: true, or remove it"
            )


def proxy_findings(egress: Egress, proxy: NdpProxy) -> Iterator[FieldError]:
    """What is wrong between two blocks of a spec; paths start at the spec."""
    if proxy.enabled and egress.mode in {EgressMode.MASQUERADE, EgressMode.SNAT}:
        yield FieldError(
            ("ndpProxy", "enabled"),
            f"egress.mode {egress.mode} hides the containers' addresses, so nobody asks for them",
            "write egress.mode: Routed, or remove ndpProxy",
        )
