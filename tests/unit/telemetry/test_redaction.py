import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.telemetry.logging import is_secret, redacted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp://admin:hunter2@192.0.2.1:2376 refused", "tcp://***@192.0.2.1:2376 refused"),
        ("https://token@example.org/a@b", "https://***@example.org/a@b"),
        ("http://[2001:db8::1]:2375/v1.43", "http://[2001:db8::1]:2375/v1.43"),
        ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("{'X-Registry-Auth': 'eyJ1c2VyIjoi'}", "{'X-Registry-Auth': ***"),
        ("container web@sha256:0123 of alice@example.org", "container web@sha256:0123 of alice@example.org"),
    ],
)
def test_credentials_are_hidden_and_nothing_else(text: str, expected: str) -> None:
    assert redacted(text) == expected


@given(st.text(alphabet="abcXYZ0189:!$%", min_size=1))
def test_no_credentials_in_a_url_survive(credentials: str) -> None:
    assert redacted(f"at tcp://{credentials}@192.0.2.1:1") == "at tcp://***@192.0.2.1:1"


@pytest.mark.parametrize("key", ["password", "registry_token", "clientSecret", "Authorization", "api_key", "passwd"])
def test_a_key_that_says_secret_is_one(key: str) -> None:
    assert is_secret(key)


@pytest.mark.parametrize("key", ["kind", "resource", "reason", "networkID", "keys", "queue_key", "pass_count"])
def test_other_keys_are_not(key: str) -> None:
    assert not is_secret(key)
