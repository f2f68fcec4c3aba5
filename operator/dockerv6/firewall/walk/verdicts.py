"""What became of a flow."""

from dataclasses import dataclass

from dockerv6.firewall.walk.bits import Answer
from dockerv6.firewall.walk.packet import Packet


@dataclass(frozen=True, slots=True)
class FilterPlace:
    """A rule, or (with an empty `rule`) the policy of a base chain."""

    variant: str
    family: str
    table: str
    chain: str
    rule: str = ""
    base: str = ""  # the base chain from which the rule's chain is reached
    hook: str = ""
    priority: int = 0

    def __str__(self) -> str:
        what = f"rule {self.rule}" if self.rule else "policy drop"
        return f"{self.family} table {self.table}, chain {self.chain} ({self.variant}): {what}"


@dataclass(frozen=True, slots=True)
class FlowVerdict:
    """What became of a flow.

    Attributes:
        passes: False: `place` drops it. None: unknown, `doubt` says why.
        place: what drops it, or may do so.
        doubt: the match that can't be decided.
        packet: as it came to `place`.
    """

    passes: Answer
    place: FilterPlace | None = None
    doubt: str = ""
    packet: Packet | None = None


PASSES = FlowVerdict(passes=True)
