"""The IPv6Policy: IPv6 for Docker networks that dockerv6 did not create."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from dockerv6.api.errors import FieldError
from dockerv6.api.kinds import POLICY
from dockerv6.api.meta import DockerKey, Model, ObjectMeta, shared_default
from dockerv6.api.options import Driver
from dockerv6.api.traffic import Egress, Firewall, NdpProxy, Publish, ndp_proxy_errors
from dockerv6.api.values import Prefix6

MAX_SELECTED = 1000
"""Entries of a list in a selector: each Docker network is compared with all of them."""


class NetworkSelector(Model):
    """Selects Docker networks. A network must match every field that is set, and have no excluded name."""

    match_labels: Mapping[DockerKey, str] = Field(
        default_factory=dict,
        description="Docker networks that have all of these labels with these values. If the policy is only for "
        "networks that choose it, require `dockerv6.io/policy` with its name. Default: any.",
    )
    names: tuple[str, ...] = Field(
        (),
        max_length=MAX_SELECTED,
        description=f"Docker networks with one of these names, at most {MAX_SELECTED}. Default: any.",
    )
    exclude_names: tuple[str, ...] = Field(
        (),
        max_length=MAX_SELECTED,
        description="Docker networks with one of these names are left out, for example for another "
        f"policy; at most {MAX_SELECTED}. Default: none.",
    )
    prefixes: tuple[Prefix6, ...] = Field(
        (),
        max_length=MAX_SELECTED,
        description="Docker networks with an IPv6 subnet in one of these prefixes, such as `fc00::/7` (all unique "
        f"local addresses); at most {MAX_SELECTED}. Default: any.",
    )
    drivers: tuple[Driver, ...] = Field((), description="Docker networks with one of these drivers. Default: any.")

    def field_errors(self) -> Iterator[FieldError]:
        """Check that no name is empty."""
        for field, names in (("names", self.names), ("excludeNames", self.exclude_names)):
            for index, name in enumerate(names):
                if not name.strip():
                    yield FieldError((field, index), "the name of a Docker network can't be empty", "remove it")


class IPv6PolicySpec(Model):
    """Settings for each matching Docker network that no IPv6Network manages or observes."""

    selector: NetworkSelector = Field(
        default_factory=shared_default(NetworkSelector),
        description="The Docker networks that the policy applies to. If several policies match a network, its label "
        "`dockerv6.io/policy` can choose one. Default: all networks with IPv6.",
    )
    egress: Egress = Field(
        default_factory=shared_default(Egress), description="Translation of outgoing packets. Default: NAT66."
    )
    publish: Publish = Field(default_factory=shared_default(Publish), description="Published ports.")
    firewall: Firewall = Field(
        default_factory=shared_default(Firewall), description="Filtering of incoming connections."
    )
    ndp_proxy: NdpProxy = Field(
        default_factory=shared_default(NdpProxy),
        description="NDP proxy for an on-link prefix. Default: off.",
    )

    def field_errors(self) -> Iterator[FieldError]:
        """Errors that concern several blocks."""
        return ndp_proxy_errors(self.egress, self.ndp_proxy)


class IPv6Policy(Model):
    """IPv6 for Docker networks that dockerv6 did not create."""

    kind: ClassVar[str] = POLICY

    metadata: ObjectMeta = Field(description="Name, labels and annotations.")
    spec: IPv6PolicySpec = Field(default_factory=shared_default(IPv6PolicySpec), description="The desired state.")
