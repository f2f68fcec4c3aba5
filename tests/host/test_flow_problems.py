"""Rules of a host that let nothing pass, or everything: what the packet walk finds, and whether its remedies work."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.model import DEFAULT_MARK as MARK
from dockerv6.firewall.model import Ingress
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.lib.networking import TransportProtocol
from tests.host.flow_site import NETWORK, SUBNET, FlowSite, run
from tests.host.network import nft

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


pytestmark = pytest.mark.usefixtures("private_netns")


async def opened(backend: str) -> AsyncIterator[FlowSite]:
    session = NftSession()
    made = FlowSite(session, backend)
    await made.set_up()
    yield made
    await made.close()
    await session.close()


@pytest.fixture
async def site() -> AsyncIterator[FlowSite]:
    async for made in opened("nftables"):
        yield made


@pytest.fixture
async def any_site(backend: str) -> AsyncIterator[FlowSite]:
    async for made in opened(backend):
        yield made


def chain(hook: str, rules: str, *, priority: int = 0, more: str = "", policy: str = "accept") -> str:
    return (
        f"nft 'table inet site {{ {more} chain its {{ type filter hook {hook} priority {priority}; policy {policy};"
        f" {rules + ';' if rules else ''} }}; }}'"
    )


SITE = "inet table site, chain its (nftables): "
CLOSED: dict[str, tuple[str, str]] = {
    **{
        f"a chain that rejects, {variant}": (
            "\n".join(f"ip6tables-{variant} {each}" for each in ("-N site", "-A site -j REJECT", "-A FORWARD -j site")),
            f"ip6 table filter, chain site (iptables-{variant}): rule -A site -j REJECT",
        )
        for variant in ("nft", "legacy")
    },
    **{
        f"mangle FORWARD, {variant}": (
            f"ip6tables-{variant} -t mangle -P FORWARD DROP",
            f"ip6 table mangle, chain FORWARD (iptables-{variant}): policy drop",
        )
        for variant in ("nft", "legacy")
    },
    "raw PREROUTING": (
        "ip6tables-nft -t raw -A PREROUTING ! -i lan -j DROP",
        "ip6 table raw, chain PREROUTING (iptables-nft): rule -A PREROUTING ! -i lan -j DROP",
    ),
    "all but one interface": (chain("forward", 'iifname != "lan" drop'), SITE),
    "all of IPv6": (chain("forward", "meta nfproto ipv6 drop"), SITE),
    "local addresses before routing": (chain("prerouting", "ip6 saddr fc00::/7 drop", priority=-310), SITE),
    "local addresses behind routing": (chain("postrouting", "ip6 saddr fc00::/7 drop", priority=50), SITE),
    "a policy": (chain("forward", "", policy="drop"), SITE + "policy drop"),
    "before our chain": (chain("forward", "drop", priority=-200), SITE),
    "behind our chains": (chain("forward", "drop", priority=200), SITE),
    "a verdict map": (chain("forward", "ip6 nexthdr vmap { tcp : drop, udp : drop }"), SITE),
    "a verdict map of states": (chain("forward", "ct state vmap { new : drop, established : accept }"), SITE),
    "a goto": (chain("forward", "goto away", more="chain away { drop; };"), "inet table site, chain away (nftables): "),
    "replies": (chain("forward", "ct direction reply drop"), SITE),
    "a published port": (chain("prerouting", "tcp dport 8080 drop", priority=-150), SITE),
}


@pytest.mark.parametrize("name", CLOSED)
async def test_what_lets_nothing_pass_is_named_and_its_remedy_works(site: FlowSite, name: str) -> None:
    assert await site.problems() == ()
    script, place = CLOSED[name]
    for line in script.splitlines():
        run(line)
    found = await site.problems()
    assert found
    assert all(each.certain and f"dropped by {place}" in each.message for each in found), found
    for _ in range(3):
        for command in dict.fromkeys(command for each in await site.problems() for command in each.commands):
            run(command)
    assert await site.problems() == ()


OPEN: dict[str, str] = {
    "a policy, and rules that accept": chain(
        "forward",
        f"ct state established,related accept; ip6 saddr {SUBNET} accept; ip6 daddr {SUBNET} tcp dport 80 accept",
        policy="drop",
    ),
    "a policy, and a rule that accepts the mark": chain(
        "forward", f"meta mark and {MARK} == {MARK} accept", policy="drop"
    ),
    "a dormant table": chain("forward", "drop", more="flags dormant;"),
    "IPv4 only": "nft 'table ip site { chain its { type filter hook forward priority 0; policy drop; }; }'",
    "IPv4 in a table of both": chain("forward", "meta nfproto ipv4 drop"),
    "other networks": chain("forward", 'iifname "br-other" drop; ip6 daddr 2001:db8:bad::/48 drop'),
}


@pytest.mark.parametrize("name", OPEN)
async def test_what_lets_our_flows_pass_is_no_problem(site: FlowSite, name: str) -> None:
    run(OPEN[name])
    assert await site.problems() == ()


@pytest.mark.parametrize(
    ("rule", "doubt"),
    [
        ("limit rate 5/second accept", "limit"),
        ("meta skuid 1000 accept", ""),
        ("tcp option maxseg size 1-1000 drop; accept", "TCP option"),
        ("numgen random mod 2 < 1 drop; accept", "numgen"),
    ],
)
async def test_an_unknown_result_names_the_match(site: FlowSite, rule: str, doubt: str) -> None:
    run(chain("forward", rule, policy="drop"))
    found = await site.problems()
    assert found
    assert all(each.certain is not bool(doubt) and doubt in each.message for each in found), found


async def test_an_uplink_without_a_kind_as_physical_ones_are_is_outside(any_site: FlowSite) -> None:
    run("ip6tables-nft -P FORWARD DROP")
    (drop,) = (await any_site.filter.observe(MARK)).forward_drops
    await any_site.filter.add_accept_rule(drop, MARK)
    assert await any_site.problems(uplink_kind="") == ()
    bridged = await any_site.problems(uplink_kind="bridge")
    assert (
        any("connections from containers" in each.message for each in bridged) is any_site.firewall.matches_link_kinds
    )


async def test_our_accept_rule_is_enough_where_the_hosts_filter_drops(any_site: FlowSite, variant: str) -> None:
    run(f"ip6tables-{variant} -P FORWARD DROP")
    found = await any_site.problems()
    assert found
    assert all(f"chain FORWARD (iptables-{variant}): policy drop" in each.message for each in found), found
    (drop,) = (await any_site.filter.observe(MARK)).forward_drops
    await any_site.filter.add_accept_rule(drop, MARK)
    assert await any_site.problems() == ()


FIREWALLD = "nft 'table inet firewalld { chain filter_FORWARD { type filter hook forward priority 10; reject; }; }'"
ENGINE = (
    "nft 'table ip6 docker-bridges { chain filter-FORWARD { type filter hook forward priority 0; policy drop; }; }'"
)


async def test_the_remedy_is_that_of_the_program_which_drops(site: FlowSite) -> None:
    run(FIREWALLD)
    assert {each.commands for each in await site.problems()} == {
        ("firewall-cmd --permanent --zone=trusted --change-interface=br-blog", "firewall-cmd --reload")
    }
    run("nft delete table inet firewalld")
    run(ENGINE)
    assert all(f'"bridge-accept-fwmark": "{MARK:#x}/{MARK:#x}"' in each.keeping for each in await site.problems())


ENGINE_29 = """
table ip6 docker-bridges {{
  chain filter-forward-in__br-blog {{
    ct state established,related counter accept
    {accept}
    iifname "br-blog" counter accept comment "ICC"
    counter drop comment "UNPUBLISHED PORT DROP"
  }}
  map filter-forward-in-jumps {{
    type ifname : verdict; elements = {{ "br-blog" : jump filter-forward-in__br-blog }}
  }}
  chain filter-FORWARD {{
    type filter hook forward priority filter; policy accept;
    oifname vmap @filter-forward-in-jumps
  }}
}}
"""


async def test_engine_29_drops_until_it_accepts_our_mark(site: FlowSite) -> None:
    nft(ENGINE_29.format(accept=""))
    found = await site.problems()
    assert {each.certain for each in found} == {True}
    assert all("chain filter-forward-in__br-blog" in each.message for each in found)
    nft("delete table ip6 docker-bridges")
    nft(ENGINE_29.format(accept=f'meta mark and {MARK} == {MARK} counter accept comment "ALLOW FW MARK"'))
    assert await site.problems() == ()


DOUBTFUL = {
    "an allow-list": chain("forward", 'iifname "eth0" ct state new ip6 saddr != 2001:db8:9::/48 drop'),
    "a list of destinations": chain("forward", 'oifname "eth0" ip6 daddr != 2001:db8:9::/48 drop'),
    "a hash": chain(
        "forward", "ct state established accept; meta l4proto tcp jhash ip6 saddr mod 2 0 accept", policy="drop"
    ),
    "a set that packets are added to": chain(
        "forward",
        "ct state new add @s { ip6 saddr }; ip6 saddr @s accept; ct state established accept",
        policy="drop",
        more="set s { type ipv6_addr; flags dynamic,timeout; timeout 1m; };",
    ),
}


@pytest.mark.parametrize("script", DOUBTFUL.values(), ids=DOUBTFUL)
async def test_what_depends_on_the_other_end_or_is_not_known_is_a_doubt(site: FlowSite, script: str) -> None:
    run(script)
    found = await site.problems()
    assert found
    assert not any(each.certain for each in found), found


async def test_a_route_that_a_rule_chooses_is_a_doubt(site: FlowSite) -> None:
    """As with the kill switch of a VPN: what leaves by its interface passes."""
    run("ip link add wg0 type veth peer name tunnel")
    run("ip link set tunnel up")
    run("ip link set wg0 up")
    run("ip -6 route add default dev wg0 table 51820")
    run(chain("forward", 'oifname "wg0" accept', policy="drop"))
    assert any(each.certain for each in await site.problems())
    run("ip -6 rule add not fwmark 51820 table 51820")
    found = await site.problems()
    assert found
    assert not any(each.certain for each in found), found


@pytest.mark.parametrize("number", [2, 0x77])
async def test_what_engine_28_drops_in_raw_is_named_for_a_running_container_and_the_remedy_works(
    site: FlowSite, number: int
) -> None:
    """Real rules of the shape that it writes for each endpoint, but no engine; `test_remedies` has one."""
    await site.want(replace(NETWORK, ingress=(Ingress(ports=((TransportProtocol.TCP, 443),)),)))
    running = frozenset({SUBNET[number]})
    assert await site.problems(containers=running) == ()
    run(f"ip6tables-nft -t raw -A PREROUTING -d {SUBNET[number]} ! -i br-blog -j DROP")
    (found,) = await site.problems(containers=running)
    assert found.certain
    assert "(firewall.ingress) are dropped by ip6 table raw, chain PREROUTING (iptables-nft)" in found.message
    for command in found.commands:
        run(command)
    assert await site.problems(containers=running) == ()
