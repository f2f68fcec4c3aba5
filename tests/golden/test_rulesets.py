"""Rulesets as people read them. `DOCKERV6_UPDATE_GOLDEN=1` writes them anew; read the difference before committing."""

import json
import os
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from dockerv6.firewall.model import EgressMode, FirewallIntent, NetworkIntent
from dockerv6.firewall.nftables.codec import commands
from dockerv6.firewall.rules import render
from dockerv6.firewall.ruleset import EMPTY, diff
from tests.unit.firewall.intents import BLOG, SHOP, VAULT, intent

FOLDER = Path(__file__).parent / "rulesets"
ULA = IPv6Network("fc00::/7")

INTENTS = {
    "empty": intent(),
    "one-network": intent(BLOG),
    "egress-interfaces": intent(SHOP),
    "egress-exclude": intent(NetworkIntent("blog", BLOG.subnet, "br-blog", egress_exclude=(ULA,))),
    "internal": intent(VAULT),
    "egress-none": intent(NetworkIntent("blog", BLOG.subnet, "br-blog", egress=EgressMode.NONE)),
    "several": FirewallIntent((BLOG, SHOP, VAULT), uplink_bridges=("br0",)),
    "single-address": intent(NetworkIntent("tiny", IPv6Network("2001:db8::5/128"), "br-tiny")),
    "mark": FirewallIntent((BLOG,), mark=0x40),
    "only-held": intent(hold=frozenset({"blog"})),
}
CHANGES = {
    "first-network": diff(render(INTENTS["one-network"]), EMPTY),
    "second-network": diff(render(INTENTS["several"]), render(INTENTS["one-network"])),
    "network-removed": diff(render(INTENTS["one-network"]), render(INTENTS["several"])),
    "network-held": diff(render(intent(BLOG)), render(INTENTS["several"]), frozenset({"shop"})),
    "last-network": diff(EMPTY, render(INTENTS["one-network"])),
}


def compare(name: str, text: str) -> None:
    path = FOLDER / name
    if os.environ.get("DOCKERV6_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs: if that is meant, run with DOCKERV6_UPDATE_GOLDEN=1"


@pytest.mark.parametrize("name", INTENTS)
def test_the_ruleset_of_an_intent(name: str) -> None:
    compare(f"{name}.txt", "".join(f"{line}\n" for line in render(INTENTS[name]).lines()))


@pytest.mark.parametrize("name", CHANGES)
def test_the_description_of_a_change(name: str) -> None:
    compare(f"change-{name}.txt", "".join(f"{line}\n" for line in CHANGES[name].describe()))


def test_the_transaction_of_a_first_network() -> None:

    written = commands(CHANGES["first-network"].steps)
    compare("first-network.json", "".join(f"{json.dumps(command)}\n" for command in written))


def test_no_golden_file_is_left_over() -> None:
    names = {f"{name}.txt" for name in INTENTS} | {f"change-{name}.txt" for name in CHANGES} | {"first-network.json"}
    assert {path.name for path in FOLDER.iterdir()} == names
