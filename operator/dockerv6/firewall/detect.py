"""Which backend this host gets, and why.

nftables if the kernel accepts our ruleset, whatever kind of rules the engine writes: both are hooks of the same kernel,
and a packet passes both (see docs/adr/0010-nftables-beside-any-engine.md). Otherwise iptables-legacy: kernels before
5.8 can't translate prefixes (before 5.6 no ranges in concatenated keys, before 5.2 no NAT in family inet, before 4.18
no NAT beside that of xtables). A dry run decides, not the kernel's version: distributions backport features, and leave
modules out.
"""

import subprocess
from dataclasses import dataclass
from ipaddress import IPv6Network

from dockerv6.firewall.diff import diff
from dockerv6.firewall.hostfilter.linux import engine_variants
from dockerv6.firewall.iptables.backend import IptablesFirewall
from dockerv6.firewall.model import FilterVariant, FirewallIntent, NetworkIntent
from dockerv6.firewall.nftables import commands
from dockerv6.firewall.nftables.backend import NftablesFirewall
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallBackend, FirewallError, FirewallRejected, FirewallUnavailable, Sweepable
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY
from dockerv6.firewall.xtables import libiptc
from dockerv6.firewall.xtables.legacy import LegacyReader
from dockerv6.lib.networking import EgressMode, InterfaceName

AUTO = "auto"
NFTABLES = "nftables"
IPTABLES = "iptables"

LIMITS = {
    NFTABLES: (),
    IPTABLES: ("[::1] of the host reaches published ports only through the engine's userland proxy",),
}
"""What a backend can't do, for `doctor`."""

_BOTH = (
    "the engine's IPv6 chains are in iptables-nft and in iptables-legacy: packets pass both, and those of the variant "
    "that the engine no longer uses (see `ip6tables --version`) stay as they were; both get our accept rule where they "
    "drop. Remove the stale ones, or restart the host"
)
_SAMPLE = NetworkIntent(
    owner="-",
    subnet=IPv6Network("2001:db8::/64"),
    bridge=InterfaceName("-"),
    egress=EgressMode.PREFIX_TRANSLATION,
    external_prefixes=(IPv6Network("2001:db8:0:1::/64"),),
)
"""A network whose rules need the newest kernel."""

_MODULES = ("ip6table_mangle", "ip6table_nat")
_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """The backend for this host.

    Attributes:
        backend: "nftables" or "iptables".
        why: the reason, for the log and for `doctor`.
        limits: what the backend can't do.
        warnings: findings about the host that the administrator should know.
        others: other backends that work here, and may hold rules of an earlier run.
    """

    backend: str
    why: str
    limits: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


async def choose(wanted: str, session: NftSession) -> BackendChoice:
    """The backend to use: the `wanted` one or, with "auto", the better one of those that work on this host.

    Raises:
        FirewallUnavailable: the backend doesn't work on this host, or none does; the message says what to do.
        ValueError: there is no such backend.
    """
    if wanted not in {AUTO, NFTABLES, IPTABLES}:
        raise ValueError(f"no firewall backend is called {wanted!r}: auto, nftables or iptables")
    no_nftables = await _missing_nftables(session)
    if wanted != IPTABLES and not no_nftables:
        why = "nf_tables takes our ruleset" if wanted == AUTO else "as asked for"
        return BackendChoice(NFTABLES, why, LIMITS[NFTABLES], await _warnings(session), (IPTABLES,))
    if wanted == NFTABLES:
        raise FirewallUnavailable(f"--firewall-backend nftables: {no_nftables}")
    no_iptables = await session.call(_missing_iptables)
    if no_iptables and wanted == IPTABLES:
        raise FirewallUnavailable(f"--firewall-backend iptables: {no_iptables}")
    if no_iptables:
        raise FirewallUnavailable(f"no firewall backend works here. nftables: {no_nftables}. iptables: {no_iptables}")
    others = () if no_nftables else (NFTABLES,)
    why = "as asked for" if wanted == IPTABLES else f"nftables does not work here: {no_nftables}"
    return BackendChoice(IPTABLES, why, LIMITS[IPTABLES], await _warnings(session), others)


def build(choice: BackendChoice, session: NftSession) -> FirewallBackend:
    """The chosen backend. It works in the network namespace of its first caller."""
    return NftablesFirewall(session) if choice.backend == NFTABLES else IptablesFirewall()


def others(choice: BackendChoice, session: NftSession) -> tuple[Sweepable, ...]:
    """The other backends, to `sweep` what an earlier run left in them.

    If nothing is left, a sweep costs two requests to the kernel, and loads no library.
    """
    made: dict[str, Sweepable] = {NFTABLES: NftablesFirewall(session), IPTABLES: IptablesFirewall()}
    return tuple(made[name] for name in choice.others)


async def _missing_nftables(session: NftSession) -> str:
    """Why nf_tables doesn't accept our ruleset; empty if it does."""
    sample = render(FirewallIntent((_SAMPLE,)))
    try:
        if await session.inet_table(commands.TABLE) is None:
            await session.run(commands.commands(diff(sample, EMPTY).operations), check=True)
    except FirewallUnavailable as error:
        return str(error)
    except FirewallRejected as error:
        return f"the kernel does not take our rules ({error}): use kernel 5.8 or newer, with its nft modules"
    return ""


def _missing_iptables() -> str:
    """Why the legacy tables don't work; empty if they do. Runs on a thread in the namespace in question."""
    if not libiptc.installed():
        return f"{libiptc.MISSING}: {libiptc.REMEDY}"
    tables = LegacyReader()
    try:
        if tables.has_table("mangle") and tables.has_table("nat"):
            return ""
        _load()
        missing = [name for name in ("mangle", "nat") if not tables.has_table(name)]
    except FirewallError as error:
        return str(error)
    if missing:
        return f"the kernel has no legacy IPv6 table {' and '.join(missing)}: modprobe {' '.join(_MODULES)}"
    return ""


def _load() -> None:
    """Load the modules, as ip6tables does first. The caller checks again whether that helped."""
    try:
        subprocess.run(("modprobe", "-q", "-a", *_MODULES), check=False, capture_output=True, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return


async def _warnings(session: NftSession) -> tuple[str, ...]:
    """A warning if the engine's chains are in both variants of xtables: those that are left over still drop packets."""
    found = await engine_variants(session)
    if {FilterVariant.XTABLES_NFT, FilterVariant.XTABLES_LEGACY} <= found:
        return (_BOTH,)
    return ()
