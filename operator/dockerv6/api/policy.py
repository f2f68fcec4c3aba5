"""The IPv6Policy: IPv6 for Docker networks that somebody else made."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from dockerv6.api.errors import FieldError
from dockerv6.api.kinds import POLICY
from dockerv6.api.meta import DockerKey, Model, ObjectMeta, shared_default
from dockerv6.api.options import Driver
from dockerv6.api.traffic import Egress, Firewall, NdpProxy, Publish, ndp_proxy_errors
from dockerv6.api.values import Prefix6


class NetworkSelector(Model):
    """Which Docker networks a policy is for. A network must satisfy every criterion that is written."""

    match_labels: Mapping[DockerKey, str] = Field(
        default_factory=dict,
        description="Docker networks that carry all of these labels with these values. Default: any.",
    )
    names: tuple[str, ...] = Field((), description="Docker networks with one of these names. Default: any.")
    prefixes: tuple[Prefix6, ...] = Field(
        (),
        description="Docker networks with an IPv6 subnet inside one of these prefixes, such as `fc00::/7` (all "
        "unique local addresses). "
        "Default: any.",
    )
    drivers: tuple[Driver, ...] = Field((), description="Docker networks of one of these drivers. Default: any.")

    def field_errors(self) -> Iterator[FieldError]:
        """Names that nothing can have."""
        for index, name in enumerate(self.names):
            if not name.strip():
                yield FieldError(("names", index), "a Docker network's name can't be empty", "remove it")


class IPv6PolicySpec(Model):
    """What every Docker network gets that matches and that no IPv6Network claims."""

    selector: NetworkSelector = Field(
        default_factory=shared_default(NetworkSelector),
        description="Which Docker networks. Default: all that have IPv6.",
    )
    egress: Egress = Field(
        default_factory=shared_default(Egress), description="How packets leave the networks. Default: NAT66."
    )
    publish: Publish = Field(
        default_factory=shared_default(Publish), description="Ports that can be reached through the host's addresses."
    )
    firewall: Firewall = Field(default_factory=shared_default(Firewall), description="Who may reach the containers.")
    ndp_proxy: NdpProxy = Field(
        default_factory=shared_default(NdpProxy),
        description="Answers to neighbour solicitations for an on-link prefix. Default: off.",
    )

    def field_errors(self) -> Iterator[FieldError]:
        """What is wrong between the blocks."""
        return ndp_proxy_errors(self.egress, self.ndp_proxy)


class IPv6Policy(Model):
    """IPv6 for Docker networks that somebody else made."""

    kind: ClassVar[str] = POLICY

    metadata: ObjectMeta = Field(description="What identifies the resource.")
    spec: IPv6PolicySpec = Field(
        default_factory=shared_default(IPv6PolicySpec), description="What matching networks get."
    )
