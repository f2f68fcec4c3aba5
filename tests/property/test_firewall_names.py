"""Names from others reach the packet filter as names, or not at all."""

import os
from collections.abc import Iterator
from ipaddress import IPv6Network

from hypothesis import example, given
from hypothesis import strategies as st

from dockerv6.api.policy import IPv6Policy
from dockerv6.dockerd.model import BRIDGE_NAME, Network, SubnetConfig
from dockerv6.firewall.diff import diff
from dockerv6.firewall.elements import NETWORKS
from dockerv6.firewall.expr import KeyType
from dockerv6.firewall.iptables.compile import compile_ruleset
from dockerv6.firewall.nftables.commands import commands
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY, Ruleset
from dockerv6.lib.networking import interface_name
from dockerv6.planning.firewall.contributions import firewall_intent, policy_contribution

PIECES = [*"*@$\"\\' /:.%-!+0{};#,\n\0\x7fé\u2028\u202e\ud800"]
PIECES += ["..", "%d", "eth0", "br-", "0x1", "drop", "lo", "all", "default", "x" * 15, "\udcff", "à"]
names = st.lists(st.sampled_from(PIECES), max_size=4).map("".join) | st.text(max_size=17)
POLICY = IPv6Policy.model_validate({"metadata": {"name": "all"}, "spec": {}})


def foreign(number: int, bridge: str) -> Network:
    ipam = (SubnetConfig(IPv6Network(f"fd00:0:0:{number + 1:x}::/64")),)
    return Network(f"{number:064x}", f"n{number}", "bridge", ipam=ipam, options={BRIDGE_NAME: bridge})


def rendered(bridges: list[str], guests: tuple[str, ...] | None = None) -> Ruleset:
    networks = [foreign(number, bridge) for number, bridge in enumerate(bridges)]
    return render(firewall_intent([policy_contribution(POLICY, networks)], guests=guests))


def links(ruleset: Ruleset) -> Iterator[str]:
    for each in ruleset.sets:
        for element in each.elements:
            yield from (part for part, kind in zip(element.key, each.key, strict=True) if kind is KeyType.INTERFACE)


@given(names)
@example("br-blog")
@example("*")
def test_a_name_is_taken_as_it_is_or_not_at_all(text: str) -> None:
    name = interface_name(text)
    if name is None:
        return
    assert name == text
    assert 0 < len(os.fsencode(text)) <= 15
    assert not set(text) & set("/: \n\0")
    assert text not in {".", "..", "all", "default"}


@given(st.lists(names, max_size=5))
@example(["*", "@networks", "br-good", "eth*", "!eth0", "eth+", "\\*"])
def test_every_network_whose_bridge_has_a_name_has_rules_and_no_other(bridges: list[str]) -> None:
    expected = {}
    for number, bridge in enumerate(bridges):
        used = foreign(number, bridge).bridge  # the engine's own name if the option is empty
        if used is not None and interface_name(used) is not None:
            expected[f"fd00:0:0:{number + 1:x}::/64"] = used
    ruleset = rendered(bridges)
    networks = ruleset.set(NETWORKS)
    assert {e.key[0]: e.key[1] for e in networks.elements} == expected if networks else not expected
    assert set(links(ruleset)) == set(expected.values())


@given(st.lists(names, max_size=5))
@example(["*", "@networks", "\udcff"])
def test_every_ruleset_can_be_written(bridges: list[str]) -> None:
    for backend in (rendered(bridges), rendered(bridges, guests=("br-good", "eth+", "\udcff"))):
        assert bool(commands(diff(backend, EMPTY).operations)) is backend.exists
    assert compile_ruleset(rendered(bridges, guests=("br-good", "eth+", "\udcff")))
