"""How a parallel run divides the tests with engines among its processes."""

import pytest

from tests.lab.schedule import estimate, group


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("tests/e2e/test_drift.py::test_x[28.5-nft-proxy]", "tests/e2e/test_drift.py 28.5-nft-proxy"),
        ("tests/e2e/test_drift.py::test_x[20.10-on-nft-proxy-flush]", "tests/e2e/test_drift.py 20.10-on-nft-proxy"),
        ("tests/e2e/matrix/test_tracking.py::test_x[26.1-on-legacy-proxy]", "tests/e2e/matrix/ 26.1-on-legacy-proxy"),
        ("tests/e2e/reports/test_moby_41858.py::test_x[28.5-nft-proxy]", "tests/e2e/reports/ 28.5-nft-proxy"),
        ("tests/contract/test_engine.py::test_x[28.5]", "tests/contract/ 28.5"),
        ("tests/unit/lib/test_clock.py::test_x", "tests/unit/lib/test_clock.py"),
        ("tests/property/test_api.py::test_x", "tests/property/test_api.py::test_x"),
    ],
)
def test_tests_that_share_fixtures_on_an_engine_are_one_group(test: str, expected: str) -> None:
    assert group(test) == expected


def test_a_group_with_a_long_setup_precedes_one_with_many_quick_tests() -> None:
    assert estimate("tests/e2e/test_packaging.py 28.5", 4) > estimate("tests/unit/lib/test_clock.py", 60)
