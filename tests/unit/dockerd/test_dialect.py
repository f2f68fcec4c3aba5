from __future__ import annotations

import pytest

from dockerv6.dockerd.dialect import ENABLE_IPV4, HIGHEST, Dialect, format_api, from_headers, parse_api


@pytest.mark.parametrize(("text", "api"), [("1.41", (1, 41)), ("1.9", (1, 9)), ("", None), ("1", None), ("1.x", None)])
def test_parses_api_versions(text: str, api: tuple[int, int] | None) -> None:
    assert parse_api(text) == api


def test_formats_as_in_a_path() -> None:
    assert format_api((1, 41)) == "1.41"


def test_reads_the_headers_of_an_answer() -> None:
    headers = {"Api-Version": "1.41", "Server": "Docker/20.10.24+dfsg1 (linux)"}
    assert from_headers(headers) == Dialect("20.10.24+dfsg1", (1, 41))


def test_reads_an_engine_that_names_itself_otherwise() -> None:
    assert from_headers({"Api-Version": "1.41", "Server": "Libpod/4.9 (linux)"}) == Dialect(
        "of unknown version", (1, 41)
    )


def test_sees_that_it_is_no_engine() -> None:
    assert from_headers({"Server": "nginx"}) is None


def test_versions_compare_as_numbers() -> None:
    assert Dialect("", (1, 100)).understands(ENABLE_IPV4)
    assert not Dialect("", (1, 9)).understands(ENABLE_IPV4)


def test_speaks_no_higher_than_it_knows() -> None:
    assert Dialect("", (1, 41)).spoken == (1, 41)
    assert Dialect("", (1, 99)).spoken == HIGHEST
