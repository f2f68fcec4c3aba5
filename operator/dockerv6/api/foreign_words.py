"""Words of Compose files, ``docker network create`` and daemon.json, and what a resource has for them.

People carry them over from there. The most similar field (``external`` → ``internal``) would mean something else.
"""

from collections.abc import Mapping

from dockerv6.api.errors import comparable
from dockerv6.api.kinds import NETWORK, POLICY, POOL

_DEFAULT_BRIDGE = (
    "daemon.json sets it for the default bridge: write networkName: bridge and managementPolicy: Observe to give that"
    " network its rules"
)

_WORDS: Mapping[str, Mapping[str, str]] = {
    NETWORK: {
        "external": "write managementPolicy: Observe for a network that others create, and its name as networkName",
        "driver_opts": "write options, which has the same keys and values",
        "opt": "write options, which has the same keys and values",
        "ipam": "write addressing: {subnet: fd12:3456:789a:1::/64} with your subnet, or addressing: {poolRef: {name:"
        " default}} to have one allocated; an IPv4 subnet is ipv4: {subnet: 172.30.0.0/16}",
        "subnet": "write addressing: {subnet: fd12:3456:789a:1::/64} with your subnet; an IPv4 subnet is ipv4: {subnet:"
        " 172.30.0.0/16}",
        "gateway": "write addressing: {gateway: fd12:3456:789a:1::1}; that of IPv4 is ipv4: {gateway: 172.30.0.1}",
        "ip_range": "write addressing: {reserved: [fd12:3456:789a:1::/80]} with what containers must not get",
        "aux_addresses": "write addressing: {reserved: [fd12:3456:789a:1::5]} with the addresses",
        "prefix": "write addressing: {subnet: fd12:3456:789a:1::/64}, or a pool with this prefix",
        "pool": "write addressing: {poolRef: {name: default}}",
        "size": "write addressing: {prefixLength: 64}",
        "parent": "write driver: macvlan (or ipvlan) and options: {parent: eth0}",
        "macvlan_mode": "write options: {macvlan_mode: bridge} below driver: macvlan",
        "ipvlan_mode": "write options: {ipvlan_mode: l2} below driver: ipvlan",
        "enable_ipv6": "remove it: an IPv6Network always has IPv6",
        "ipv6": "remove it: an IPv6Network always has IPv6",
        "enable_ipv4": "write ipv4: {enabled: false} for a network without IPv4",
        "mtu": "write bridge: {mtu: 1400}",
        "icc": "write bridge: {icc: false}",
        "ports": "write publish: {ports: [{port: 8080, targetPort: 80, containers: {name: web}}]}; ports of `docker run"
        " -p` and of Compose are published without it",
        "masquerade": "write egress: {mode: Masquerade}",
        "ip6tables": "remove it: dockerv6 has rules of its own, whatever the engine's setting is",
        "fixed-cidr-v6": _DEFAULT_BRIDGE,
        "default-address-pools": "write a resource of kind IPv6Pool with the base as prefix and the size as"
        " allocationLength",
    },
    POOL: {
        "base": "write prefix: fd12:3456:789a::/48 with the base",
        "size": "write allocationLength: 64 with the size",
        "subnet": "write prefix: fd12:3456:789a::/48",
        "subnets": "write prefixes: [fd12:3456:789a::/48]",
        "cidr": "write prefix: fd12:3456:789a::/48",
        "parent": "write fromInterface: {name: eth0} to follow the prefix of an interface",
        "default-address-pools": "write a resource for each of its entries: the base as prefix, the size as"
        " allocationLength",
    },
    POLICY: {
        "external": "remove it: an IPv6Policy applies to networks that others created",
        "subnet": "write selector: {prefixes: [fc00::/7]}",
        "prefix": "write selector: {prefixes: [fc00::/7]}",
        "prefixes": "write selector: {prefixes: [fc00::/7]}",
        "name": "write selector: {names: [blog]}",
        "names": "write selector: {names: [blog]}",
        "networks": "write selector: {names: [blog]}",
        "driver": "write selector: {drivers: [bridge]}",
        "matchLabels": "write selector: {matchLabels: {com.docker.compose.project: blog}}",
        "ports": "write publish: {ports: [{port: 8080, targetPort: 80, containers: {name: web}}]}; ports of `docker run"
        " -p` and of Compose are published without it",
        **dict.fromkeys(
            ("driver_opts", "options", "ipam", "addressing", "parent", "enable_ipv6", "members"),
            "remove it: an IPv6Policy doesn't create networks; an IPv6Network has that",
        ),
    },
}

_BY_KIND = {kind: {comparable(word): remedy for word, remedy in words.items()} for kind, words in _WORDS.items()}


def remedy_of(word: str, kind: str) -> str | None:
    """What to write instead in a resource of that kind, in any spelling of the word; None: the word is not known."""
    return _BY_KIND.get(kind, {}).get(comparable(word))
