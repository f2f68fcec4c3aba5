"""The names of kinds."""

import subprocess
import sys

import pytest

from dockerv6.api.kinds import KINDS, UnknownKind, kind_info, resolve_kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *((name, info.kind) for info in KINDS for name in (*info.names, info.kind)),
        ("V6NET", "IPv6Network"),
        ("ipv6pools.dockerv6.io", "IPv6Pool"),
        ("ipv6policy.v1alpha1.dockerv6.io", "IPv6Policy"),
    ],
)
def test_every_name_of_a_kind_is_resolved(text: str, kind: str) -> None:
    assert resolve_kind(text).kind == kind


@pytest.mark.parametrize(
    ("text", "guess"),
    [("v6nets", "v6net"), ("ipv6-network", "ipv6network"), ("ipv6polices", "ipv6policies"), ("v6poll", "v6pol")],
)
def test_a_misspelled_kind_has_a_suggestion(text: str, guess: str) -> None:
    with pytest.raises(UnknownKind, match="did you mean") as caught:
        resolve_kind(text)
    assert caught.value.remedy == f"did you mean {guess}?"


def test_the_remedy_for_an_unknown_kind_lists_all_names() -> None:
    with pytest.raises(UnknownKind, match="use ipv6networks, ipv6network, v6net"):
        resolve_kind("deployments")
    with pytest.raises(UnknownKind):
        resolve_kind("ipv6pools.example.com")


def test_names_are_unique() -> None:
    names = [name for info in KINDS for name in info.names]
    assert len(names) == len(set(names))


def test_a_kind_has_one_entry() -> None:
    assert [kind_info(info.kind) for info in KINDS] == list(KINDS)
    with pytest.raises(KeyError):
        kind_info("Deployment")


@pytest.mark.parametrize("module", ["kinds", "conditions"])
def test_kinds_load_no_pydantic(module: str) -> None:
    code = f"import sys, dockerv6.api.{module}; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
