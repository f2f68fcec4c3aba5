"""Write docs/rules.md: what both backends make of the same intents, as the goldens show it.

`python -m scripts.rules_page` writes it; a test fails when it is stale.
"""  # noqa: INP001

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dockerv6.firewall.iptables.compile import compile_ruleset
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import Ruleset
from tests.golden.scenarios import SCENARIOS
from tests.golden.test_iptables_rulesets import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dockerv6.firewall.model import FirewallIntent

PAGE = Path(__file__).parents[1] / "docs" / "rules.md"

_PREFACE = Path(__file__).with_name("rules_preface.md")

_WORDS = {
    "empty": "Nothing is wanted: there is no table and no chain.",
    "one-network": (
        "A network whose containers go out with the host's address (NAT66), by any interface. What they "
        "began is answered; nothing else comes in."
    ),
    "egress-interfaces": "Translated out of `eth0` and `wg0` only, and not towards what `egress.exclude` names.",
    "egress-exclude": "Translated, but not towards unique local addresses, not by the engine either.",
    "egress-none": "Nothing is translated and nothing is let out by us; isolation holds all the same.",
    "egress-routed": (
        "`egress.mode: Routed`: the source stays what it is, against the engine's MASQUERADE too; inbound closed "
        "but for `firewall.ingress`, here port 443."
    ),
    "egress-snat": "`egress.mode: SNAT`: the source becomes one address of the host.",
    "egress-prefix": (
        "`egress.mode: PrefixTranslation`: the subnet is exchanged for an external prefix as long, one to one. What "
        "leaves gets the first; the second is a former one, which still leads in. `firewall.ingress` opens port 443."
    ),
    "egress-prefix-pinned": "The same out of `eth0` only, and not towards unique local addresses.",
    "egress-prefix-on-link": (
        "The same behind a prefix that others on the link have addresses in: only containers' addresses lead in."
    ),
    "egress-prefix-of-the-host": (
        "The same behind a prefix that the host has an address in: that address is the host's, and port 8080 is "
        "published at it."
    ),
    "egress-modes": "Every mode beside the others.",
    "internal": "An internal network: nothing leaves it, nothing enters it, its containers talk to one another.",
    "isolation-false": "`firewall.isolation: false`: containers of other bridges get in as well.",
    "icc-false": (
        "`bridge.icc: false`: its containers reach one another through published ports only, and find their neighbours."
    ),
    "ingress": "`firewall.ingress`: one /48 may reach every container, everybody port 443 of one of them.",
    "published": "Port 8080 of every address of the host leads to port 80 of a container, which sees who calls.",
    "published-protocols": "The same port by TCP, UDP and SCTP.",
    "published-address": "Ports that are bound to one address of the host each.",
    "published-loopback": "A port that is bound to `[::1]`, for the host alone.",
    "published-allow-list": "Ports with `from`: whoever isn't listed may not connect, whatever listens there.",
    "several": "Three networks, one of them internal, on a host whose uplink is the bridge `br0`.",
    "several-with-ports": "Everything together.",
    "guest-bridges": (
        "The bridges that lead to guests are named, for kernels whose rules can't tell a bridge from another link."
    ),
    "single-address": "A network of a single address.",
    "mark": "Another bit of the mark (`--fwmark 0x40`).",
    "only-held": (
        "No network is wanted now, but the elements of one that is suspended have to stay: the chains "
        "that look at them are there."
    ),
}


def page() -> str:
    """The whole page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    common = render(SCENARIOS["one-network"])
    yield _PREFACE.read_text()
    yield "## The chains of the nftables table\n"
    yield from _block(Ruleset(common.chains, exists=True).lines())
    for name, wish in SCENARIOS.items():
        yield f"## {name}\n"
        yield f"{_WORDS[name]}\n"
        ruleset = render(wish)
        if ruleset.exists:
            yield "nftables:\n"
            yield from _block(_particular(ruleset, common))
            yield "iptables-legacy:\n"
            yield from _block(_xtables(wish))


def _particular(ruleset: Ruleset, common: Ruleset) -> Iterator[str]:
    """Sets that have elements, and chains that differ from everybody's."""
    sets = tuple(each for each in ruleset.sets if each.elements)
    chains = tuple(chain for chain in ruleset.chains if chain not in common.chains)
    return Ruleset(chains, sets, exists=True).lines()


def _xtables(wish: FirewallIntent) -> Iterator[str]:
    for table in compile_ruleset(render(named(wish))):
        yield from (line for line in table.lines() if not line.startswith(":"))


def _block(lines: Iterator[str]) -> Iterator[str]:
    yield "```text"
    yield from lines
    yield "```\n"


if __name__ == "__main__":
    PAGE.write_text(page())
