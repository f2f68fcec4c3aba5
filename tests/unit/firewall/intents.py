"""Networks and ports that the tests of the firewall are about."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

from dockerv6.firewall.model import FirewallIntent, Ingress, NetworkIntent, PortIntent
from dockerv6.lib.networking import EgressMode, InterfaceName, TransportProtocol

BLOG = NetworkIntent("blog", IPv6Network("fd12:3456:789a:1::/64"), InterfaceName("br-blog"))
SHOP = NetworkIntent(
    "shop",
    IPv6Network("fd12:3456:789a:2::/64"),
    InterfaceName("br-shop"),
    egress_interfaces=(InterfaceName("eth0"), InterfaceName("wg0")),
    egress_exclude=(IPv6Network("2001:db8:aaaa::/48"), IPv6Network("fc00::/7"), IPv6Network("fd99::/16")),
)
VAULT = NetworkIntent("vault", IPv6Network("fd12:3456:789a:3::/64"), InterfaceName("br-vault"), internal=True)
PLAIN = NetworkIntent("plain", IPv6Network("fd12:3456:789a:4::/64"), InterfaceName("br-plain"), egress=EgressMode.NONE)
OPEN = NetworkIntent(
    "open",
    IPv6Network("fd12:3456:789a:5::/64"),
    InterfaceName("br-open"),
    isolated=False,
    icc=False,
    ingress=(
        Ingress(sources=(IPv6Network("2001:db8:1::/48"),)),
        Ingress(
            targets=(IPv6Network("fd12:3456:789a:5::8/128"),),
            ports=((TransportProtocol.TCP, 80), (TransportProtocol.SCTP, 9)),
        ),
    ),
)
ROAD = NetworkIntent(
    "road",
    IPv6Network("2001:db8:5:6::/64"),
    InterfaceName("br-road"),
    egress=EgressMode.ROUTED,
    ingress=(Ingress(ports=((TransportProtocol.TCP, 443),)),),
)
FIXED = NetworkIntent(
    "fixed",
    IPv6Network("fd12:3456:789a:7::/64"),
    InterfaceName("br-fixed"),
    egress=EgressMode.SNAT,
    snat_address=IPv6Address("2001:db8::7"),
)
HOME = NetworkIntent(
    "home",
    IPv6Network("fd12:3456:789a:8::/64"),
    InterfaceName("br-home"),
    egress=EgressMode.PREFIX_TRANSLATION,
    external_prefixes=(IPv6Network("2001:db8:8:8::/64"), IPv6Network("2001:db8:8:7::/64")),
    ingress=(Ingress(ports=((TransportProtocol.TCP, 443),)),),
)

WEB = PortIntent(
    "blog",
    TransportProtocol.TCP,
    8080,
    IPv6Address("fd12:3456:789a:1::2"),
    80,
    IPv6Address("fd12:3456:789a:1::1"),
)
DNS = replace(WEB, protocol=TransportProtocol.UDP, port=53, target_port=5353, host_address=IPv6Address("2001:db8::53"))
LOCAL = replace(WEB, port=9000, target_port=9000, host_address=IPv6Address("::1"))
GUARDED = replace(
    WEB,
    port=22,
    target_port=22,
    sources=(IPv6Network("2001:db8:7::/64"), IPv6Network("2001:db8:7::/48"), IPv6Network("2001:db8::9/128")),
)
GUARDED_AT = replace(GUARDED, port=2222, host_address=IPv6Address("2001:db8::53"))
FOREIGN = PortIntent("policy/all", TransportProtocol.SCTP, 5000, IPv6Address("fd12:3456:789a:2::7"), 5001)
PORTS = (WEB, DNS, LOCAL, GUARDED, GUARDED_AT, FOREIGN)

EVERYTHING = FirewallIntent(
    (BLOG, SHOP, VAULT, PLAIN, OPEN, ROAD, FIXED, HOME),
    uplink_bridges=("br0",),
    ports=PORTS,
    host_addresses=(IPv6Address("2001:db8:8:8::53"),),
)


def intent(
    *networks: NetworkIntent, keep: frozenset[str] = frozenset(), ports: tuple[PortIntent, ...] = ()
) -> FirewallIntent:
    return FirewallIntent(networks, keep, ports=ports)
