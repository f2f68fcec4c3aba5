"""Checks of the rules of `dockerv6.api.conditions`, for every test that produces conditions."""

import re
from collections.abc import Iterable

from dockerv6.api.conditions import ABNORMAL_TRUE, Condition, ConditionType, get

_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", re.ASCII)
"""The pattern of metav1.Condition."""


def is_true(conditions: Iterable[Condition], type_: str) -> bool:
    """Whether the condition is present and True."""
    condition = get(conditions, type_)
    return condition is not None and condition.status == "True"


def violations(conditions: Iterable[Condition]) -> tuple[str, ...]:
    """The violated rules, as messages."""
    present = tuple(conditions)
    types = [condition.type for condition in present]
    found = [f"{name} is present more than once" for name in sorted(set(types)) if types.count(name) > 1]
    if ConditionType.READY not in types:
        found.append("Ready is missing")
    found += [
        f"{c.type} is abnormal-true, but has status {c.status}"
        for c in present
        if c.type in ABNORMAL_TRUE and c.status != "True"
    ]
    if {ConditionType.RECONCILING, ConditionType.STALLED} <= set(types):
        found.append("Reconciling and Stalled are both present")
    if is_true(present, ConditionType.READY):
        found += [
            f"Ready is True beside {name}"
            for name in (ConditionType.RECONCILING, ConditionType.STALLED)
            if name in types
        ]
    for condition in present:
        if not _REASON.fullmatch(condition.reason):
            found.append(f"{condition.type} has the reason {condition.reason!r}")
        if not condition.message:
            found.append(f"{condition.type} has no message")
        if condition.observed_generation < 0 or condition.last_transition_time < 0:
            found.append(f"{condition.type} has a negative generation or time")
    return tuple(found)


def check_conditions(conditions: Iterable[Condition]) -> None:
    """Assert the rules.

    Raises:
        AssertionError: a rule is violated.
    """
    found = violations(conditions)
    if found:
        raise AssertionError("; ".join(found))
