"""Converts dataclasses to the JSON objects that the store keeps, and back."""

import json
from collections.abc import Mapping
from typing import Generic, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

T = TypeVar("T")


class RecordCodec(Generic[T]):
    """One dataclass as records: field names in camelCase, addresses and prefixes as text.

    A record may lack fields that have a default, and may have fields that the dataclass does not know: another version
    of dockerv6 wrote it.
    """

    def __init__(self, type_: type[T]) -> None:
        """Build the codec on first use.

        Args:
            type_: a dataclass; its fields may be dataclasses, addresses, prefixes, numbers, texts and collections.
        """
        config = ConfigDict(strict=True, alias_generator=to_camel, allow_inf_nan=False, defer_build=True)
        # pydantic refuses a configuration for a dataclass itself, and applies that of a union to its members
        self._adapter: TypeAdapter[T | None] = TypeAdapter(type_ | None, config=config)  # type: ignore[arg-type] # built at run time

    def encode(self, value: T) -> dict[str, object]:
        """The record of a value."""
        record: dict[str, object] = self._adapter.dump_python(value, mode="json", by_alias=True)
        return record

    def decode(self, record: object) -> T | None:
        """The value of a record; None: it is damaged."""
        if not isinstance(record, Mapping):
            return None
        try:
            return self._adapter.validate_json(json.dumps(record))
        except ValidationError:
            return None
