"""A check of the doctor, the ids of findings, and the page that ``doctor --explain`` prints."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

from dockerv6.api.conditions import Reason

_HEADING = re.compile(r"^## (\S+)\n", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")


class FindingId(StrEnum):
    """The id of a finding. Stable, because scripts match on it. A finding that is also a reason has the same name."""

    ACCEPT_RULE_MISSING = "AcceptRuleMissing"
    BRIDGE_NETFILTER_OFF = "BridgeNetfilterOff"
    CAPABILITY_MISSING = "CapabilityMissing"
    DAEMON_NOT_RUNNING = "DaemonNotRunning"
    DAEMON_PROBLEM = "DaemonProblem"
    DAEMON_WARNING = "DaemonWarning"
    DEFAULT_BRIDGE_WITHOUT_IPV6 = "DefaultBridgeWithoutIPv6"
    DOCUMENTATION_PREFIX = "DocumentationPrefix"
    ENGINE_CHAINS_MISSING = Reason.ENGINE_CHAINS_MISSING.value
    ENGINE_FIREWALL_UNTESTED = "EngineFirewallUntested"
    ENGINE_RULES_IN_TWO_VARIANTS = "EngineRulesInTwoVariants"
    ENGINE_SETTINGS_REFUSED = "EngineSettingsRefused"
    ENGINE_TOO_OLD = Reason.ENGINE_TOO_OLD.value
    ENGINE_UNAVAILABLE = Reason.ENGINE_UNAVAILABLE.value
    ENGINE_UNSUPPORTED = Reason.ENGINE_UNSUPPORTED.value
    FIREWALL_BLOCKED = Reason.FIREWALL_BLOCKED.value
    FIREWALL_UNAVAILABLE = Reason.FIREWALL_UNAVAILABLE.value
    FIREWALL_UNKNOWN = Reason.FIREWALL_UNKNOWN.value
    FOREIGN_RULES = Reason.FOREIGN_RULES.value
    FORWARDING_OFF = "ForwardingOff"
    GIT_MISSING = "GitMissing"
    HOST_NOT_READY = Reason.HOST_NOT_READY.value
    HOST_UNREADABLE = Reason.HOST_UNREADABLE.value
    LEGACY_LIBRARY_MISSING = "LegacyLibraryMissing"
    MTU_MISMATCH = Reason.MTU_MISMATCH.value
    NO_ADDRESS = "NoAddress"
    NO_DEFAULT_ROUTE = Reason.NO_DEFAULT_ROUTE.value
    NO_PREFIX = "NoPrefix"
    NO_RESOURCE = "NoResource"
    PROBE_DNS_FAILED = "ProbeDNSFailed"
    PROBE_EGRESS_BLOCKED = "ProbeEgressBlocked"
    PROBE_GATEWAY_UNREACHABLE = "ProbeGatewayUnreachable"
    PROBE_IMPOSSIBLE = "ProbeImpossible"
    PROBE_NO_ADDRESS = "ProbeNoAddress"
    PROBE_NO_ROUTE = "ProbeNoRoute"
    PROBE_NO_TARGET = "ProbeNoTarget"
    PROBE_OUTSIDE_UNREACHABLE = "ProbeOutsideUnreachable"
    PROBE_PATH_MTU_BLACK_HOLE = "ProbePathMTUBlackHole"
    PROBE_PORT_REFUSED = "ProbePortRefused"
    PROBE_PORT_UNREACHABLE = "ProbePortUnreachable"
    PROXY_NDP_OFF = "ProxyNDPOff"
    RESOURCE_INVALID = "ResourceInvalid"
    ROUTE_CONFLICT = Reason.ROUTE_CONFLICT.value
    ROUTER_ADVERTISEMENTS_IGNORED = "RouterAdvertisementsIgnored"
    SECOND_DAEMON = "SecondDaemon"
    SOURCES_NOT_VALIDATED = Reason.SOURCES_NOT_VALIDATED.value
    STATE_UNREADABLE = Reason.STATE_UNREADABLE.value
    SWARM_NODE = "SwarmNode"


class CheckStatus(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARN = "warn"  # it works, or will; worth knowing
    FAIL = "fail"  # dockerv6 can't do its work


@dataclass(frozen=True, slots=True)
class HostCheck:
    """One line of the doctor.

    Attributes:
        id: of the finding; None: there is no problem.
        remedy: what to do, step by step; empty if there is nothing to do.
        fix: keys of daemon.json that solve the finding when the engine starts again; empty: a restart is enough; None:
            ``doctor --fix`` can't solve it.
    """

    name: str
    status: CheckStatus
    message: str
    remedy: tuple[str, ...] = ()
    id: FindingId | None = None
    fix: Mapping[str, object] | None = None


def ok(name: str, message: str) -> HostCheck:
    """A check without a problem."""
    return HostCheck(name, CheckStatus.OK, message)


def warn(
    finding: FindingId, name: str, message: str, *remedy: str, fix: Mapping[str, object] | None = None
) -> HostCheck:
    """A check with something worth knowing."""
    return HostCheck(name, CheckStatus.WARN, message, remedy, finding, fix)


def fail(
    finding: FindingId, name: str, message: str, *remedy: str, fix: Mapping[str, object] | None = None
) -> HostCheck:
    """A check whose problem keeps dockerv6 from working."""
    return HostCheck(name, CheckStatus.FAIL, message, remedy, finding, fix)


@cache
def page() -> str:
    """The page, in Markdown. A test compares its sections with the ids."""
    return resources.files(__package__).joinpath("findings.md").read_text(encoding="utf-8")


@cache
def sections() -> dict[str, str]:
    """The text of the page below each id, in the page's order."""
    _, *parts = _HEADING.split(page())
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


def explanation(finding: FindingId) -> str:
    """The section of an id for a terminal: each link is replaced by its text and its file."""
    text = _LINK.sub(r"\1 (docs/\2)", sections()[finding])
    return f"{finding}\n\n{text}"
