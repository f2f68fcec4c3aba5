"""Random rules of ip6tables for the packet walk."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.host.walk_lab import CLIENT, INNER, PORT, PUBLISHED, SERVER

_IN, _OUT = ("-i out", "! -i in", "-i o+", "-m mac --mac-source 02:00:20:01:00:02"), ("-o in", "! -o in")
_MATCHES = (
    *("-p tcp", "! -p udp", "-s 2001:db8::/32", "! -d fd12::/16", f"-d {SERVER}", f"! -s {CLIENT}", "-d ::/1"),
    *(f"-p tcp --dport {PORT}", f"-p tcp --dport 1:{PORT}", "-p udp ! --sport 1:100", f"-p udp --dport {PORT}"),
    *("-p tcp --syn", "-p tcp --tcp-flags SYN,ACK SYN,ACK", "-p tcp ! --tcp-flags ALL ACK", "-p tcp --tcp-option 5"),
    *("-m mark --mark 0x1", "-m mark ! --mark 0x2/0x2", "-m connmark --mark 0x1/0x1", "-m connmark ! --mark 0x0"),
    *("-m conntrack --ctstate NEW", "-m conntrack ! --ctstate ESTABLISHED,RELATED", "-m conntrack --ctstate DNAT"),
    *("-m conntrack ! --ctstate SNAT,INVALID", "-m conntrack --ctdir REPLY", "-m conntrack --ctorigdst 2001:db8::/32"),
    *("-m conntrack ! --ctreplsrc fd12::/16", "-m conntrack --ctproto tcp", "-m conntrack --ctstatus SEEN_REPLY"),
    *("-m conntrack --ctstatus NONE", f"-m conntrack --ctorigdstport {PUBLISHED}", "-m conntrack --ctexpire 1:100"),
    *("-m state --state NEW,ESTABLISHED", "-m addrtype --dst-type LOCAL", "-m addrtype ! --src-type LOCAL"),
    *(
        "-m addrtype --dst-type UNICAST",
        "-m addrtype --src-type MULTICAST",
        "-p tcp -m multiport --dports 22,8000:8080",
    ),
    *(
        "-p udp -m multiport ! --ports 1:100,9000",
        "-m iprange --src-range 2001:db8::-2001:db9::",
        "-m frag --fragfirst",
    ),
    *(
        "-m iprange ! --dst-range fd12::-fd13::",
        "-m limit --limit 1000/s",
        "-m statistic --mode random --probability 0.5",
    ),
    *("-m hbh", "-m comment --comment x", "-m length --length 1:40", "-m hl --hl-gt 3", "-m recent --rcheck --name x"),
    *("-m u32 --u32 0=1", "-m quota --quota 1000000", "-m ecn --ecn-ip-ect 1"),
)
_ENDS = (*("ACCEPT", "ACCEPT", "DROP", "DROP", "RETURN", "one", "two", "MARK --set-mark 1", "MARK --or-mark 2", ""),)
_MARKS = ("CONNMARK --set-mark 1", "CONNMARK --save-mark", "CONNMARK --restore-mark --nfmask 1 --ctmask 1")
_TABLES = {
    "raw": ({"PREROUTING": _IN, "OUTPUT": _OUT}, ("CT --notrack", "NOTRACK", "rpfilter")),
    "mangle": (
        {"PREROUTING": _IN, "INPUT": _IN, "FORWARD": (*_IN, *_OUT), "OUTPUT": _OUT, "POSTROUTING": _OUT},
        (*_MARKS, "HL --hl-set 60", "TOS --set-tos 8"),
    ),
    "nat": ({"PREROUTING": _IN, "INPUT": _IN, "OUTPUT": _OUT, "POSTROUTING": _OUT}, ()),
    "filter": ({"INPUT": _IN, "FORWARD": (*_IN, *_OUT), "OUTPUT": _OUT}, ("REJECT", "REJECT", "LOG", "NFLOG")),
}
_NAT = {
    "PREROUTING": (f"-p tcp -m tcp --dport {PUBLISHED} -j DNAT --to-destination [{SERVER}]:{PORT}", "-j RETURN"),
    "OUTPUT": (f"-p udp -m udp --dport {PUBLISHED} -j DNAT --to-destination [{SERVER}]:{PORT}", "-p tcp -j REDIRECT"),
    "INPUT": (f"-j SNAT --to-source {CLIENT}",),
    "POSTROUTING": ("-j MASQUERADE", f"-j SNAT --to-source {INNER}", "-j NETMAP --to fd12:0:0:9::/64", "-j ACCEPT"),
}


@st.composite
def xtables_rulesets(draw: st.DrawFn) -> str:
    """Tables for ip6tables-restore, which replace the four of these names."""
    text = ""
    for table, (hooks, more) in _TABLES.items():
        text += f"*{table}\n"
        policies = ("ACCEPT",) if table == "nat" else ("ACCEPT", "ACCEPT", "ACCEPT", "ACCEPT", "DROP")
        text += "".join(f":{hook} {draw(st.sampled_from(policies))} [0:0]\n" for hook in hooks)
        if table == "nat":
            used = draw(st.booleans())
            text += "".join(f"-A {hook} {draw(st.sampled_from(_NAT[hook]))}\n" for hook in hooks if used)
        else:
            text += ":one - [0:0]\n:two - [0:0]\n"
            text += "".join(draw(_rules("one", (), more, 2))) + "".join(draw(_rules("two", (), more, 1)))
            for hook, links in hooks.items():
                text += "".join(draw(_rules(hook, links, more, 3 if table == "filter" else 1)))
        text += "COMMIT\n"
    return text


def _rules(chain: str, links: tuple[str, ...], more: tuple[str, ...], most: int) -> st.SearchStrategy[list[str]]:
    plain = _ENDS if chain not in {"one", "two"} else tuple(end for end in _ENDS if end not in {"one", chain})
    ends = (*plain, *(end for end in more if end != "rpfilter"))
    matches = (
        *_MATCHES,
        *links,
        *(("-m rpfilter", "-m rpfilter --invert") if "rpfilter" in more and links == _IN else ()),
    )
    rule = st.tuples(st.lists(st.sampled_from(matches), max_size=2), st.sampled_from(ends))
    return st.lists(rule.map(lambda parts: _text(chain, *parts)), max_size=most)


def _text(chain: str, matches: list[str], end: str) -> str:
    used: set[str] = set()
    kept = []
    for match in matches:
        options = {word for word in match.split() if word in {"-p", "-s", "-d", "-i", "-o"} or word in _NAMES}
        if not options & used:
            kept.append(match)
        used |= options
    jump = "-g" if end == "two" and len(kept) == 1 else "-j"
    return " ".join(["-A", chain, *kept, *((jump, end) if end else ())]) + "\n"


_NAMES = {match.split()[1] for match in _MATCHES if match.startswith("-m ")}
