"""Properties of decoding and encoding resources, and of setting conditions."""

import copy
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
from dockerv6.api.errors import FieldError, InvalidObject
from dockerv6.api.scheme import Resource, decode, digest, to_document
from tests.condition_rules import violations
from tests.property.strategies_api import Document, condition_lists, conditions, documents, resources

_junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(resources())
def test_an_encoded_resource_decodes_to_the_same_resource(resource: Resource) -> None:
    decoded = decode(to_document(resource))
    assert decoded.resource == resource
    assert decoded.warnings == ()
    assert to_document(decoded.resource) == to_document(resource)
    assert digest(decoded.resource) == digest(resource)


@given(documents())
def test_a_document_has_only_the_fields_that_were_set(document: Document) -> None:
    written = to_document(decode(document).resource)
    spec, requested = written["spec"], document.get("spec", {})
    assert isinstance(spec, dict)
    assert isinstance(requested, dict)
    assert spec.keys() == requested.keys()


@given(documents())
def test_decoding_does_not_modify_the_document(document: Document) -> None:
    before = copy.deepcopy(document)
    decode(document)
    assert document == before


@given(documents(), st.data())
def test_an_invalid_value_anywhere_is_an_error_with_message_and_remedy(document: Document, data: st.DataObject) -> None:
    document = copy.deepcopy(document)  # a strategy may return parts of it again
    place: dict[str, object] = document
    while True:
        key = data.draw(st.sampled_from([*place, "novel"]))
        inner = place.get(key)
        if not isinstance(inner, dict) or data.draw(st.booleans()):
            place[key] = data.draw(_junk)
            break
        place = inner
    for error in _errors(document):
        assert error.message
        assert error.remedy


def _errors(document: Document) -> tuple[FieldError, ...]:
    try:
        resource = decode(document).resource
    except InvalidObject as invalid:
        return invalid.errors
    assert decode(to_document(resource)).resource == resource
    return ()


@given(condition_lists(), conditions())
def test_the_transition_time_changes_exactly_with_the_status(present: Conditions, new: Condition) -> None:
    before = get(present, new.type)
    after = get(set_condition(present, new), new.type)
    if new.type in ABNORMAL_TRUE and new.status != "True":
        assert after is None
        return
    assert after is not None
    unchanged = before is not None and before.status == new.status
    assert after.last_transition_time == (
        before.last_transition_time if before and unchanged else new.last_transition_time
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
        before, requested = get(old, condition.type), get(new, condition.type)
        assert requested is not None
        kept = before is not None and before.status == condition.status
        assert condition.last_transition_time == (before if before and kept else requested).last_transition_time


@given(condition_lists())
def test_conditions_survive_json(present: Conditions) -> None:
    assert from_json(to_json(present)) == present
