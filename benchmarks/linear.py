"""The reference for the data plane: the same networks and ports as linear ip6tables chains.

The rules are those of docker-ipv6nat 0.4 next to an engine without userland proxy (as Docker creates them for IPv4):
eight for each network and three for each published port, in the order in which it adds them. The probed network was
added last, so its rules are last where rules are appended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dockerv6.firewall.model import NetworkIntent, PortIntent


def ruleset(networks: Sequence[NetworkIntent], ports: Sequence[PortIntent]) -> str:
    """Input for `ip6tables-restore`."""
    return "\n".join([*_filter(networks, ports), *_nat(networks, ports), ""])


def _filter(networks: Sequence[NetworkIntent], ports: Sequence[PortIntent]) -> Iterator[str]:
    yield "*filter"
    yield ":FORWARD DROP"
    for chain in ("DOCKER", "DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2", "DOCKER-USER"):
        yield f":{chain} -"
    yield "-A FORWARD -j DOCKER-USER"
    yield "-A FORWARD -j DOCKER-ISOLATION-STAGE-1"
    for network in networks:
        bridge = network.bridge
        yield f"-A FORWARD -o {bridge} -j DOCKER"
        yield f"-A FORWARD -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
        yield f"-A FORWARD -i {bridge} ! -o {bridge} -j ACCEPT"
        yield f"-A FORWARD -i {bridge} -o {bridge} -j ACCEPT"
    for network in reversed(networks):  # prepended, one after the other
        yield f"-A DOCKER-ISOLATION-STAGE-1 -i {network.bridge} ! -o {network.bridge} -j DOCKER-ISOLATION-STAGE-2"
        yield f"-A DOCKER-ISOLATION-STAGE-2 -o {network.bridge} -j DROP"
    bridges = {network.owner: network.bridge for network in networks}
    for port in ports:
        bridge = bridges[port.owner]
        yield f"-A DOCKER -d {port.target} ! -i {bridge} -o {bridge} {_match(port, port.target_port)} -j ACCEPT"
    yield "COMMIT"


def _nat(networks: Sequence[NetworkIntent], ports: Sequence[PortIntent]) -> Iterator[str]:
    yield "*nat"
    yield ":DOCKER -"
    yield "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER"
    yield "-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER"
    for network in reversed(networks):  # prepended, one after the other
        yield f"-A POSTROUTING -s {network.subnet} ! -o {network.bridge} -j MASQUERADE"
        yield f"-A POSTROUTING -o {network.bridge} -m addrtype --dst-type LOCAL -j MASQUERADE"
    for port in ports:
        target = port.target
        yield f"-A POSTROUTING -s {target} -d {target} {_match(port, port.target_port)} -j MASQUERADE"
        yield f"-A DOCKER {_match(port, port.port)} -j DNAT --to-destination [{target}]:{port.target_port}"
    yield "COMMIT"


def _match(port: PortIntent, number: int) -> str:
    return f"-p {port.protocol} -m {port.protocol} --dport {number}"
