"""The rules of conditions hold in any order of operations."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dockerv6.api.conditions import (
    ABNORMAL_TRUE,
    Condition,
    Conditions,
    from_json,
    get,
    merge,
    remove,
    set_condition,
    to_json,
)
from tests.condition_rules import violations
from tests.property.strategies_api import condition_lists, conditions


@given(condition_lists(), conditions())
def test_the_transition_time_changes_exactly_with_the_status(present: Conditions, new: Condition) -> None:
    before = get(present, new.type)
    after = get(set_condition(present, new), new.type)
    if new.type in ABNORMAL_TRUE and new.status != "True":
        assert after is None
        return
    assert after is not None
    stayed = before is not None and before.status == new.status
    assert after.last_transition_time == (
        before.last_transition_time if before and stayed else new.last_transition_time
    )
    assert replace(after, last_transition_time=0.0) == replace(new, last_transition_time=0.0)


@given(condition_lists(), conditions())
def test_setting_a_condition_keeps_the_others(present: Conditions, new: Condition) -> None:
    assert remove(set_condition(present, new), new.type) == remove(present, new.type)


@given(st.lists(conditions(), max_size=8))
def test_there_is_one_condition_per_type(items: list[Condition]) -> None:
    present: Conditions = ()
    for item in items:
        present = set_condition(present, item)
    assert not [found for found in violations(present) if "more than once" in found or "abnormal" in found]


@given(condition_lists(), condition_lists())
def test_a_merge_has_the_new_conditions_with_the_old_times(old: Conditions, new: Conditions) -> None:
    merged = merge(old, new)
    assert [c.type for c in merged] == [c.type for c in new]
    for condition in merged:
        before, asked = get(old, condition.type), get(new, condition.type)
        assert asked is not None
        kept = before is not None and before.status == condition.status
        assert condition.last_transition_time == (before if before and kept else asked).last_transition_time


@given(condition_lists())
def test_json_and_back(present: Conditions) -> None:
    assert from_json(to_json(present)) == present
