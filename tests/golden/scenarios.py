"""Scenarios of the golden files and of the firewall contract: each is an intent that shows one feature."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

from dockerv6.firewall.model import FirewallIntent, Ingress, NetworkIntent
from dockerv6.lib.networking import EgressMode, InterfaceName, TransportProtocol
from tests.unit.firewall.intents import (
    BLOG,
    DNS,
    EVERYTHING,
    FIXED,
    GUARDED,
    GUARDED_AT,
    HOME,
    LOCAL,
    OPEN,
    PLAIN,
    ROAD,
    SHOP,
    VAULT,
    WEB,
    intent,
)

ULA = IPv6Network("fc00::/7")

SCENARIOS = {
    "empty": intent(),
    "one-network": intent(BLOG),
    "egress-interfaces": intent(SHOP),
    "egress-exclude": intent(replace(BLOG, egress_exclude=(ULA,))),
    "egress-none": intent(replace(BLOG, egress=EgressMode.NONE)),
    "egress-routed": intent(ROAD),
    "egress-snat": intent(FIXED),
    "egress-prefix": intent(HOME),
    "egress-prefix-pinned": intent(replace(HOME, egress_interfaces=(InterfaceName("eth0"),), egress_exclude=(ULA,))),
    "egress-prefix-on-link": intent(
        replace(HOME, external_addresses=(HOME.external_prefixes[0][2], HOME.external_prefixes[0][3]))
    ),
    "egress-prefix-of-the-host": replace(
        intent(HOME, ports=(replace(WEB, owner="home", target=HOME.subnet[2], gateway=HOME.subnet[1]),)),
        host_addresses=(HOME.external_prefixes[0][0x53],),
    ),
    "egress-modes": intent(BLOG, ROAD, FIXED, HOME, PLAIN),
    "internal": intent(VAULT),
    "isolation-false": intent(replace(BLOG, isolated=False)),
    "source-validation-false": intent(replace(BLOG, source_validation=False), VAULT),
    "icc-false": intent(replace(BLOG, icc=False)),
    "ingress": intent(
        replace(
            BLOG,
            ingress=(
                Ingress(sources=(IPv6Network("2001:db8:1::/48"), IPv6Network("2001:db8:1:5::/64"))),
                Ingress(targets=(IPv6Network("fd12:3456:789a:1::8/128"),), ports=((TransportProtocol.TCP, 443),)),
            ),
        )
    ),
    "published": intent(BLOG, ports=(WEB,)),
    "published-protocols": intent(BLOG, ports=tuple(replace(WEB, protocol=each) for each in TransportProtocol)),
    "published-address": intent(BLOG, ports=(DNS, replace(DNS, host_address=IPv6Address("2001:db8::54"), port=5300))),
    "published-loopback": intent(BLOG, ports=(LOCAL,)),
    "published-allow-list": intent(BLOG, ports=(GUARDED, GUARDED_AT)),
    "several": FirewallIntent((BLOG, SHOP, VAULT), uplink_bridges=("br0",)),
    "several-with-ports": EVERYTHING,
    "guest-bridges": replace(
        intent(BLOG, OPEN, ports=(WEB,)),
        uplink_bridges=("br0",),
        guest_bridges=("br-blog", "br-open", "virbr0"),
    ),
    "single-address": intent(NetworkIntent("tiny", IPv6Network("2001:db8::5/128"), InterfaceName("br-tiny"))),
    "mark": replace(intent(BLOG), mark=0x40),
    "only-kept": intent(keep=frozenset({"blog"})),
}


def with_guest_bridges(intent: FirewallIntent) -> FirewallIntent:
    """The intent with the names of its bridges, because xtables can't match the kind of a link."""
    if intent.guest_bridges is not None:
        return intent
    return replace(intent, guest_bridges=tuple(sorted({network.bridge for network in intent.networks})))
