"""Rulesets as people read them. `DOCKERV6_UPDATE_GOLDEN=1` writes them anew; read the difference before committing."""

import json
import os
from dataclasses import replace
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from dockerv6.firewall.diff import diff
from dockerv6.firewall.nftables.commands import commands
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY
from dockerv6.lib.networking import EgressMode
from tests.golden.scenarios import SCENARIOS
from tests.unit.firewall.intents import BLOG, HOME, WEB, intent

FOLDER = Path(__file__).parent / "rulesets"
CHANGES = {
    "first-network": diff(render(SCENARIOS["one-network"]), EMPTY),
    "second-network": diff(render(SCENARIOS["several"]), render(SCENARIOS["one-network"])),
    "network-removed": diff(render(SCENARIOS["one-network"]), render(SCENARIOS["several"])),
    "network-kept": diff(render(intent(BLOG)), render(SCENARIOS["several"]), frozenset({"shop"})),
    "port-published": diff(render(SCENARIOS["published"]), render(SCENARIOS["one-network"])),
    "port-moved": diff(render(intent(BLOG, ports=(replace(WEB, target_port=81),))), render(SCENARIOS["published"])),
    "port-guarded": diff(
        render(intent(BLOG, ports=(replace(WEB, sources=(IPv6Network("2001:db8:7::/48"),)),))),
        render(SCENARIOS["published"]),
    ),
    "external-changed": diff(
        render(intent(replace(HOME, external_prefixes=(IPv6Network("2001:db8:8:9::/64"), *HOME.external_prefixes)))),
        render(SCENARIOS["egress-prefix"]),
    ),
    "mode-changed": diff(render(intent(replace(HOME, egress=EgressMode.ROUTED))), render(SCENARIOS["egress-prefix"])),
    "last-network": diff(EMPTY, render(SCENARIOS["one-network"])),
}


def compare(name: str, text: str) -> None:
    path = FOLDER / name
    if os.environ.get("DOCKERV6_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs: if that is meant, run with DOCKERV6_UPDATE_GOLDEN=1"


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_ruleset_of_an_intent(name: str) -> None:
    compare(f"{name}.txt", "".join(f"{line}\n" for line in render(SCENARIOS[name]).lines()))


@pytest.mark.parametrize("name", CHANGES)
def test_the_description_of_a_change(name: str) -> None:
    compare(f"change-{name}.txt", "".join(f"{line}\n" for line in CHANGES[name].describe()))


def test_the_transaction_of_a_first_network() -> None:

    written = commands(CHANGES["first-network"].operations)
    compare("first-network.json", "".join(f"{json.dumps(command)}\n" for command in written))


def test_no_golden_file_is_left_over() -> None:
    names = {f"{name}.txt" for name in SCENARIOS} | {f"change-{name}.txt" for name in CHANGES} | {"first-network.json"}
    assert {path.name for path in FOLDER.iterdir()} == names
