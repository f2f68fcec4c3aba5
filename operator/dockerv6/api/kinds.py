"""The kinds of resources and the names that people call them.

No pydantic here: the command line resolves ``get v6net`` without loading the models.
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
    """A column of ``get``: of the CRD's ``additionalPrinterColumns`` and of our own table alike."""

    name: str
    path: str  # JSONPath from the resource's root, as in a CRD: ".status.subnet"
    type: str = "string"  # string, integer, boolean or date (shown as an age)
    wide: bool = False  # only with -o wide
    description: str = ""


@dataclass(frozen=True, slots=True)
class KindInfo:
    """A kind's names and how it is listed."""

    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that people may call it, the plural first."""
        return (self.plural, self.singular, *self.short_names)


class UnknownKind(ValueError):  # noqa: N818 - named for what it is about
    """No kind has that name. ``remedy`` says which was probably meant."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(f"there is no kind {text!r}; {remedy}")
        self.remedy = remedy


_READY = Column(
    "Ready", '.status.conditions[?(@.type=="Ready")].status', description="Whether it is as it was asked for."
)
_REASON = Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', description="Why it is ready or not.")
_AGE = Column("Age", ".metadata.creationTimestamp", type="date", description="Time since it was first accepted.")
_MESSAGE = Column(
    "Message", '.status.conditions[?(@.type=="Ready")].message', wide=True, description="What to know or to do."
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
            Column("Subnet", ".status.subnet", description="The IPv6 subnet in use."),
            Column("Containers", ".status.containers", type="integer", description="Containers attached now."),
            Column("Network", ".status.networkName", wide=True, description="The Docker network's name."),
            Column("Bridge", ".status.bridge", wide=True, description="The host's bridge interface."),
            Column("Egress", ".status.egress", wide=True, description="How packets leave the network."),
            Column(
                "To", ".status.translatedTo[0]", wide=True, description="The prefix that the subnet is translated to."
            ),
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
            Column("Prefix", ".status.prefixes[0]", description="The (first) prefix that subnets are cut from."),
            Column("Length", ".status.allocationLength", type="integer", description="Prefix length of a subnet."),
            Column("Allocated", ".status.allocated", type="integer", description="Subnets in use."),
            Column("Cooling", ".status.cooling", type="integer", wide=True, description="Released, not free yet."),
            Column("Interface", ".status.interface", wide=True, description="The interface whose prefix it follows."),
            Column(
                "Renumbering", ".status.renumbering", wide=True, description="Networks that still have another prefix."
            ),
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
            Column("Networks", ".status.networks", type="integer", description="Docker networks that it applies to."),
            _MESSAGE,
            _AGE,
        ),
    ),
)

_BY_NAME = {name: info for info in KINDS for name in (*info.names, info.kind.casefold())}


def resolve_kind(text: str) -> KindInfo:
    """The kind that plural, singular, short name or the kind itself means, in any letter case, with or without group.

    Raises:
        UnknownKind: none of them.
    """
    name, _, group = text.casefold().partition(".")
    info = _BY_NAME.get(name)
    if info is None or group not in {"", GROUP, f"{VERSION}.{GROUP}"}:
        raise UnknownKind(text, did_you_mean(text, [name for info in KINDS for name in info.names]))
    return info


def kind_info(kind: str) -> KindInfo:
    """The entry of exactly this kind.

    Raises:
        KeyError: there is none.
    """
    return next((info for info in KINDS if info.kind == kind), None) or _BY_NAME[kind]
