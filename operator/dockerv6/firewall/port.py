"""The firewall ports: our own table, and the one accept rule in the host's filter.

Errors::

    FirewallError
    ├── FirewallUnavailable   no nf_tables, no library: the message holds the remedy
    │   └── FirewallForbidden no privilege
    ├── FirewallRejected      the kernel or the check refused the ruleset; nothing was changed
    └── RulesetMoved          the table is not the one that the change was computed from; nothing was changed
"""

from typing import Protocol

from dockerv6.firewall.model import ForwardDrop, HostFilterState
from dockerv6.firewall.ruleset import Ruleset, RulesetChange


class FirewallError(Exception):
    """Any failure of the packet filter."""


class FirewallUnavailable(FirewallError):  # noqa: N818 - named for the condition that users see
    """The backend can't work on this host at all; says what is missing and how to get it."""


class FirewallForbidden(FirewallUnavailable):
    """The process lacks the privilege (CAP_NET_ADMIN, for legacy tables also CAP_NET_RAW)."""


class FirewallRejected(FirewallError):  # noqa: N818 - named for what happened
    """The transaction was refused as a whole."""


class RulesetMoved(FirewallError):  # noqa: N818 - named for what happened
    """The table differs from the change's `base`: somebody else has written to it. Observe, and compute anew."""


class Sweepable(Protocol):
    """As much of a `FirewallBackend` as is needed of a backend that isn't used."""

    @property
    def backend(self) -> str:
        """The backend's name: "nftables" or "iptables"."""

    async def sweep(self) -> None:
        """Remove everything of ours; nothing there is success."""


class FirewallBackend(Sweepable, Protocol):
    """Our own rules through one backend. Read-back, never write-only."""

    @property
    def matches_link_kinds(self) -> bool:
        """Whether its rules can tell bridges from other links; else the intent must name the bridges."""

    @property
    def generation(self) -> int | None:
        """The kernel's generation that the latest observation, or read-back, is at least as new as; None: not known."""

    async def observe(self) -> Ruleset:
        """What the kernel holds of ours now; an empty ruleset when nothing is there."""

    async def check(self, change: RulesetChange) -> None:
        """Dry run. Raises `FirewallRejected`."""

    async def apply(self, change: RulesetChange) -> Ruleset:
        """Commit the change as one transaction, read back and return what the table holds then.

        The kernel judges the transaction as a whole, so no `check` is needed before.

        Raises:
            RulesetMoved: the table is not the change's `base`; nothing was changed.
            FirewallRejected: refused; nothing was changed.
        """

    async def close(self) -> None:
        """Give back what is its own: threads, sockets."""

    async def poll_revision(self) -> object:
        """Something that differs once the rules have been changed in a way that the kernel announces to nobody.

        Cheap enough to be asked every second. None: every change is announced, there is no need to ask.
        """


class HostFilter(Protocol):
    """The host's own IPv6 filter: where it drops, and the accept rule for our mark."""

    async def observe(self, mark: int) -> HostFilterState:
        """Find FORWARD policies and base chains that drop, and our accept rules."""

    async def add_accept_rule(self, drop: ForwardDrop, mark: int) -> None:
        """Put the accept rule for the mark at the top of the barrier's chain; there and reached already is success."""

    async def remove_accept_rule(self, drop: ForwardDrop, mark: int) -> None:
        """Remove our accept rule there; absent is success."""

    async def poll_revision(self) -> object:
        """As `FirewallBackend.fingerprint`, of the host's own filter: iptables-legacy announces nothing."""
