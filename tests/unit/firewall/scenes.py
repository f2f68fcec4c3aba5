"""Packets, and what the rendered rules of several networks do with them."""

from dockerv6.firewall.expr import Field, Verdict
from dockerv6.firewall.model import DEFAULT_MARK, FirewallIntent, NetworkIntent, PortIntent
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import Ruleset
from tests.unit.firewall.intents import (
    EVERYTHING,
)
from tests.unit.firewall.packets import Packet, through

ALL = render(EVERYTHING)
INSIDE = "fd12:3456:789a:1::2"
OUTSIDE, HOST = "2001:db8:ffff::1", "2001:db8::1"
OUT = Packet({Field.FAMILY: "ipv6", Field.PROTOCOL: "tcp", Field.CT_STATE: "new", Field.CT_DIRECTION: "original"})
OUT = OUT.having(saddr=INSIDE, daddr=OUTSIDE, iif="br-blog", oif="eth0", iif_kind="bridge", oif_kind="", dport="443")
IN = OUT.having(saddr=OUTSIDE, daddr=INSIDE, iif="eth0", oif="br-blog", iif_kind="", oif_kind="bridge", dport="80")
ACROSS = IN.having(saddr="fd12:3456:789a:2::2", iif="br-shop", iif_kind="bridge")
WITHIN = IN.having(saddr="fd12:3456:789a:1::3", iif="br-blog", iif_kind="bridge")
TRANSLATED = {"ct_status": "seen-reply,dnat"}
REPLY = {"ct_direction": "reply", "ct_state": "established"}


def forwarded(packet: Packet, ruleset: Ruleset = ALL) -> str:
    """What the forward chain says: "drop", "marked" for what the host's filter will accept, or "left" to others."""
    fate = through(ruleset, "forward", packet)
    if fate.verdict is Verdict.DROP:
        return "drop"
    return "marked" if fate.packet.mark & DEFAULT_MARK else "left"


def of(*networks: NetworkIntent, ports: tuple[PortIntent, ...] = (), guests: tuple[str, ...] | None = None) -> Ruleset:
    return render(FirewallIntent(networks, ports=ports, uplink_bridges=("br0",), guest_bridges=guests))
