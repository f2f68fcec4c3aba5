"""The page that explains the findings has a section for each id, and for nothing else."""

import re

import pytest

from dockerv6.api.conditions import Reason
from dockerv6.daemon.findings import FindingId, explanation, page, sections


def test_each_id_has_a_section_in_the_order_of_the_alphabet() -> None:
    assert list(sections()) == sorted(map(str, FindingId), key=str.casefold)


@pytest.mark.parametrize("finding", FindingId)
def test_a_section_says_what_it_means_how_it_is_seen_what_to_do_and_how_to_check(finding: FindingId) -> None:
    meaning, *points = re.split(r"^- (?=[A-Z])", sections()[finding], flags=re.MULTILINE)
    assert meaning.strip()
    assert [re.match(r"\w+( \w+)?", point)[0].split()[0] for point in points] == ["Seen", "Do", "Check"]  # type: ignore[index]


def test_ids_are_camel_case_and_no_two_are_alike() -> None:
    assert all(re.fullmatch(r"([A-Z][a-zA-Z0-9]+)+", each) for each in FindingId)
    assert len({each.casefold() for each in FindingId}) == len(FindingId)


def test_an_id_that_a_reason_has_too_is_written_alike() -> None:
    reasons = {each.casefold(): str(each) for each in Reason}
    assert {each for each in FindingId if reasons.get(each.casefold(), each) != each} == set()


def test_what_fix_can_end_is_marked() -> None:
    marked = {name for name, text in sections().items() if "**fix**" in text}
    assert marked == {"DefaultBridgeWithoutIPv6", "DocumentationPrefix", "EngineChainsMissing", "EngineSettingsRefused"}


def test_an_explanation_names_the_page_that_a_link_leads_to() -> None:
    shown = explanation(FindingId.FOREIGN_RULES)
    assert shown.startswith("ForeignRules\n\n")
    assert "docker-ipv6nat (docs/docker-ipv6nat.md)" in shown
    assert "](" not in shown
    assert "](" in page()
