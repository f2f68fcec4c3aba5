"""The names of user-defined chains in a legacy table. The host tests read real ones."""

from dockerv6.firewall.engine_chains import chain_names


def head(name: bytes) -> bytes:
    """The target that begins a chain (xt_error_target)."""
    return b"ERROR".ljust(29, b"\0") + b"\0" + name.ljust(30, b"\0")


def test_names_the_chains_of_a_table() -> None:
    entries = b"\0" * 112 + head(b"DOCKER") + b"\0" * 40 + head(b"DOCKER-USER") + head(b"ERROR")
    assert chain_names(entries) == {"DOCKER", "DOCKER-USER", "ERROR"}


def test_a_table_without_chains_has_none() -> None:
    assert chain_names(b"\0" * 500) == frozenset()


def test_a_truncated_name_is_read_to_its_end() -> None:
    assert chain_names(head(b"DOCKER")[:33]) == {"DOC"}
