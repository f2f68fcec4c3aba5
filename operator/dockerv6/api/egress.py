"""How packets leave a network."""

from collections.abc import Iterator
from enum import StrEnum
from ipaddress import IPv6Network

from pydantic import Field

from dockerv6.api.errors import FieldError
from dockerv6.api.meta import Model
from dockerv6.api.values import AddressOrPrefix6, Interface, Subnet6, Unicast6


class EgressMode(StrEnum):
    """What happens to the source address of a packet that leaves a network."""

    MASQUERADE = "Masquerade"
    SNAT = "SNAT"
    PREFIX_TRANSLATION = "PrefixTranslation"
    ROUTED = "Routed"
    NONE = "None"


TRANSLATING = frozenset({EgressMode.MASQUERADE, EgressMode.SNAT, EgressMode.PREFIX_TRANSLATION})
"""The modes that change addresses."""


class PrefixFrom(Model):
    """A prefix that follows an interface."""

    interface: Interface = Field(
        description="The interface whose global prefix is used, delegated, advertised or static, such as `eth0`."
    )


class Egress(Model):
    """How packets leave the network."""

    mode: EgressMode = Field(
        EgressMode.MASQUERADE,
        description="`Masquerade`: the source becomes the address of the outgoing interface (NAT66). `SNAT`: it "
        "becomes `snatAddress`. "
        "`PrefixTranslation`: the network's prefix is exchanged for another one, the rest of the address stays, both "
        "ways (NPTv6, RFC 6296, with connection tracking). "
        "`Routed`: untranslated and allowed through the host's filter; the subnet must be routed to this host, or be "
        "on-link with `ndpProxy`. "
        "`None`: dockerv6 does nothing about packets that leave. Default: `Masquerade`.",
    )
    snat_address: Unicast6 | None = Field(
        None, description="The source address that `SNAT` gives. Replies need it to be one of the host's."
    )
    prefix: Subnet6 | None = Field(
        None,
        description="The fixed prefix that `PrefixTranslation` exchanges the network's for. Where it is shorter than "
        "the subnet, the subnet's bits behind it stay.",
    )
    prefix_from: PrefixFrom | None = Field(
        None,
        description="Where `PrefixTranslation` takes its prefix from, instead of a fixed one; it follows when the "
        "provider changes it, and the former one leads in until its lifetime ends.",
    )
    interfaces: tuple[Interface, ...] = Field(
        (),
        description="Interfaces out of which packets are translated (or routed). Default: any but the network's own "
        "bridge.",
    )
    exclude: tuple[AddressOrPrefix6, ...] = Field(
        (),
        description="Destination addresses and prefixes to which packets go untranslated, such as a VPN's. Default: "
        "none.",
    )

    def findings(self) -> Iterator[FieldError]:
        """Every mode needs its own fields and no other's."""
        if self.mode is EgressMode.SNAT and self.snat_address is None:
            yield FieldError(
                ("snatAddress",),
                "mode SNAT needs it",
                "write the host's address that packets shall come from, or mode: Masquerade",
            )
        if self.mode is not EgressMode.SNAT and self.snat_address is not None:
            yield FieldError(
                ("snatAddress",), f"it has no effect with mode {self.mode}", "write mode: SNAT, or remove it"
            )
        yield from self._prefix_findings()
        if self.mode is EgressMode.NONE and self.interfaces:
            yield FieldError(
                ("interfaces",), "they have no effect with mode None", "choose another mode, or remove them"
            )
        if self.mode not in TRANSLATING and self.exclude:
            yield FieldError(
                ("exclude",),
                f"mode {self.mode} translates nothing, so nothing can be excluded",
                "remove it, or choose another mode",
            )

    def _prefix_findings(self) -> Iterator[FieldError]:
        given = [
            name for name, value in (("prefix", self.prefix), ("prefixFrom", self.prefix_from)) if value is not None
        ]
        if self.mode is not EgressMode.PREFIX_TRANSLATION:
            for name in given:
                yield FieldError(
                    (name,), f"it has no effect with mode {self.mode}", "write mode: PrefixTranslation, or remove it"
                )
        elif not given:
            yield FieldError(
                ("prefix",),
                "mode PrefixTranslation needs prefix or prefixFrom",
                "write prefixFrom: {interface: eth0}, or a prefix",
            )
        elif len(given) > 1:
            yield FieldError(("prefix",), "prefix and prefixFrom exclude one another", "keep one of them")

    def subnet_findings(self, subnet: IPv6Network | None) -> Iterator[FieldError]:
        """What is wrong given the network's fixed subnet; paths start at this model."""
        if subnet is not None and self.prefix is not None and self.prefix.prefixlen > subnet.prefixlen:
            yield FieldError(
                ("prefix",),
                f"{self.prefix} has fewer addresses than the subnet {subnet}",
                f"write a prefix of length {subnet.prefixlen} or shorter",
            )
