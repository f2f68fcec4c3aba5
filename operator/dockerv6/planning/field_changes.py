"""What a plan changes, field by field with the values before and after, for ``dockerv6 plan -o json``.

A field that has the same value before and after, such as a container that is attached again, is no change.
"""

from collections.abc import Iterable, Mapping

from dockerv6.planning.steps import FieldValue, Step


def field_changes(steps: Iterable[Step]) -> list[Mapping[str, FieldValue]]:
    """The fields that differ, in the order of the steps."""
    before: dict[str, FieldValue] = {}
    after: dict[str, FieldValue] = {}
    for step in steps:
        for field, old, new in step.fields():
            after.setdefault(field, None)
            before.setdefault(field, None)
            before[field] = old if before[field] is None else before[field]
            after[field] = new if new is not None else after[field]
    return [
        {"field": field, "before": before[field], "after": after[field]}
        for field in before
        if before[field] != after[field]
    ]
