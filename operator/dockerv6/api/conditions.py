"""Conditions of a resource, by the rules of Flux and kstatus.

Rules (https://fluxcd.io/flux/components/kustomize/kustomizations/#conditions, sigs.k8s.io/cli-utils/pkg/kstatus):
``Ready`` is always present. ``Reconciling`` and ``Stalled`` are abnormal-true: present only while True, and never both.
``last_transition_time`` moves only when the status changes. Reasons are CamelCase and stable.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from dockerv6.lib.timeformat import parse_rfc3339, rfc3339

Status = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """The type of a condition."""

    READY = "Ready"
    RECONCILING = "Reconciling"  # abnormal-true: a change is in progress or will be retried
    STALLED = "Stalled"  # abnormal-true: no progress without a change by the user
    ACCEPTED = "Accepted"  # the newest version in the sources is valid and is applied
    SUBNET_ALLOCATED = "SubnetAllocated"
    NETWORK_READY = "NetworkReady"
    FIREWALL_READY = "FirewallReady"
    PORTS_PUBLISHED = "PortsPublished"  # every published port leads to a container
    HOST_READY = "HostReady"  # forwarding, router advertisements, NDP proxy
    DRIFTED = "Drifted"  # changes by other programs that were found and repaired last
    PRUNE_HELD = "PruneHeld"  # abnormal-true: a deletion waits for a confirmation


class Reason(StrEnum):
    """Why a condition has its status. Stable: alerts match on them."""

    ACCEPTED = "Accepted"
    ADDRESS_IN_USE = "AddressInUse"
    ADDRESS_MISSING = "AddressMissing"
    ADDRESS_OUT_OF_RANGE = "AddressOutOfRange"
    ADDRESS_PENDING = "AddressPending"
    ALLOCATED = "Allocated"
    APPLY_FAILED = "ApplyFailed"
    CONTAINER_UNREADABLE = "ContainerUnreadable"
    DELETING = "Deleting"
    DEPENDENCY_NOT_READY = "DependencyNotReady"
    DUPLICATE_ADDRESS = "DuplicateAddress"
    ENDPOINTS_ATTACHED = "EndpointsAttached"
    ENGINE_ERROR = "EngineError"
    ENGINE_CHAINS_MISSING = "EngineChainsMissing"
    ENGINE_DENIED = "EngineDenied"
    ENGINE_TOO_OLD = "EngineTooOld"
    ENGINE_UNSUPPORTED = "EngineUnsupported"
    ENGINE_UNAVAILABLE = "EngineUnavailable"
    FIREWALL_BLOCKED = "FirewallBlocked"
    FIREWALL_UNAVAILABLE = "FirewallUnavailable"
    FIREWALL_UNKNOWN = "FirewallUnknown"
    FLOWS_NOT_FOLLOWED = "FlowsNotFollowed"
    FOREIGN_NETWORK = "ForeignNetwork"
    FOREIGN_RULES = "ForeignRules"
    HOST_DENIED = "HostDenied"
    HOST_NOT_READY = "HostNotReady"
    IPV4_ONLY = "IPv4Only"
    IPV4_POOLS_EXHAUSTED = "IPv4PoolsExhausted"
    INVALID_SPEC = "InvalidSpec"
    INTERNAL_ERROR = "InternalError"
    IN_SYNC = "InSync"
    IN_USE = "InUse"
    LABEL_IGNORED = "LabelIgnored"
    MEMBER_REFUSED = "MemberRefused"
    MTU_MISMATCH = "MTUMismatch"
    NAME_CONFLICT = "NameConflict"
    NETWORK_NOT_FOUND = "NetworkNotFound"
    NOT_ON_LINK = "NotOnLink"
    NOT_YET_IN_EFFECT = "NotYetInEffect"
    NO_DEFAULT_ROUTE = "NoDefaultRoute"
    NO_DRIFT = "NoDrift"
    NO_ENDPOINT = "NoEndpoint"
    NO_IPV6 = "NoIPv6"
    NO_MEMBER = "NoMember"
    NO_NETWORK = "NoNetwork"
    NO_RETURN_ROUTE = "NoReturnRoute"
    PARENT_NOT_READY = "ParentNotReady"
    POOL_DISABLED = "PoolDisabled"
    POOL_EXHAUSTED = "PoolExhausted"
    POOL_NOT_FOUND = "PoolNotFound"
    PORT_CONFLICT = "PortConflict"
    PORT_RESERVED = "PortReserved"
    PORT_TAKEN = "PortTaken"
    PREFIX_CONFLICT = "PrefixConflict"
    PREFIX_PENDING = "PrefixPending"
    PREFIX_TOO_LONG = "PrefixTooLong"
    PREFIX_WITHDRAWN = "PrefixWithdrawn"
    PROGRESSING = "Progressing"
    PRUNE_HELD = "PruneHeld"
    PUBLISHED = "Published"
    RECONCILE_SUCCEEDED = "ReconcileSucceeded"
    RECREATE_BLOCKED = "RecreateBlocked"
    RENUMBERING = "Renumbering"
    RESTORED = "Restored"
    RETRYING = "Retrying"
    ROLLED_BACK = "RolledBack"
    ROUTE_CONFLICT = "RouteConflict"
    RULES_REFUSED = "RulesRefused"
    SOURCES_DROPPED = "SourcesDropped"
    SOURCES_NOT_VALIDATED = "SourcesNotValidated"
    SOURCE_UNAVAILABLE = "SourceUnavailable"
    STALE_NETWORK = "StaleNetwork"
    STATE_REWRITTEN = "StateRewritten"
    STATE_UNREADABLE = "StateUnreadable"
    HOST_UNREADABLE = "HostUnreadable"
    SUBNET_EXHAUSTED = "SubnetExhausted"
    SUBNET_OVERLAP = "SubnetOverlap"
    SUSPENDED = "Suspended"
    UNSUPPORTED_DRIVER = "UnsupportedDriver"
    WRONG_NAMESPACE = "WrongNamespace"


ABNORMAL_TRUE = frozenset(
    {
        ConditionType.RECONCILING,
        ConditionType.STALLED,
        ConditionType.PRUNE_HELD,
    }
)
"""Condition types that are present only while they are True."""

_ORDER = {name: index for index, name in enumerate(ConditionType)}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition. Times are Unix seconds."""

    type: str
    status: Status
    reason: str
    message: str
    last_transition_time: float
    observed_generation: int


Conditions = tuple[Condition, ...]
"""One condition per type, in the order of `ConditionType`; unknown types follow, ordered by name."""


def get(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of that type."""
    return next((condition for condition in conditions if condition.type == type_), None)


def set_condition(conditions: Iterable[Condition], new: Condition) -> Conditions:
    """Replace the condition of the same type.

    The transition time stays while the status does not change. An abnormal-true condition that is not True is removed.
    """
    others = [condition for condition in conditions if condition.type != new.type]
    old = get(conditions, new.type)
    if new.type in ABNORMAL_TRUE and new.status != "True":
        return _sorted(others)
    if old is not None and old.status == new.status:
        new = replace(new, last_transition_time=old.last_transition_time)
    return _sorted([*others, new])


def remove(conditions: Iterable[Condition], type_: str) -> Conditions:
    """The conditions without that type."""
    return _sorted(condition for condition in conditions if condition.type != type_)


def merge(old: Iterable[Condition], new: Iterable[Condition]) -> Conditions:
    """The new conditions, with the transition times of the old ones where the status did not change."""
    kept = tuple(old)
    result: Conditions = ()
    for condition in new:
        before = get(kept, condition.type)
        result = set_condition(result if before is None else (*remove(result, condition.type), before), condition)
    return result


def warnings(conditions: Iterable[Mapping[str, object]]) -> tuple[str, ...]:
    """What a person should look at although the resource may be Ready: the conditions, as in JSON, that are Unknown.

    A condition that waits for another one adds nothing, and Ready is no cause.
    """
    return tuple(
        f"{c.get('type')} {c.get('reason')}: {c.get('message')}"
        for c in conditions
        if c.get("status") == "Unknown"
        and c.get("type") != ConditionType.READY
        and c.get("reason") != Reason.DEPENDENCY_NOT_READY
    )


def to_json(conditions: Iterable[Condition]) -> list[dict[str, object]]:
    """The conditions of a Kubernetes status: camelCase, times in RFC 3339 with whole seconds."""
    return [
        {
            "type": str(condition.type),
            "status": condition.status,
            "reason": str(condition.reason),
            "message": condition.message,
            "lastTransitionTime": rfc3339(condition.last_transition_time),
            "observedGeneration": condition.observed_generation,
        }
        for condition in conditions
    ]


def from_json(items: Iterable[Mapping[str, object]]) -> Conditions:
    """The inverse of `to_json`.

    Raises:
        ValueError: an item is not a condition.
    """
    return _sorted(_from_json(item) for item in items)


def _from_json(item: Mapping[str, object]) -> Condition:
    type_, reason, message, time = (item.get(key) for key in ("type", "reason", "message", "lastTransitionTime"))
    if not (isinstance(type_, str) and isinstance(reason, str) and isinstance(message, str) and isinstance(time, str)):
        raise ValueError(  # noqa: TRY004 - the data is wrong, not the type of an argument
            f"{dict(item)} is not a condition: type, reason, message and lastTransitionTime must be strings"
        )
    generation = item.get("observedGeneration", 0)
    if not isinstance(generation, int):
        raise ValueError(  # noqa: TRY004 - as above
            f"observedGeneration {generation!r} of condition {type_} is not a number"
        )
    return Condition(type_, _status(item.get("status")), reason, message, parse_rfc3339(time), generation)


def _status(text: object) -> Status:
    match text:
        case "True" | "False" | "Unknown":
            return text
        case _:
            raise ValueError(f"{text!r} is not a status of a condition; use True, False or Unknown")


def _sorted(conditions: Iterable[Condition]) -> Conditions:
    last = len(_ORDER)
    return tuple(sorted(conditions, key=lambda c: (_ORDER.get(c.type, last), c.type)))  # type: ignore[call-overload]
