"""Networks that the tests of the firewall are about."""

from ipaddress import IPv6Network

from dockerv6.firewall.model import EgressMode, FirewallIntent, NetworkIntent

BLOG = NetworkIntent("blog", IPv6Network("fd12:3456:789a:1::/64"), "br-blog")
SHOP = NetworkIntent(
    "shop",
    IPv6Network("fd12:3456:789a:2::/64"),
    "br-shop",
    egress_interfaces=("eth0", "wg0"),
    egress_exclude=(IPv6Network("2001:db8:aaaa::/48"), IPv6Network("fc00::/7"), IPv6Network("fd99::/16")),
)
VAULT = NetworkIntent("vault", IPv6Network("fd12:3456:789a:3::/64"), "br-vault", internal=True)
PLAIN = NetworkIntent("plain", IPv6Network("fd12:3456:789a:4::/64"), "br-plain", egress=EgressMode.NONE)


def intent(*networks: NetworkIntent, hold: frozenset[str] = frozenset()) -> FirewallIntent:
    return FirewallIntent(networks, hold)
