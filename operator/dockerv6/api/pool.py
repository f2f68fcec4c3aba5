"""The IPv6Pool: a pool of subnets for networks."""

from collections.abc import Iterator
from enum import StrEnum
from ipaddress import IPv6Network
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, Strict

from dockerv6.api.errors import FieldError
from dockerv6.api.kinds import POOL
from dockerv6.api.meta import Model, ObjectMeta, shared_default
from dockerv6.api.values import (
    SHORTEST_SUBNET,
    AddressOrPrefix6,
    Duration,
    Flag,
    InterfaceField,
    PrefixLength,
    Subnet6,
    SubnetLength,
    unquoted_number,
)
from dockerv6.lib.prefixes import PrefixSet, free_gaps

GENERATED = IPv6Network("fd00::/8")
"""Contains every prefix that is generated."""

GENERATED_LENGTH = 48
"""RFC 4193 §3.1: the length of a generated prefix."""

HOUR = 3600.0

MAX_PREFIXES = 1000
"""Every allocation considers each of them."""

SHORTEST_TRACKED = 13
"""Prefix length in bits. IANA assigns /12s to registries, so a shorter prefix is a default route."""

_PREFIX_SOURCES = ("prefix", "prefixes", "generate", "from_interface")


class Generate(StrEnum):
    """How a pool generates its prefix."""

    ULA = "ULA"


class FromInterface(Model):
    """The prefix of an interface as the source of a pool."""

    name: InterfaceField = Field(
        description="The interface whose global prefix (delegated, advertised or static) is used, such as `eth0`."
    )
    prefix_length: PrefixLength | None = Field(
        None,
        description="Prefix length in bits of the part that the pool uses, 1 to 126. Default: the whole prefix of the "
        "interface.",
    )
    offset: Annotated[int, Strict(), Field(ge=0), BeforeValidator(unquoted_number("a number such as 0"))] = Field(
        0,
        description="Index of the part that the pool uses, from 0; the prefix must have that many parts of length "
        "`prefixLength`. Default: `0`.",
    )

    def field_errors(self) -> Iterator[FieldError]:
        """Check that offset is set only with prefixLength, and that some prefix has that many parts."""
        if self.offset and self.prefix_length is None:
            yield FieldError(
                ("offset",),
                "requires prefixLength: the whole prefix has only one part",
                "write prefixLength too, or remove offset",
            )
            return
        parts = 1 << max(0, (self.prefix_length or 0) - SHORTEST_TRACKED)
        if self.offset >= parts:
            yield FieldError(
                ("offset",),
                f"no prefix of an interface has a /{self.prefix_length} with the index {self.offset}",
                f"write a number from 0 to {parts - 1}; a /56 has the /64s 0 to 255" if parts > 1 else "remove it",
            )


class IPv6PoolSpec(Model):
    """The source of subnets: one of `prefix`, `prefixes`, `generate`, `fromInterface`. Default: a generated ULA /48."""

    prefix: Subnet6 | None = Field(
        None, description="The prefix to allocate subnets from, such as `2001:db8:1234::/48`."
    )
    prefixes: tuple[Subnet6, ...] = Field(
        (),
        max_length=MAX_PREFIXES,
        description=f"Several prefixes, at most {MAX_PREFIXES}. Subnets are allocated from the first one with free "
        "space.",
    )
    generate: Generate | None = Field(
        None,
        description="`ULA`: a random unique local /48 (RFC 4193), generated once and kept. This is the default when no "
        "other source is set.",
    )
    from_interface: FromInterface | None = Field(
        None,
        description="The prefix of an interface. When it changes, the networks of the pool are renumbered according to "
        "their `updateStrategy`.",
    )
    allocation_length: SubnetLength = Field(
        64, description="Prefix length of a subnet, in bits, 32 to 126. Default: `64`."
    )
    exclude: tuple[AddressOrPrefix6, ...] = Field(
        (),
        max_length=MAX_PREFIXES,
        description=f"Addresses and prefixes that are never allocated, at most {MAX_PREFIXES}. Default: none.",
    )
    cooldown: Duration = Field(
        HOUR,
        description="Time after which a released subnet can be allocated to another network: a number with a unit "
        "(`d`, `h`, `m`, `s`, `ms`), such as `90s` or `1h30m`. Default: `1h`.",
    )
    max_unavailable: Annotated[int, Strict(), Field(ge=1), BeforeValidator(unquoted_number("a number such as 1"))] = (
        Field(
            1,
            description="Maximum number of networks that are renumbered at the same time when the prefix of the pool "
            "changes. Default: `1`.",
        )
    )
    disabled: Flag = Field(
        False, description="`true`: allocate no more subnets; existing allocations stay. Default: `false`."
    )

    @property
    def generates(self) -> bool:
        """Whether the pool generates its prefix, because no other source is set."""
        return not (self.prefix or self.prefixes or self.from_interface)

    @property
    def all_prefixes(self) -> tuple[IPv6Network, ...]:
        """The fixed prefixes in the order of their use; empty for a generated prefix or that of an interface."""
        return (self.prefix,) if self.prefix is not None else self.prefixes

    def field_errors(self) -> Iterator[FieldError]:
        """Check that there is one source, that subnets fit into it, and that exclusions overlap it."""
        sources = [name for name in _PREFIX_SOURCES if getattr(self, name)]
        for name in sources[1:]:
            alias, first = (type(self).model_fields[field].alias or field for field in (name, sources[0]))
            yield FieldError(
                (alias,),
                f"conflicts with {first}: a pool has one source",
                "keep one of prefix, prefixes, generate and fromInterface",
            )
        if "prefixes" in self.model_fields_set and not self.prefixes:
            yield FieldError(
                ("prefixes",), "the list is empty", "write a prefix, or remove it to generate a ULA prefix"
            )
        yield from self._length_errors()
        yield from self._overlap_errors()
        yield from self._exclude_errors()

    def _length_errors(self) -> Iterator[FieldError]:
        length = self.allocation_length
        shortest = [(prefix, prefix.prefixlen) for prefix in self.all_prefixes]
        if self.generates:
            shortest = [(IPv6Network(f"fd00::/{GENERATED_LENGTH}"), GENERATED_LENGTH)]
        for prefix, own in shortest:
            if own > length:
                what = "the generated /48" if self.generates else str(prefix)
                yield FieldError(
                    ("allocationLength",),
                    f"a /{length} does not fit into {what}",
                    f"write {max(own, 64)}, or another number from {max(own, SHORTEST_SUBNET)} to 126",
                )
        source = self.from_interface
        if source is not None and source.prefix_length is not None and source.prefix_length > length:
            yield FieldError(
                ("allocationLength",),
                f"a /{length} does not fit into the /{source.prefix_length} of fromInterface",
                f"write a number from {max(source.prefix_length, SHORTEST_SUBNET)} to 126",
            )

    def _overlap_errors(self) -> Iterator[FieldError]:
        fixed = PrefixSet(self.prefixes)
        kept: set[IPv6Network] = set()
        for index, prefix in enumerate(self.prefixes):
            outer = fixed.containing(prefix)
            if outer is not None and (outer != prefix or prefix in kept):
                message = f"{prefix} is written twice" if outer == prefix else f"{prefix} is inside {outer}"
                yield FieldError(("prefixes", index), message, "remove one of them")
            kept.add(prefix)

    def _exclude_errors(self) -> Iterator[FieldError]:
        fixed = PrefixSet(self.all_prefixes)
        for index, each in enumerate(self.exclude):
            if fixed.prefixes and not fixed.overlaps(each):
                yield FieldError(
                    ("exclude", index),
                    f"{each} has no effect: it is outside the pool",
                    "correct it, or remove it",
                )
        length = self.allocation_length
        if not self.exclude or self.from_interface is not None:
            return
        usable = [prefix for prefix in fixed.prefixes or (GENERATED,) if prefix.prefixlen <= length]
        excluded = PrefixSet(self.exclude)
        if usable and all(next(free_gaps(prefix, length, excluded), None) is None for prefix in usable):
            yield FieldError(
                ("exclude",),
                f"the whole pool is excluded: it could not allocate a /{length}",
                "remove what is not to be excluded; write disabled: true for a pool that allocates nothing",
            )


class IPv6Pool(Model):
    """A pool of subnets for networks."""

    kind: ClassVar[str] = POOL

    metadata: ObjectMeta = Field(description="Name, labels and annotations.")
    spec: IPv6PoolSpec = Field(default_factory=shared_default(IPv6PoolSpec), description="The desired state.")
