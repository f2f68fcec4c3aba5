"""What a reconcile is asked for: a key, never an event."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Names one object; written `IPv6Network/blog`.

    A key says that something about the object may have changed, not what: the handler reads the world.
    """

    kind: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the written form.

        Raises:
            ValueError: it is not KIND/NAME.
        """
        kind, _, name = text.partition("/")
        if not kind or not name:
            raise ValueError(f"{text!r} is not KIND/NAME, such as IPv6Network/blog")
        return cls(kind, name)

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"
