"""Which prefix of an interface is followed. It changes at night, and comes back: not every change is believed. Pure."""

from dataclasses import dataclass
from ipaddress import IPv6Network


@dataclass(frozen=True, slots=True)
class Former:
    """A prefix that was followed before, and that still works for as long as its lifetime says."""

    prefix: IPv6Network
    until: float | None  # Unix seconds when its valid lifetime ends; None: it has none


@dataclass(frozen=True, slots=True)
class Followed:
    """The prefix that an interface is taken to have. Durable: without a successor the last one stays.

    It is the whole one: delegated to the host, or on-link; pools and translations take their part of it.
    """

    interface: str
    prefix: IPv6Network
    since: float  # Unix seconds
    on_link: bool = True  # neighbours ask for each of its addresses; False: it is routed to this host
    withdrawn: bool = False  # it is gone, and nothing came in its place
    candidate: IPv6Network | None = None  # what is about to take its place, if it lasts
    candidate_since: float = 0.0
    changes: tuple[float, ...] = ()  # when it changed lately, oldest first: who changes often is believed later
    former: tuple[Former, ...] = ()  # newest first
