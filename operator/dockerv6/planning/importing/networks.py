"""From Docker networks to resources that keep them as they are, or that create them again.

With ``managementPolicy: Observe``, the default, no Docker network is touched: what differs from today is only what
dockerv6 adds. With Manage, dockerv6 creates the network itself. Docker networks can't be edited, and dockerv6 takes
over none that it did not create, so the present one has to be removed first; the result says what that changes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address

from dockerv6.api.addressing import NEVER_OWN_BRIDGES
from dockerv6.api.kinds import NETWORK, POLICY
from dockerv6.api.network import ManagementPolicy
from dockerv6.api.options import GATEWAY_MODE_IPV6, Driver
from dockerv6.dockerd.model import COMPOSE_PROJECT, Container, Network
from dockerv6.lib.prefixes import is_ula
from dockerv6.planning.docker.network_spec import differences, network_spec
from dockerv6.planning.firewall.contributions import ENABLE_MASQUERADE, IPV6NAT_HOST_BINDING, ipv6_subnets, is_disabled
from dockerv6.planning.importing.managed import NotManageableError, accepted, managed_spec
from dockerv6.planning.importing.model import (
    Import,
    ImportContext,
    ImportedNetwork,
    ImportedPolicy,
    ImportedResource,
    ImportNote,
    resource_names,
)
from dockerv6.planning.inputs import MANAGED_BY, NAME_LABEL

IPV6NAT = "docker-ipv6nat"
_ULA = "fc00::/7"
_NO_NETWORK = {"host": "the host's own network stack", "none": "no network at all"}
_DRIVERS = frozenset(map(str, Driver))


def import_networks(
    networks: Iterable[Network], containers: Iterable[Container], context: ImportContext
) -> tuple[ImportedNetwork, ...]:
    """Import each network, in the order of their names.

    Args:
        networks: those to import. Of several with one name, the one with the lowest id is observed, as by a plan.
        containers: all running containers.
        context: what else is known.
    """
    found: list[ImportedNetwork] = []
    ordered = sorted(networks, key=lambda n: (n.name, n.id))
    names = resource_names((n.name for n in ordered), context.taken)
    seen: set[str] = set()
    running = tuple(containers)
    for network in ordered:
        skipped = _double(network) if network.name in seen else _why_not(network, context)
        seen.add(network.name)
        if skipped:
            found.append(ImportedNetwork(network.name, skipped=skipped))
        elif not _has_ipv6(network):
            example = _example(network, context, found)
            found.append(ImportedNetwork(network.name, skipped=_without_ipv6(network), example=example))
        else:
            found.append(_imported(network, names[network.name], running, context))
    return tuple(found)


def import_ipv6nat(
    networks: Iterable[Network], containers: Iterable[Container], context: ImportContext, *, named: bool
) -> Import:
    """Import a host that docker-ipv6nat serves: one policy for the networks that it translates, the others one by one.

    docker-ipv6nat serves bridges with unique local addresses, and opens ports that are published on 0.0.0.0.

    Args:
        networks: those to import.
        containers: all running containers.
        context: what else is known.
        named: not all networks of the host are imported, so the policy selects by name instead of by prefix.
    """
    every = tuple(networks)
    if context.policy is ManagementPolicy.MANAGE:
        return Import(import_networks(every, containers, replace(context, ipv4_wildcard=True)))
    served = [n for n in every if _served_by_ipv6nat(n) and not _why_not(n, context)]
    rest = [n for n in every if n not in served]
    if not served:
        return Import(import_networks(rest, containers, context))
    covered = tuple(sorted({n.name for n in served}))
    selector = {"names": list(covered)} if named else {"prefixes": [_ULA]}
    name = resource_names([IPV6NAT], context.taken | {n.name for n in rest})[IPV6NAT]
    resource = ImportedResource(POLICY, name, {"selector": selector, "publish": {"ipv4Wildcard": "Both"}})
    policy = ImportedPolicy(resource, covered, tuple(note for n in served for note in _policy_notes(n)))
    context = replace(context, taken=context.taken | {name})
    return Import(import_networks(rest, containers, context), policy)


def _served_by_ipv6nat(network: Network) -> bool:
    subnets = [subnet for subnet, _ in ipv6_subnets(network)]
    return bool(network.bridge and subnets and all(map(is_ula, subnets)))


def _policy_notes(network: Network) -> Iterator[ImportNote]:
    for option, kept in (
        (IPV6NAT_HOST_BINDING, "ports are published on this address, as before"),
        (ENABLE_MASQUERADE, "the network is not translated, as before"),
    ):
        if option in network.options:
            yield ImportNote(f"{network.name}: Options.{option}", f"{network.options[option]}: {kept}")


def _why_not(network: Network, context: ImportContext) -> str:
    """Why there is no resource for the network, whatever its addresses; "": there can be one."""
    return next(_obstacles(network, context), "")


def _obstacles(network: Network, context: ImportContext) -> Iterator[str]:
    name, driver = network.name, network.driver
    if network.problem:
        yield f"the engine's answer about it can't be read: {network.problem}"
    if MANAGED_BY in network.labels:
        yield f"dockerv6 created it for IPv6Network {network.labels.get(NAME_LABEL, '?')}, which manages it"
    if name in context.claimed:
        yield f"IPv6Network {context.claimed[name]} is for this network already"
    if name in context.policies and context.policy is ManagementPolicy.OBSERVE:
        policy = context.policies[name]
        yield f"IPv6Policy {policy} applies to it already; for a resource of its own, exclude it there (excludeNames)"
    if name in _NO_NETWORK and driver in {"host", "null"}:
        yield f"it is predefined and stands for {_NO_NETWORK[name]}"
    if driver == "overlay":
        yield "the driver overlay needs Swarm, whose networks dockerv6 does not serve; use a bridge network"
    if driver not in _DRIVERS:
        yield f"dockerv6 does not serve the driver {driver}, only {', '.join(sorted(_DRIVERS))}"


def _double(network: Network) -> str:
    if not network.id:  # of a Compose file
        return (
            f"two declarations in the Compose files are the same Docker network, {network.name}; write external: true "
            "in one of them, and import again"
        )
    return (
        f"another network has the name {network.name}, and a resource would mean that one; remove one of them "
        f"(docker network rm {network.id[:12]}), and import again"
    )


def _has_ipv6(network: Network) -> bool:
    """Whether its containers have IPv6. A subnet alone does not give it to them (docker network create --ipv6 does).

    A network of a Compose file, without an id, has the subnet that the engine will choose.
    """
    return network.enable_ipv6 and (not network.id or any(ipv6_subnets(network)))


def _without_ipv6(network: Network) -> str:
    unused = ", ".join(str(c.subnet) for c in network.ipv6)
    but = f", in spite of its subnet {unused}: it was created without --ipv6" if unused else ""
    project = network.labels.get(COMPOSE_PROJECT)
    whose = f"the containers of the Compose project {project}" if project else "its containers, by their labels,"
    return (
        f"it has no IPv6{but}. Docker can't add it to a network that exists; attach {whose} to a network with IPv6 "
        "(spec.members)"
    )


def _example(network: Network, context: ImportContext, before: Iterable[ImportedNetwork]) -> ImportedResource | None:
    """An IPv6Network that the containers of the project join; one for all networks of the project."""
    project = network.labels.get(COMPOSE_PROJECT)
    if not project:
        return None
    spec = {"members": {"matchLabels": {COMPOSE_PROJECT: project}}}
    if any(each.example is not None and each.example.spec == spec for each in before):
        return None
    name = resource_names([f"{project}-ipv6"], context.taken)[f"{project}-ipv6"]
    return ImportedResource(NETWORK, name, spec)


def _imported(
    network: Network, name: str, containers: tuple[Container, ...], context: ImportContext
) -> ImportedNetwork:
    notes: list[ImportNote] = []
    if network.name != name:
        notes.append(
            ImportNote("Name", f"{network.name} is spec.networkName; metadata.name has to be an RFC 1123 label")
        )
    managed = context.policy is ManagementPolicy.MANAGE
    predefined = network.name == "bridge" or network.bridge in NEVER_OWN_BRIDGES
    if managed and predefined:
        notes.append(ImportNote("", "the engine creates this network; it can only be observed"))
        managed = False
    spec: dict[str, object] = {} if managed else {"managementPolicy": str(ManagementPolicy.OBSERVE)}
    if network.name != name:
        spec["networkName"] = network.name
    traffic = _traffic(network, context, notes)
    if context.ipv4_wildcard and _served_by_ipv6nat(network) and not network.internal:
        traffic["publish"] = {"ipv4Wildcard": "Both"}
    notes += _port_notes(network, containers)
    if managed:
        shape = managed_spec(network, notes)
        for key, block in shape.items():
            former = traffic.get(key)
            traffic[key] = {**former, **block} if isinstance(former, dict) and isinstance(block, dict) else block
    try:
        imported, resource = accepted(name, {**spec, **traffic}, notes)
    except NotManageableError as error:
        return ImportedNetwork(network.name, skipped=f"an IPv6Network can't describe it: {error}", notes=tuple(notes))
    if not managed or not network.id or context.engine is None:
        return ImportedNetwork(network.name, imported, notes=tuple(notes))
    subnet = resource.spec.addressing.subnet or next(s for s, _ in ipv6_subnets(network))
    want = network_spec(resource, subnet, context.identity, context.engine)
    disconnected = tuple(c.name for c in containers if any(e.network_id == network.id for e in c.endpoints))
    why = differences(want, network, context.engine)
    return ImportedNetwork(network.name, imported, notes=tuple(notes), recreation=tuple(why), disconnected=disconnected)


def _traffic(network: Network, context: ImportContext, notes: list[ImportNote]) -> dict[str, object]:
    """The blocks egress, publish and firewall, where today's behaviour is not the default."""
    if network.driver != Driver.BRIDGE:
        notes.append(
            ImportNote("Driver", f"packets of {network.driver} networks bypass the rules of dockerv6; it reports on it")
        )
        return {}
    if network.internal:
        return {}
    mode = network.options.get(GATEWAY_MODE_IPV6, "")
    option = f"Options.{GATEWAY_MODE_IPV6}"
    if mode == "routed":
        notes.append(
            ImportNote(
                option,
                "the engine accepts connections to published ports at the containers' own addresses; list these ports "
                "in spec.firewall.ingress to keep that",
            )
        )
        return {"egress": {"mode": "Routed"}}
    if is_disabled(network, ENABLE_MASQUERADE):
        return {"egress": {"mode": "None"}, **_unprotected(mode)}
    public = [str(s) for s, _ in ipv6_subnets(network) if not is_ula(s)]
    if not context.translates:
        notes.append(
            ImportNote(
                "",
                "The engine has no IPv6 rules, so other networks reach the containers today; with dockerv6, only "
                "published ports are open (see spec.firewall)",
            )
        )
        if public and len(public) == len(list(ipv6_subnets(network))):
            text = f"{', '.join(public)} is public and not translated today, so egress.mode is Routed"
            notes.append(ImportNote("IPAM.Config", text))
            return {"egress": {"mode": "Routed"}}
    return _unprotected(mode)


def _unprotected(mode: str) -> dict[str, object]:
    """Gateway mode nat-unprotected opens all ports of the containers at their own addresses."""
    return {"firewall": {"ingress": [{}]}} if mode == "nat-unprotected" else {}


def _port_notes(network: Network, containers: Iterable[Container]) -> Iterator[ImportNote]:
    """Ports that stay without IPv6, because a person wrote an IPv4 address."""
    for container in containers:
        if not any(e.network_id == network.id for e in container.endpoints):
            continue
        ports = sorted(
            f"{p.host_address}:{p.host_port}/{p.protocol}"
            for p in container.ports
            if isinstance(p.host_address, IPv4Address) and (p.ipv4_only or int(p.host_address))
        )
        if ports:
            yield port_note(container.name, ports)


def port_note(container: str, ports: Iterable[str]) -> ImportNote:
    """Ports that are published on an IPv4 address."""
    text = "published on an IPv4 address, so over IPv4 only (publish.ipv4Wildcard: Both changes it for 0.0.0.0)"
    return ImportNote(f"Ports of {container}", f"{', '.join(ports)}: {text}")
