"""Round trips of documents and resources, and decoding of arbitrary documents."""

import copy

from hypothesis import given
from hypothesis import strategies as st

from dockerv6.api.errors import FieldError, InvalidObject
from dockerv6.api.scheme import Resource, decode, digest, to_document
from tests.property.strategies_api import Document, documents, resources

_junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(resources())
def test_a_document_reads_back_as_the_same_resource(resource: Resource) -> None:
    again = decode(to_document(resource))
    assert again.resource == resource
    assert again.warnings == ()
    assert to_document(again.resource) == to_document(resource)
    assert digest(again.resource) == digest(resource)


@given(documents())
def test_a_document_has_only_the_fields_that_were_set(document: Document) -> None:
    written = to_document(decode(document).resource)
    spec, asked = written["spec"], document.get("spec", {})
    assert isinstance(spec, dict)
    assert isinstance(asked, dict)
    assert spec.keys() == asked.keys()


@given(documents())
def test_decoding_does_not_modify_the_document(document: Document) -> None:
    before = copy.deepcopy(document)
    decode(document)
    assert document == before


@given(documents(), st.data())
def test_an_invalid_value_anywhere_is_an_error_with_message_and_remedy(document: Document, data: st.DataObject) -> None:
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
