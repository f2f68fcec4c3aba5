"""Who is taken off a network and put back on it when the network is made anew."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

from dockerv6.dockerd.model import Attachment, Network, NetworkSpec
from dockerv6.planning.blueprint import stamped
from dockerv6.planning.steps import (
    AttachEndpoint,
    CreateNetwork,
    DetachEndpoint,
    RememberEndpoints,
    RemoveNetwork,
    Step,
)


def recreation(
    owner: str,
    live: Network,
    endpoints: Iterable[Attachment],
    missing: Iterable[Attachment],
    want: NetworkSpec,
    why: str,
) -> tuple[Step, ...]:
    """Make the network anew, with those that are attached to it and those that are still missing from the last time."""
    attached = tuple(endpoints)
    everybody = (*attached, *missing)
    return (
        *((RememberEndpoints(owner, want.name, everybody),) if everybody else ()),
        *(DetachEndpoint(live.id, e) for e in attached),
        RemoveNetwork(live.id, live.name, why),
        CreateNetwork(stamped(want), why),
        *attach(everybody, want),
    )


def creation(owner: str, missing: tuple[Attachment, ...], want: NetworkSpec, why: str) -> tuple[Step, ...]:
    """Make the network; who is missing from it is written down first, as the network may be there before they are."""
    remember = (RememberEndpoints(owner, want.name, missing),) if missing else ()
    return (*remember, CreateNetwork(stamped(want), why), *attach(missing, want))


def attach(endpoints: Iterable[Attachment], network: NetworkSpec | Network) -> tuple[AttachEndpoint, ...]:
    """Attach them; those with addresses of their own first, or the engine gives these to the others."""
    fitted = [_refit(e, network) for e in endpoints]
    fitted.sort(key=lambda e: (e.static_ipv6 is None and e.static_ipv4 is None, e.container_name))
    return tuple(AttachEndpoint(network.name, e) for e in fitted)


def _refit(endpoint: Attachment, network: NetworkSpec | Network) -> Attachment:
    """The attachment with the addresses that still fit the network; the engine chooses the others anew."""
    subnets = [c.subnet for c in network.ipam]
    kept = {c.gateway for c in network.ipam} | {ip_address(a) for c in network.ipam for a in c.aux_addresses.values()}
    v6, v4 = endpoint.static_ipv6, endpoint.static_ipv4
    if v6 is not None and (v6 in kept or not any(v6 in s for s in subnets)):
        v6 = None
    if v4 is not None and (v4 in kept or not any(v4 in s for s in subnets)):
        v4 = None
    return replace(endpoint, static_ipv4=v4, static_ipv6=v6)
