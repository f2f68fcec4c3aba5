from __future__ import annotations

import pytest

from tests.chaos.faults import FAULTS, RANGES
from tests.chaos.run import names, title


def test_all_means_each_fault_and_each_range_of_the_state_file() -> None:
    chosen = names("all")
    assert len(chosen) == len(FAULTS) - 1 + RANGES
    assert len({title(name) for name in chosen}) == len(chosen)


def test_faults_are_chosen_by_name() -> None:
    assert names("table-deleted,state-damaged-3") == ["table-deleted", "state-damaged-3"]
    assert title("table-deleted+rule-deleted") == f"{title('table-deleted')}, {title('rule-deleted')}"


@pytest.mark.parametrize("name", ["table", f"state-damaged-{RANGES}", "table-deleted-1", ""])
def test_an_unknown_fault_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=f"no such fault: {name}"):
        names(name)
