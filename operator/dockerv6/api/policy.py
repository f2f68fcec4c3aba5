"""The IPv6Policy: IPv6 for Docker networks that somebody else made."""

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from dockerv6.api.egress import Egress
from dockerv6.api.errors import FieldError
from dockerv6.api.firewall import Firewall, NdpProxy, proxy_findings
from dockerv6.api.kinds import POLICY
from dockerv6.api.meta import Model, ObjectMeta, shared
from dockerv6.api.publish import Publish
from dockerv6.api.selectors import NetworkSelector


class IPv6PolicySpec(Model):
    """What every Docker network gets that matches and that no IPv6Network claims."""

    selector: NetworkSelector = Field(
        default_factory=shared(NetworkSelector), description="Which Docker networks. Default: all that have IPv6."
    )
    egress: Egress = Field(
        default_factory=shared(Egress), description="How packets leave the networks. Default: NAT66."
    )
    publish: Publish = Field(
        default_factory=shared(Publish), description="Ports that can be reached through the host's addresses."
    )
    firewall: Firewall = Field(default_factory=shared(Firewall), description="Who may reach the containers.")
    ndp_proxy: NdpProxy = Field(
        default_factory=shared(NdpProxy),
        description="Answers to neighbour solicitations for an on-link prefix. Default: off.",
    )

    def findings(self) -> Iterator[FieldError]:
        """What is wrong between the blocks."""
        return proxy_findings(self.egress, self.ndp_proxy)


class IPv6Policy(Model):
    """IPv6 for Docker networks that somebody else made."""

    kind: ClassVar[str] = POLICY

    metadata: ObjectMeta = Field(description="What identifies the resource.")
    spec: IPv6PolicySpec = Field(default_factory=shared(IPv6PolicySpec), description="What matching networks get.")
