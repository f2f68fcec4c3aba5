"""The kinds of resources, their names and their printer columns.

Without pydantic: the command line resolves ``get v6net`` without loading the models.
"""

from dataclasses import dataclass

from dockerv6.api.errors import did_you_mean

GROUP = "dockerv6.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

NETWORK = "IPv6Network"
POOL = "IPv6Pool"
POLICY = "IPv6Policy"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of ``get``, and of ``additionalPrinterColumns`` in the CRD."""

    name: str
    path: str  # JSONPath as in a CRD: ".status.subnet"
    type: str = "string"  # string, integer, boolean or date (printed as an age)
    wide: bool = False  # only with -o wide
    description: str = ""


@dataclass(frozen=True, slots=True)
class KindInfo:
    """The names and columns of a kind."""

    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the plural first."""
        return (self.plural, self.singular, *self.short_names)


class UnknownKind(ValueError):  # noqa: N818 - named for what it is about
    """No kind has that name. ``remedy`` has a suggestion."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(f"there is no kind {text!r}; {remedy}")
        self.remedy = remedy


_READY = Column(
    "Ready", '.status.conditions[?(@.type=="Ready")].status', description="Whether the resource is applied."
)
_REASON = Column(
    "Reason", '.status.conditions[?(@.type=="Ready")].reason', description="The reason of the condition Ready."
)
_WARNINGS = Column(
    "Warnings", ".status.warnings", description="Reasons of what should be looked at although the resource is Ready."
)
_AGE = Column(
    "Age", ".metadata.creationTimestamp", type="date", description="Time since the resource was first accepted."
)
_COMMIT = Column(
    "Commit", ".status.commit", wide=True, description="The Git commit that the accepted version was read from."
)
_MESSAGE = Column(
    "Message",
    '.status.conditions[?(@.type=="Ready")].message',
    wide=True,
    description="The message of the condition Ready.",
)

KINDS: tuple[KindInfo, ...] = (
    KindInfo(
        NETWORK,
        "ipv6networks",
        "ipv6network",
        ("v6net",),
        (
            _READY,
            _REASON,
            _WARNINGS,
            Column("Subnet", ".status.subnet", description="The IPv6 subnet in use."),
            Column("Containers", ".status.containers", type="integer", description="Number of attached containers."),
            Column("Network", ".status.networkName", wide=True, description="Name of the Docker network."),
            Column("Bridge", ".status.bridge", wide=True, description="Bridge interface of the host."),
            Column("Egress", ".status.egress", wide=True, description="Egress mode."),
            Column(
                "To", ".status.translatedTo[0]", wide=True, description="The prefix that the subnet is translated to."
            ),
            _COMMIT,
            _MESSAGE,
            _AGE,
        ),
    ),
    KindInfo(
        POOL,
        "ipv6pools",
        "ipv6pool",
        ("v6pool",),
        (
            _READY,
            _REASON,
            Column("Prefix", ".status.prefixes[0]", description="The first prefix of the pool."),
            Column(
                "Length", ".status.allocationLength", type="integer", description="Prefix length of allocated subnets."
            ),
            Column("Allocated", ".status.allocated", type="integer", description="Number of allocated subnets."),
            Column(
                "Cooling", ".status.cooling", type="integer", wide=True, description="Released subnets in the cooldown."
            ),
            Column("Interface", ".status.interface", wide=True, description="Interface whose prefix the pool uses."),
            Column(
                "Renumbering",
                ".status.renumbering",
                wide=True,
                description="Networks that still have a previous prefix.",
            ),
            _COMMIT,
            _MESSAGE,
            _AGE,
        ),
    ),
    KindInfo(
        POLICY,
        "ipv6policies",
        "ipv6policy",
        ("v6pol",),
        (
            _READY,
            _REASON,
            _WARNINGS,
            Column("Networks", ".status.networks", type="integer", description="Number of Docker networks that match."),
            _COMMIT,
            _MESSAGE,
            _AGE,
        ),
    ),
)

_BY_KIND = {info.kind: info for info in KINDS}
_BY_NAME = {name: info for info in KINDS for name in (*info.names, info.kind.casefold())}


def resolve_kind(text: str) -> KindInfo:
    """The kind with that plural, singular, short or kind name, in any letter case, with or without the group.

    Raises:
        UnknownKind: there is none.
    """
    name, _, group = text.casefold().partition(".")
    info = _BY_NAME.get(name)
    if info is None or group not in {"", GROUP, f"{VERSION}.{GROUP}"}:
        raise UnknownKind(text, did_you_mean(text, [name for info in KINDS for name in info.names]))
    return info


def kind_info(kind: str) -> KindInfo:
    """The names and columns of a kind, by its exact name.

    Raises:
        KeyError: there is no such kind.
    """
    return _BY_KIND[kind]
