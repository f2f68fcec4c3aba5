from itertools import pairwise

import pytest

from dockerv6.lib.timeformat import LONGEST_DURATION, parse_duration, parse_rfc3339, rfc3339


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_795_401_792, "2026-11-23T02:43:12Z"),
        (1_795_401_792.999, "2026-11-23T02:43:12Z"),
        (-0.5, "1969-12-31T23:59:59Z"),
        (-62_135_596_800, "0001-01-01T00:00:00Z"),
    ],
)
def test_rfc3339_is_utc_in_whole_seconds(seconds: float, text: str) -> None:
    assert rfc3339(seconds) == text


@pytest.mark.parametrize("seconds", [1e12, -1e12, 1e18])
def test_rfc3339_refuses_times_that_it_cannot_write(seconds: float) -> None:
    with pytest.raises(ValueError, match="years 1 and 9999"):
        rfc3339(seconds)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-23T02:43:12Z", 1_795_401_792),
        ("2026-11-23t02:43:12z", 1_795_401_792),
        ("2026-11-23 02:43:12.25Z", 1_795_401_792.25),
        ("2026-11-23T04:43:12+02:00", 1_795_401_792),
        ("2026-11-22T22:13:12-04:30", 1_795_401_792),
        ("2016-12-31T23:59:60Z", 1_483_228_800),
    ],
)
def test_parse_rfc3339_reads_every_form_of_the_standard(text: str, seconds: float) -> None:
    assert parse_rfc3339(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11-23",
        "2026-11-23T02:43:12",
        "20261123T024312Z",
        "2026-13-23T02:43:12Z",
        "2026-W47-1T00Z",
    ],
)
def test_parse_rfc3339_refuses_other_dates(text: str) -> None:
    with pytest.raises(ValueError, match="RFC 3339"):
        parse_rfc3339(text)


def test_rfc3339_sorts_as_time_does() -> None:
    texts = [rfc3339(seconds) for seconds in range(0, 2_000_000_000, 98_765_431)]
    assert all(earlier < later for earlier, later in pairwise(texts))
    assert [rfc3339(parse_rfc3339(text)) for text in texts] == texts


@pytest.mark.parametrize("text", ["9" * 310 + "d", "999999999999d", "36500d1ms"])
def test_a_duration_is_at_most_a_century(text: str) -> None:
    with pytest.raises(ValueError, match="at most 36500d"):
        parse_duration(text)
    assert parse_duration("36500d") == LONGEST_DURATION
