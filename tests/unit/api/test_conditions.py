"""The rules of conditions."""

import pytest

from dockerv6.api.conditions import (
    Condition,
    Reason,
    Status,
    from_json,
    get,
    merge,
    remove,
    set_condition,
    to_json,
)
from tests.condition_rules import check_conditions, is_true, violations


def condition(
    kind: str, status: Status = "True", *, reason: str = "Because", at: float = 100.0, generation: int = 1
) -> Condition:
    return Condition(kind, status, reason, "a message", at, generation)


def test_the_transition_time_stays_while_the_status_does() -> None:
    present = set_condition((), condition("Ready", "False", at=1.0))
    present = set_condition(present, condition("Ready", "False", reason="Other", at=2.0))
    assert present == (condition("Ready", "False", reason="Other", at=1.0),)
    assert set_condition(present, condition("Ready", at=3.0)) == (condition("Ready", at=3.0),)


@pytest.mark.parametrize("kind", ["Reconciling", "Stalled", "PruneHeld"])
def test_abnormal_conditions_are_present_only_while_true(kind: str) -> None:
    present = set_condition((), condition(kind))
    assert is_true(present, kind)
    assert set_condition(present, condition(kind, "False")) == ()


def test_ready_comes_first_and_unknown_types_last() -> None:
    present = set_condition(set_condition((), condition("Acme")), condition("HostReady"))
    assert [c.type for c in set_condition(present, condition("Ready"))] == ["Ready", "HostReady", "Acme"]


def test_removing_a_missing_condition_is_no_error() -> None:
    present = (condition("Ready"),)
    assert remove(present, "Stalled") == present
    assert remove(present, "Ready") == ()
    assert get(present, "Stalled") is None
    assert not is_true(present, "Stalled")


def test_a_merge_keeps_times_and_drops_old_conditions() -> None:
    old = (condition("Ready", "False", at=1.0), condition("Stalled", at=1.0))
    new = (condition("Ready", "False", at=9.0), condition("HostReady", at=9.0))
    assert merge(old, new) == (condition("Ready", "False", at=1.0), condition("HostReady", at=9.0))


@pytest.mark.parametrize(
    ("present", "words"),
    [
        ((), "Ready is missing"),
        ((condition("Ready"), condition("Ready")), "more than once"),
        ((condition("Ready"), condition("Stalled")), "Ready is True beside Stalled"),
        ((condition("Ready", "False"), condition("Stalled", "False")), "abnormal-true"),
        ((condition("Ready", "False"), condition("Stalled"), condition("Reconciling")), "both present"),
        ((condition("Ready", reason="not camel"),), "reason"),
        ((Condition("Ready", "True", "Because", "", 1.0, 1),), "no message"),
        ((condition("Ready", generation=-1),), "negative"),
    ],
    ids=str,
)
def test_violated_rules_are_named(present: tuple[Condition, ...], words: str) -> None:
    assert any(words in found for found in violations(present))
    with pytest.raises(AssertionError, match=words):
        check_conditions(present)


def test_json_is_as_in_kubernetes() -> None:
    written = to_json((Condition("Ready", "True", Reason.RECONCILE_SUCCEEDED, "fine", 1_700_000_000.7, 3),))
    assert written == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "ReconcileSucceeded",
            "message": "fine",
            "lastTransitionTime": "2023-11-14T22:13:20Z",
            "observedGeneration": 3,
        }
    ]
    assert from_json(written) == (Condition("Ready", "True", "ReconcileSucceeded", "fine", 1_700_000_000.0, 3),)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"status": "yes"}, "not a status"),
        ({"lastTransitionTime": "now"}, "RFC 3339"),
        ({"reason": None}, "must be strings"),
        ({"observedGeneration": "1"}, "is not a number"),
    ],
    ids=str,
)
def test_an_invalid_condition_is_an_error(broken: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_json([{**to_json((condition("Ready"),))[0], **broken}])


def test_every_reason_is_camel_case() -> None:
    assert not [reason for reason in Reason if violations((condition("Ready", reason=reason),))]
