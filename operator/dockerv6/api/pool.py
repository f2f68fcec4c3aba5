"""The IPv6Pool: where subnets come from."""

from collections.abc import Iterator
from enum import StrEnum
from ipaddress import IPv6Network
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, Strict

from dockerv6.api.errors import FieldError
from dockerv6.api.kinds import POOL
from dockerv6.api.meta import Model, ObjectMeta, shared_default
from dockerv6.api.values import AddressOrPrefix6, Duration, Flag, Interface, PrefixLength, Subnet6, unquoted_number

GENERATED_LENGTH = 48
"""RFC 4193 §3.1: the length of a generated prefix."""

HOUR = 3600.0

_SOURCES = ("prefix", "prefixes", "generate", "from_interface")


class Generate(StrEnum):
    """How a pool makes its own prefix."""

    ULA = "ULA"


class FromInterface(Model):
    """A prefix that follows an interface."""

    name: Interface = Field(
        description="The interface whose global prefix is used, delegated, advertised or static, such as `eth0`."
    )
    prefix_length: PrefixLength | None = Field(
        None,
        description="Length in bits of the part that is the pool's, 1 to 126. Default: the whole prefix of the "
        "interface.",
    )
    offset: Annotated[int, Strict(), Field(ge=0), BeforeValidator(unquoted_number("a number such as 0"))] = Field(
        0, description="Which part of that length is the pool's, counted from 0. Default: `0`, the first."
    )

    def field_errors(self) -> Iterator[FieldError]:
        """A whole has no second part."""
        if self.offset and self.prefix_length is None:
            yield FieldError(
                ("offset",), "the whole prefix has only one part", "write prefixLength too, or remove offset"
            )


class IPv6PoolSpec(Model):
    """Where subnets come from: one of `prefix`, `prefixes`, `generate`, `fromInterface`. Empty: a generated ULA /48."""

    prefix: Subnet6 | None = Field(
        None, description="The prefix that subnets are cut from, such as `2001:db8:1234::/48`."
    )
    prefixes: tuple[Subnet6, ...] = Field((), description="Several prefixes; the first one with room is used.")
    generate: Generate | None = Field(
        None,
        description="`ULA`: a random unique local /48 (RFC 4193), kept for ever once made. Default, when no other "
        "source is written.",
    )
    from_interface: FromInterface | None = Field(
        None,
        description="A prefix that follows an interface; when the provider changes it, networks are renumbered by "
        "their `updateStrategy`.",
    )
    allocation_length: PrefixLength = Field(
        64, description="Prefix length of a subnet, in bits, 1 to 126. Default: `64`."
    )
    exclude: tuple[AddressOrPrefix6, ...] = Field(
        (), description="Addresses and prefixes that are never handed out. Default: none."
    )
    cooldown: Duration = Field(
        HOUR,
        description="How long a released subnet is kept from others: a number with a unit (`d`, `h`, `m`, `s`, "
        "`ms`), such as `90s` or "
        "`1h30m`. Default: `1h`.",
    )
    max_unavailable: Annotated[int, Strict(), Field(ge=1), BeforeValidator(unquoted_number("a number such as 1"))] = (
        Field(
            1,
            description="How many networks are renumbered at the same time when the pool's prefix changes; the others "
            "wait for their turn. Default: `1`.",
        )
    )
    disabled: Flag = Field(False, description="`true`: hand out no more subnets; those in use stay. Default: `false`.")

    @property
    def generates(self) -> bool:
        """Whether the pool makes its own prefix (it names no other source)."""
        return not (self.prefix or self.prefixes or self.from_interface)

    @property
    def all_prefixes(self) -> tuple[IPv6Network, ...]:
        """The fixed prefixes in the order of their use; empty when they are generated or follow an interface."""
        return (self.prefix,) if self.prefix is not None else self.prefixes

    def field_errors(self) -> Iterator[FieldError]:
        """One source, subnets that fit into it, exclusions that touch it."""
        given = [name for name in _SOURCES if getattr(self, name)]
        for name in given[1:]:
            alias, first = (type(self).model_fields[field].alias or field for field in (name, given[0]))
            yield FieldError(
                (alias,),
                f"{first} is there already, and a pool has one source",
                "keep one of prefix, prefixes, generate and fromInterface",
            )
        if "prefixes" in self.model_fields_set and not self.prefixes:
            yield FieldError(
                ("prefixes",), "the list is empty", "write a prefix, or remove it to have a ULA prefix generated"
            )
        yield from self._length_errors()
        yield from self._overlap_errors()

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
                    f"write {max(own, 64)} or another number from {own} to 126",
                )
        source = self.from_interface
        if source is not None and source.prefix_length is not None and source.prefix_length > length:
            yield FieldError(
                ("allocationLength",),
                f"a /{length} does not fit into the /{source.prefix_length} of fromInterface",
                f"write a number from {source.prefix_length} to 126",
            )

    def _overlap_errors(self) -> Iterator[FieldError]:
        for index, prefix in enumerate(self.prefixes):
            for earlier in self.prefixes[:index]:
                if prefix.overlaps(earlier):
                    yield FieldError(("prefixes", index), f"{prefix} overlaps {earlier}", "remove one of them")
        fixed = self.all_prefixes
        for index, excluded in enumerate(self.exclude):
            if fixed and not any(excluded.overlaps(prefix) for prefix in fixed):
                yield FieldError(
                    ("exclude", index),
                    f"{excluded} is outside the pool, so excluding it has no effect",
                    "correct it, or remove it",
                )


class IPv6Pool(Model):
    """A range of addresses that networks get their subnets from."""

    kind: ClassVar[str] = POOL

    metadata: ObjectMeta = Field(description="What identifies the resource.")
    spec: IPv6PoolSpec = Field(default_factory=shared_default(IPv6PoolSpec), description="Where subnets come from.")
