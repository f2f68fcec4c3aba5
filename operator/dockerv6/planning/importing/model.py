"""The values of an import: what is known of the host, and what became of each Docker network."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from dockerv6.api.kinds import API_VERSION, NETWORK
from dockerv6.api.network import ManagementPolicy
from dockerv6.dockerd.model import EngineInfo
from dockerv6.planning.inputs import Identity

_LONGEST_NAME = 63
_DIGEST = 6


@dataclass(frozen=True, slots=True)
class ImportedResource:
    """A resource with the fields that it sets."""

    kind: str
    name: str
    spec: Mapping[str, object]

    @property
    def document(self) -> dict[str, object]:
        """The resource as its file has it."""
        return {
            "apiVersion": API_VERSION,
            "kind": self.kind,
            "metadata": {"name": self.name},
            "spec": dict(self.spec),
        }

    def __str__(self) -> str:
        """``IPv6Network/blog (Observe)``."""
        policy = f" ({self.spec.get('managementPolicy', ManagementPolicy.MANAGE)})" if self.kind == NETWORK else ""
        return f"{self.kind}/{self.name}{policy}"


@dataclass(frozen=True, slots=True)
class ImportNote:
    """One thing that the resource does not carry over, or that is different from now on.

    Attributes:
        field: the field of the Docker network as `docker network inspect` or the Compose file has it; "": all of it.
        message: what happens to it, and the remedy.
    """

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


@dataclass(frozen=True, slots=True)
class ImportContext:
    """What an import depends on besides the networks.

    Attributes:
        policy: whether dockerv6 is to create the networks itself.
        engine: None: no engine was asked, as for a Compose file.
        translates: the engine itself has IPv6 rules: NAT66, published ports, isolation.
        ipv4_wildcard: ports that are published on 0.0.0.0 are open over IPv6 too, as docker-ipv6nat has it.
        identity: this operator.
        claimed: the IPv6Network that is for a Docker network already, by the name of the Docker network.
        policies: the IPv6Policy that applies to a Docker network already, by the name of the Docker network.
        taken: names of resources that exist.
    """

    policy: ManagementPolicy = ManagementPolicy.OBSERVE
    engine: EngineInfo | None = None
    translates: bool = True
    ipv4_wildcard: bool = False
    identity: Identity = field(default_factory=Identity)
    claimed: Mapping[str, str] = field(default_factory=dict)
    policies: Mapping[str, str] = field(default_factory=dict)
    taken: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ImportedNetwork:
    """What became of one Docker network.

    Attributes:
        network: the name of the Docker network.
        resource: the IPv6Network; None: there is none, see `skipped`.
        skipped: why there is none, with the remedy.
        example: a resource that would give IPv6 to the containers without a change of the network. It is not a part of
            the import, because it would create a Docker network.
        notes: what is not carried over, or is different from now on.
        recreation: with ``managementPolicy: Manage``, why the Docker network has to be created again.
        disconnected: names of the running containers that the recreation disconnects.
    """

    network: str
    resource: ImportedResource | None = None
    skipped: str = ""
    example: ImportedResource | None = None
    notes: tuple[ImportNote, ...] = ()
    recreation: tuple[str, ...] = ()
    disconnected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportedPolicy:
    """One IPv6Policy for all networks of another program.

    Attributes:
        resource: the IPv6Policy.
        networks: names of the Docker networks that it applies to now.
        notes: as for a network.
    """

    resource: ImportedResource
    networks: tuple[str, ...]
    notes: tuple[ImportNote, ...] = ()


@dataclass(frozen=True, slots=True)
class Import:
    """The result of an import: at most one policy, and the networks by name."""

    networks: tuple[ImportedNetwork, ...] = ()
    policy: ImportedPolicy | None = None

    @property
    def resources(self) -> tuple[ImportedResource, ...]:
        """All resources, the policy first."""
        policies = (self.policy.resource,) if self.policy is not None else ()
        return (*policies, *(n.resource for n in self.networks if n.resource is not None))


def resource_names(docker_names: Iterable[str], taken: Collection[str] = ()) -> dict[str, str]:
    """A name for the resource of each Docker network: an RFC 1123 label, the same in each import.

    A name that is a label stays. In others, every run of other characters becomes a hyphen. Where two would become one,
    or the name is taken, all but the first get a hash of their Docker name at the end.
    """
    found: dict[str, str] = {}
    used = set(taken)
    for name in sorted(set(docker_names), key=lambda each: (_label(each) != each, each)):
        label = _label(name)
        if not label or label in used:
            digest = sha256(name.encode(errors="surrogatepass")).hexdigest()[:_DIGEST]
            label = f"{(label or 'network')[: _LONGEST_NAME - _DIGEST - 1].rstrip('-')}-{digest}"
        used.add(label)
        found[name] = label
    return found


def _label(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_LONGEST_NAME].rstrip("-")
