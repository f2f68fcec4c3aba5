"""Random rulesets for the packet walk: nftables, and xtables in both variants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from tests.host.walk_lab import CLIENT, INNER, OUTER, PORT, PUBLISHED, SERVER

if TYPE_CHECKING:
    from collections.abc import Sequence

_NFT_MATCHES = (
    *(
        'iifname "out"',
        'iifname != "out"',
        'oifname "in"',
        'oifname != "in"',
        'iifname "o*"',
        'oifname { "in", "lan" }',
    ),
    *('iif "out"', 'oif != "in"', 'meta iifkind "veth"', 'meta oifkind != "bridge"', "iiftype ether", "oif 0"),
    *("meta nfproto ipv6", "meta l4proto tcp", "meta l4proto != udp", "meta protocol ip6"),
    *(f"ip6 saddr {CLIENT}", f"ip6 daddr != {SERVER}", "ip6 daddr fc00::/7", "ip6 saddr 2001:db8::/32"),
    *("ip6 daddr fd12:0:0:1::/57", f"ip6 saddr fd12::-{SERVER}", "ip6 nexthdr tcp", "ip6 saddr & ::ff == ::2"),
    *(f"th dport {PORT}", f"tcp dport {PORT}", f"udp dport {PUBLISHED}", "th dport >= 8081", f"th sport {PORT}"),
    *("th dport 8000-8080", f"th dport {{ 22, {PORT} }}", "th dport != { 1-8080, 9000 }", "tcp flags syn / syn,ack"),
    *("tcp flags & (syn|ack) == syn|ack", "tcp flags ack", "udp length > 4"),
    *("ct state new", "ct state established,related", "ct state != new", "ct state invalid", "ct direction reply"),
    *("ct status dnat", "ct status & snat == 0", "ct status seen-reply", "ct mark 0x1", "ct mark != 0x2"),
    *(
        f"ct original ip6 daddr {OUTER}",
        f"ct reply ip6 saddr {SERVER}",
        f"meta l4proto tcp ct original proto-dst {PUBLISHED}",
    ),
    *("meta mark 0x1", "meta mark & 0x2 == 0x2", "meta mark and 0x3 != 0x0", "meta mark >= 0x2"),
    *("fib daddr type local", "fib saddr type != local", "fib saddr . iif oif exists", "fib saddr . iif oif missing"),
    *("ip6 saddr @nets", "ip6 daddr != @nets", "iifname . ip6 saddr @pairs", "th dport @ports", "meta mark @marks"),
    *("ip6 saddr . th dport @flows", "ip6 daddr . meta l4proto . th dport @flows3"),
    *("limit rate 1000/second burst 500 packets", "limit rate over 1000/second burst 500 packets"),
    *(
        "meta cpu 7",
        "meta length < 40",
        "meta pkttype host",
        "ip6 hoplimit > 3",
        "meta skuid 77",
        "numgen random mod 2 0",
    ),
    *("exthdr frag exists", "exthdr hbh missing", "meta random < 100", "ip6 flowlabel 5", "rt ip6 nexthop ::"),
    *("ct count over 5000", "quota over 50000 mbytes", "meta secpath exists", "ct zone 0"),
)
_NFT_SETTERS = (
    *("meta mark set 0x1", "meta mark set meta mark | 0x2", "meta mark set mark & 0xfffffffe", "ct mark set 0x1"),
    *(
        "ct mark set meta mark",
        "meta mark set ct mark",
        "counter",
        'log prefix "x" level debug',
        "update @seen { ip6 saddr }",
    ),
    *("meta mark set th dport map @tomark", "meta mark set meta mark ^ 0x3", "meta priority set 1:1"),
    *("meta mark set numgen random mod 4", "ip6 hoplimit set 60", "tcp option maxseg size set 1200"),
)
_NFT_ENDS = (
    *("accept", "accept", "drop", "drop", "return", "continue", "jump a", "jump b", "goto a", "goto b", "reject", ""),
    *("ct state vmap { new : accept, established : jump b }", "ct state vmap { established : drop, new : goto b }"),
    *('iifname vmap { "out" : jump a, "in" : accept }', f"ip6 daddr vmap {{ fd12::/16 : jump b, {OUTER} : accept }}"),
    *(
        "meta mark vmap { 0x1 : accept, 0x2-0x3 : drop }",
        "meta l4proto . th dport vmap { tcp . 8080 : accept, udp . 1-9000 : drop }",
    ),
    *("th dport vmap @verdicts", "meta cpu vmap { 0 : accept, 1 : accept }"),
)
_PUBLISHING = f"meta l4proto {{ tcp, udp }} th dport {PUBLISHED} dnat ip6 to [{SERVER}]:{PORT}"
_NFT_NAT = {
    "prerouting": (
        _PUBLISHING,
        f"dnat ip6 to {SERVER}",
        "tcp dport 8080 redirect to :22",
        "dnat ip6 prefix to fd12:0:0:1::/64",
    ),
    "output": (_PUBLISHING, "redirect"),
    "postrouting": ("masquerade", f"snat ip6 to {INNER}", "snat ip6 to ip6 saddr"),
    "input": (f"snat ip6 to {CLIENT}",),
}
_INCOMING = ("fib saddr . iif", "secpath")
"""Matches that the kernel refuses for packets that leave."""

_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_PRIORITIES = (-310, -300, -150, -100, -10, -1, 0, 0, 10, 50, 101, 300)


def _rule(draw: st.DrawFn, ends: Sequence[str], matches: Sequence[str], setters: Sequence[str]) -> str:
    parts = draw(st.lists(st.sampled_from(matches), max_size=2))
    parts += draw(st.lists(st.sampled_from(setters), max_size=1)) if draw(st.integers(0, 3)) == 0 else []
    parts.append(draw(st.sampled_from(ends)))
    protocols = [part for part in parts if any(word in part for word in ("tcp", "udp", "l4proto", "th "))]
    return " ".join(part for part in parts if part not in protocols[1:]) or "counter"  # nft refuses two that conflict


_DEFINITIONS = f"""
  set nets {{ type ipv6_addr; flags interval; elements = {{ fd12::/32, 2001:db8:0:2::/63, {OUTER} }}; }}
  set pairs {{ type ifname . ipv6_addr; flags interval; elements = {{ "out" . 2001:db8::/32, "in" . fd12::-fd13:: }}; }}
  set ports {{ type inet_service; elements = {{ 22, {PORT} }}; }}
  set marks {{ type mark; flags interval; elements = {{ 1-2 }}; }}
  set flows {{ type ipv6_addr . inet_service; elements = {{ {CLIENT} . {PORT}, {CLIENT} . {PUBLISHED} }}; }}
  set flows3 {{ type ipv6_addr . inet_proto . inet_service; flags interval;
    elements = {{ fd12::/16 . tcp . 1-8080, {OUTER} . 6-17 . 8000-9000 }}; }}
  set seen {{ type ipv6_addr; flags dynamic; size 1000; timeout 1m; }}
  map tomark {{ type inet_service : mark; elements = {{ {PORT} : 0x1, {PUBLISHED} : 0x2 }}; }}
  map verdicts {{ type inet_service : verdict; flags interval; elements = {{ 1-8080 : accept, 8081-9000 : jump b }}; }}
"""


@st.composite
def nft_rulesets(draw: st.DrawFn) -> str:
    """One or two tables, which replace all others."""
    text = "flush ruleset\n"
    for number in range(draw(st.integers(1, 2))):
        family = draw(st.sampled_from(("inet", "inet", "ip6")))
        dormant = "flags dormant; " if draw(st.integers(0, 9)) == 0 else ""
        matches = [each for each in _NFT_MATCHES if family == "inet" or "nfproto" not in each]
        text += f"table {family} t{number} {{ {dormant}\n{_DEFINITIONS}"
        for name in ("b", "a"):
            ends = [end for end in _NFT_ENDS if name == "a" or not any(w in end for w in ("jump", "goto", "@verdicts"))]
            ends.remove("reject")
            ends = [end.replace("jump a", "jump b").replace("goto a", "goto b") for end in ends]
            anywhere = [each for each in matches if not any(word in each for word in _INCOMING)]
            rules = "\n".join(_rule(draw, ends, anywhere, _NFT_SETTERS) for _ in range(draw(st.integers(0, 3))))
            text += f"chain {name} {{\n{rules}\n}}\n"
        for index in range(draw(st.integers(1, 3))):
            text += _base_chain(draw, f"base{index}", matches)
        if draw(st.booleans()):
            text += f"chain publish {{ type nat hook prerouting priority -101;\n{_PUBLISHING}\n}}\n"
            text += f"chain publish_out {{ type nat hook output priority -101;\n{_PUBLISHING}\n}}\n"
        text += "}\n"
    return text


def _base_chain(draw: st.DrawFn, name: str, matches: Sequence[str]) -> str:
    hook = draw(st.sampled_from((*_HOOKS, "forward", "forward")))
    if hook in {"output", "postrouting"}:
        matches = [each for each in matches if not any(word in each for word in _INCOMING)]
    if draw(st.integers(0, 5)) == 0 and hook in _NFT_NAT:
        head = f"type nat hook {hook} priority {draw(st.sampled_from((-150, -100, 0, 100)))};"
        rules = [
            _rule(draw, (*_NFT_NAT[hook], "accept"), matches, _NFT_SETTERS) for _ in range(draw(st.integers(1, 2)))
        ]
    else:
        policy = draw(st.sampled_from(("accept", "accept", "drop")))
        head = f"type filter hook {hook} priority {draw(st.sampled_from(_PRIORITIES))}; policy {policy};"
        ends = [end for end in _NFT_ENDS if end != "reject" or hook != "postrouting"]
        rules = [_rule(draw, ends, matches, _NFT_SETTERS) for _ in range(draw(st.integers(0, 4)))]
        if draw(st.integers(0, 6)) == 0 and hook in {"prerouting", "output"}:
            rules.append("th dport 8080 notrack")
    return f"chain {name} {{ {head}\n" + "\n".join(rules) + "\n}\n"
