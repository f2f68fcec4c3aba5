"""The packet walk predicts for random rules what real packets do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockerv6.firewall.walk.packet import TCP, UDP
from tests.host.walk_lab import Attempt, WalkLab, opened_lab
from tests.host.walk_rules import nft_rulesets
from tests.host.walk_xtables import xtables_rulesets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.namespace import Namespace

ATTEMPTS = tuple(
    Attempt(protocol, from_router, published)
    for protocol in (TCP, UDP)
    for from_router in (False, True)
    for published in (False, True)
)
_FEW = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def lab(make_netns: Callable[[], Namespace]) -> Iterator[WalkLab]:
    with opened_lab(make_netns) as made:
        yield made


def agrees(lab: WalkLab, attempt: Attempt) -> None:
    """An unknown result is no claim."""
    verdict = lab.walk(attempt)
    arrived = lab.passes(attempt)
    assert verdict.passes in {None, arrived}, (attempt, verdict)


def test_nftables(lab: WalkLab) -> None:
    @settings(_FEW, max_examples=80)
    @given(nft_rulesets(), st.sampled_from(ATTEMPTS))
    def check(ruleset: str, attempt: Attempt) -> None:
        lab.nft(ruleset)
        agrees(lab, attempt)

    check()


@pytest.mark.parametrize(("variant", "examples"), [("nft", 15), ("legacy", 40)])
def test_xtables(lab: WalkLab, variant: str, examples: int) -> None:
    @settings(_FEW, max_examples=examples)
    @given(xtables_rulesets(), st.sampled_from(ATTEMPTS))
    def check(ruleset: str, attempt: Attempt) -> None:
        lab.ip6tables(variant, ruleset)
        agrees(lab, attempt)

    check()


def test_both_kinds_at_once(lab: WalkLab) -> None:
    @settings(_FEW, max_examples=15)
    @given(nft_rulesets(), xtables_rulesets(), st.sampled_from(ATTEMPTS))
    def check(native: str, legacy: str, attempt: Attempt) -> None:
        lab.nft(native)
        lab.ip6tables("legacy", legacy)
        agrees(lab, attempt)

    check()
