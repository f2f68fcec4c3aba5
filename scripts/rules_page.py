"""Write docs/rules.md: the rules that both backends write for the intents of the golden tests.

`python -m scripts.rules_page` writes it; a test fails when it is stale.
"""  # noqa: INP001

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dockerv6.firewall.iptables.compile import compile_ruleset
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import Ruleset
from tests.golden.scenarios import SCENARIOS, with_guest_bridges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dockerv6.firewall.model import FirewallIntent

PAGE = Path(__file__).parents[1] / "docs" / "rules.md"

_PREFACE = Path(__file__).with_name("rules_preface.md")

_WORDS = {
    "empty": "No resource needs rules: there is no table and no chain.",
    "one-network": (
        "A network whose packets leave with the host's address (NAT66), through any interface. Replies come in; "
        "everything else is dropped."
    ),
    "egress-interfaces": "Translated through `eth0` and `wg0` only, and not to the destinations in `egress.exclude`.",
    "egress-exclude": "Translated, except to unique local addresses; the engine doesn't translate those packets.",
    "egress-none": "`egress.mode: None`: nothing is translated, and we let nothing out. The network is still isolated.",
    "egress-routed": (
        "`egress.mode: Routed`: the source stays, also against the engine's MASQUERADE. Inbound is closed except for "
        "`firewall.ingress`, here port 443."
    ),
    "egress-snat": "`egress.mode: SNAT`: the source becomes one address of the host.",
    "egress-prefix": (
        "`egress.mode: PrefixTranslation`: an external prefix of the same length replaces the subnet, one to one. "
        "Packets that leave get the first one; the second is a previous prefix, which still leads in. "
        "`firewall.ingress` opens port 443."
    ),
    "egress-prefix-pinned": "The same through `eth0` only, and not to unique local addresses.",
    "egress-prefix-on-link": (
        "The same with an on-link prefix, in which other hosts have addresses: only containers' addresses lead in."
    ),
    "egress-prefix-of-the-host": (
        "The same with a prefix in which the host has an address: that address stays the host's, and port 8080 is "
        "published at it."
    ),
    "egress-modes": "All modes together.",
    "internal": "An internal network: nothing leaves it, nothing enters it, its containers talk to one another.",
    "isolation-false": "`firewall.isolation: false`: containers on other bridges have access too.",
    "source-validation-false": (
        "`firewall.sourceValidation: false` on one network, for a container that routes for others. On the bridges in "
        "`validated`, a packet needs a source in `valid_sources` for its bridge, or one that every link has."
    ),
    "icc-false": (
        "`bridge.icc: false`: its containers reach one another through published ports only; neighbour discovery works."
    ),
    "ingress": "`firewall.ingress`: one /48 may reach all containers; all clients may reach port 443 of one container.",
    "published": "Port 8080 of all addresses of the host leads to port 80 of a container. The source stays.",
    "published-protocols": "The same port for TCP, UDP and SCTP.",
    "published-address": "Ports that are each bound to one address of the host.",
    "published-loopback": "A port that is bound to `[::1]`, for the host only.",
    "published-allow-list": "Ports with `from`: only listed clients may connect, whatever listens there.",
    "several": "Three networks, one of them internal, on a host whose uplink is the bridge `br0`.",
    "several-with-ports": "All of the above together.",
    "guest-bridges": ("The bridges that lead to guests are named, for rules that can't match on a link's kind."),
    "single-address": "A network of a single address.",
    "mark": "Another bit of the mark (`--fwmark 0x40`).",
    "only-kept": (
        "There is no network now, but the elements of a suspended one are kept. So the chains that use them exist."
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
    for name, intent in SCENARIOS.items():
        yield f"## {name}\n"
        yield f"{_WORDS[name]}\n"
        ruleset = render(intent)
        if ruleset.exists:
            yield "nftables:\n"
            yield from _block(_particular(ruleset, common))
            yield "iptables-legacy:\n"
            yield from _block(_xtables(intent))


def _particular(ruleset: Ruleset, common: Ruleset) -> Iterator[str]:
    """Sets with elements, and chains that are not the same in all examples."""
    sets = tuple(each for each in ruleset.sets if each.elements)
    chains = tuple(chain for chain in ruleset.chains if chain not in common.chains)
    return Ruleset(chains, sets, exists=True).lines()


def _xtables(intent: FirewallIntent) -> Iterator[str]:
    for table in compile_ruleset(render(with_guest_bridges(intent))):
        yield from (line for line in table.lines() if not line.startswith(":"))


def _block(lines: Iterator[str]) -> Iterator[str]:
    yield "```text"
    yield from lines
    yield "```\n"


if __name__ == "__main__":
    PAGE.write_text(page())
