"""The firewall ports: our own rules, and the accept rule in the host's filter.

Errors::

    FirewallError
    ├── FirewallUnavailable   no nf_tables, no library: the message holds the remedy
    │   └── FirewallForbidden no privilege
    ├── FirewallRejected      the kernel or the check refused the ruleset; nothing was changed
    ├── FirewallBusy          other programs hold the lock, or change the rules all the time; nothing was changed
    ├── RulesetMoved          the table is not the one that the change was computed from; nothing was changed
    └── OwnersExcluded        the rules of some owners were refused; nothing was changed
"""

from collections.abc import Sequence
from typing import Protocol

from dockerv6.firewall.model import ForwardDrop, HostFilterState
from dockerv6.firewall.ruleset import Ruleset, RulesetChange
from dockerv6.firewall.walk.packet import Flow, Paths
from dockerv6.firewall.walk.verdicts import FlowVerdict


class FirewallError(Exception):
    """Any failure of the packet filter."""


class FirewallUnavailable(FirewallError):  # noqa: N818 - named for the condition that users see
    """The backend can't work on this host. The message says what is missing and how to get it."""


class FirewallForbidden(FirewallUnavailable):
    """The process lacks the privilege (CAP_NET_ADMIN, for legacy tables also CAP_NET_RAW)."""


class FirewallRejected(FirewallError):  # noqa: N818 - named for what happened
    """The transaction was refused; nothing was changed."""


class FirewallBusy(FirewallError):  # noqa: N818 - named for what happened
    """Other programs hold the lock, or change the rules all the time; nothing was changed."""


class RulesetMoved(FirewallError):  # noqa: N818 - named for what happened
    """The table differs from the change's `base`, because another program has written to it. Observe and diff again."""


class OwnersExcluded(FirewallError):  # noqa: N818 - named for what happened
    """The change was refused because of the rules of some owners, which the next change leaves out. Diff again."""


class Sweepable(Protocol):
    """What an inactive backend must support: removal of its rules."""

    @property
    def backend(self) -> str:
        """The backend's name: "nftables" or "iptables"."""

    async def sweep(self) -> None:
        """Remove all rules of ours. It is no error if there are none."""


class FirewallBackend(Sweepable, Protocol):
    """Our own rules in the kernel, through one backend."""

    @property
    def matches_link_kinds(self) -> bool:
        """Whether rules can match on a link's kind; otherwise the intent has to name the bridges."""

    @property
    def generation(self) -> int | None:
        """The kernel's generation at the latest observation, or before it; None: the kernel counts no generations."""

    async def observe(self) -> Ruleset:
        """What the kernel holds of ours now; `EMPTY` if there is nothing."""

    async def check(self, change: RulesetChange) -> None:
        """Dry run. Raises `FirewallRejected`, and `FirewallBusy`."""

    async def apply(self, change: RulesetChange) -> Ruleset:
        """Commit the change as one transaction, read back and return what the table holds then.

        The kernel judges the transaction as a whole, so no `check` is needed before.

        Raises:
            RulesetMoved: the table is not the change's `base`; nothing was changed.
            FirewallRejected: refused; nothing was changed.
            FirewallBusy: not tried; nothing was changed.
        """

    async def close(self) -> None:
        """Release threads and sockets."""

    async def poll_revision(self) -> object:
        """A value that changes when the rules change without a notification. Cheap enough for a call each second.

        None: the kernel announces every change.
        """


class HostFilter(Protocol):
    """The host's own IPv6 filter: the chains that drop, and the accept rule for our mark."""

    async def observe(self, mark: int) -> HostFilterState:
        """Find FORWARD chains of xtables that drop, and our accept rules."""

    async def follow(self, flows: Sequence[Flow], paths: Paths) -> Sequence[FlowVerdict]:
        """What becomes of each flow in all filters of the host, ours included.

        A flow through a filter that can't be read has no certain verdict.
        """

    async def add_accept_rule(self, drop: ForwardDrop, mark: int) -> None:
        """Insert the accept rule for the mark into the chain, or move it, unless it is in its place."""

    async def remove_accept_rule(self, drop: ForwardDrop, mark: int) -> None:
        """Remove our accept rule from the chain, if it is there."""

    async def poll_revision(self) -> object:
        """As `FirewallBackend.poll_revision`, for the host's own filter: iptables-legacy announces no change."""
