"""Findings about the Docker Engine: unavailable, too old, in another network namespace, or dropping packets."""

import json
from collections.abc import Mapping
from dataclasses import replace

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.network import IPv6NetworkSpec
from dockerv6.api.options import GATEWAY_MODE_IPV6
from dockerv6.api.traffic import Egress, Firewall
from dockerv6.dockerd.model import EngineInfo, Network
from dockerv6.lib.networking import EgressMode
from dockerv6.lib.text import shell_quoted
from dockerv6.planning.docker.network_spec import NO_IPV4_SINCE
from dockerv6.planning.host.interfaces import default_route_interfaces
from dockerv6.planning.inputs import Observed
from dockerv6.planning.plan import Finding, Plan
from dockerv6.planning.steps import Step

ENGINE_RETRY = 5.0
"""Seconds until an engine that does not answer is asked again."""

INSPECT_RETRY = 30.0
"""Seconds until containers are inspected again that the engine can't inspect: each may cost the whole timeout."""

RAW_DROP_SINCE = (28, 2)
"""Engines from this release on drop packets to container addresses in raw PREROUTING (moby 49325)."""

UNDROPPED_MODES = frozenset({"routed", "nat-unprotected"})
"""Gateway modes of networks for which the engine adds no such rule."""

TRUSTED_INTERFACES = "com.docker.network.bridge.trusted_host_interfaces"


def engine_findings(observed: Observed) -> tuple[Finding, ...]:
    """The engine does not answer, or only with errors."""
    if observed.engine is not None:
        return ()
    return (engine_finding(ConditionType.NETWORK_READY, observed),)


def engine_finding(condition: ConditionType, observed: Observed, effect: str = "") -> Finding:
    """The engine does not answer, or only with errors. ``effect``: what that means, such as ", so it waits"."""
    if observed.engine_answers:
        message = f"answers with an error ({observed.engine_problem}){effect}; see its log, and restart it if it lasts"
        return Finding(condition, Reason.ENGINE_ERROR, f"the Docker Engine {message}", retry=ENGINE_RETRY)
    message = f"does not answer ({observed.engine_problem}){effect}; check that it is running"
    return Finding(condition, Reason.ENGINE_UNAVAILABLE, f"the Docker Engine {message}", retry=ENGINE_RETRY)


def container_findings(observed: Observed) -> tuple[Finding, ...]:
    """Containers that the engine can't inspect. They concern themselves only; the others go on."""
    unread = [each for each in (*observed.attachments, *observed.remembered) if each.problem]
    if not unread:
        return ()
    first = unread[0]
    more = f" (and {len(unread) - 1} more)" if len(unread) > 1 else ""
    known = "is as it was known last" if first.complete else "is not known completely"
    message = (
        f"container {first.container_name}{more} can't be inspected ({first.problem}), so how it is attached {known};"
        f" see `docker container inspect {shell_quoted(first.container_name)}`, and restart the Docker Engine or create"
        " the container again if it fails there too"
    )
    return (
        Finding(
            ConditionType.NETWORK_READY,
            Reason.CONTAINER_UNREADABLE,
            message,
            blocks=False,
            retry=INSPECT_RETRY,
            unknown=True,
        ),
    )


def product_findings(engine: EngineInfo | None) -> tuple[Finding, ...]:
    """What answers is not a Docker Engine."""
    if engine is None or not engine.podman:
        return ()
    message = (
        f"Podman {engine.version} is not supported: its networks are netavark's; set DOCKER_HOST to the socket of a"
        " Docker Engine (unix:///var/run/docker.sock, if that is not Podman's)"
    )
    return (Finding(ConditionType.NETWORK_READY, Reason.ENGINE_UNSUPPORTED, message),)


def driver_finding(network: Network, condition: ConditionType, *, blocks: bool) -> Finding:
    """A network whose packets don't pass a bridge or a parent interface of this host."""
    message = (
        f"Docker network {network.name} has the driver {network.driver}, which is not supported; bridge, macvlan and"
        " ipvlan are. For services of a swarm, publish ports with `mode: host`, and write an IPv6Policy with `selector:"
        " {names: [docker_gwbridge]}`"
    )
    return Finding(condition, Reason.UNSUPPORTED_DRIVER, message, blocks=blocks, unknown=not blocks)


_CHAINS_RETRY = 1.0
"""Seconds until a plan that waits for the engine's chains is made again."""


def held_by_missing_chains(plan: Plan, observed: Observed, maintained: tuple[Step, ...]) -> Plan:
    """The plan while the engine's chains are missing: nothing is detached, removed or created.

    Args:
        plan: the plan as if they were there.
        observed: the world.
        maintained: what keeps up the rules of what is applied, instead of steps for a network that is not created.
    """
    if not observed.chains_missing:
        return plan
    waiting = [step.describe() for step in plan.steps if step.needs_engine_chains]
    if not waiting and not observed.chains_problem:
        return plan
    waits = f"; this waits for it: {'; '.join(waiting)}" if waiting else ""
    message = f"{observed.chains_missing}{waits}"
    finding = Finding(
        ConditionType.HOST_READY,
        Reason.ENGINE_CHAINS_MISSING,
        message,
        blocks=bool(waiting),
        retry=_CHAINS_RETRY,
    )
    steps = tuple(step for step in maintained if not step.needs_engine_chains) if waiting else plan.steps
    return replace(plan, steps=steps, findings=(finding, *plan.findings))


def chains_findings(observed: Observed) -> tuple[Finding, ...]:
    """The engine's chains are missing: containers can't publish ports. For what needs no step of the engine."""
    if not observed.chains_problem:
        return ()
    return (
        Finding(
            ConditionType.HOST_READY,
            Reason.ENGINE_CHAINS_MISSING,
            observed.chains_problem,
            blocks=False,
            retry=ENGINE_RETRY,
        ),
    )


def version_findings(spec: IPv6NetworkSpec, engine: EngineInfo | None) -> tuple[Finding, ...]:
    """The engine is too old for what the resource asks for."""
    if engine is None or spec.ipv4.enabled or engine.release >= NO_IPV4_SINCE:
        return ()
    message = (
        f"spec.ipv4.enabled: false needs Docker Engine 28.0 or later, this is {engine.version};"
        " set it to true or upgrade the engine"
    )
    return (Finding(ConditionType.NETWORK_READY, Reason.ENGINE_TOO_OLD, message),)


def namespace_findings(observed: Observed) -> tuple[Finding, ...]:
    """None of the engine's bridges is on this host: rules and sysctls would be set in the wrong network namespace."""
    interfaces = observed.host.interfaces
    default_bridge = observed.networks.named("bridge")  # absent if daemon.json has "bridge": "none"
    if not default_bridge or not interfaces or any(n.bridge in interfaces for n in observed.networks):
        return ()
    bridges = {n.bridge for n in observed.networks if n.bridge}
    if observed.engine is not None and observed.engine.rootless:
        message = (
            "the Docker Engine is rootless: its networks are in a network namespace of its own, which is not supported;"
            " set DOCKER_HOST to the socket of an engine that runs as root (unix:///var/run/docker.sock)"
        )
        return (Finding(ConditionType.HOST_READY, Reason.WRONG_NAMESPACE, message, retry=ENGINE_RETRY),)
    message = (
        f"none of the Docker Engine's bridges ({', '.join(sorted(bridges)[:3])}) is in this network namespace;"
        " run dockerv6 where the engine runs: on the host, or in a container with --network host"
    )
    return (Finding(ConditionType.HOST_READY, Reason.WRONG_NAMESPACE, message, retry=ENGINE_RETRY),)


def raw_drop_findings(
    egress: Egress, firewall: Firewall, observed: Observed, options: Mapping[str, str], *, tried: bool
) -> tuple[Finding, ...]:
    """The engine drops packets to container addresses before our rules see them (see `RAW_DROP_SINCE`).

    This breaks replies of untranslated flows, and incoming flows without a published port, unless a driver option of
    the network prevents it.

    Args:
        egress: the resource's.
        firewall: the resource's.
        observed: the engine and the host.
        options: the network's.
        tried: a packet walk has followed such flows of a container. Its result and its remedy are used instead.
    """
    engine = observed.engine
    translated = egress.mode is EgressMode.PREFIX_TRANSLATION  # then packets are sent to external addresses
    affected = [
        *(["egress.mode: Routed"] if egress.mode is EgressMode.ROUTED and not tried else []),
        *(["egress.exclude"] if egress.exclude else []),
        *(["firewall.ingress"] if firewall.ingress and not translated and not tried else []),
        *(["firewall.isolation: false"] if not firewall.isolation else []),
    ]
    prevented = options.get(GATEWAY_MODE_IPV6) in UNDROPPED_MODES or TRUSTED_INTERFACES in options
    if not affected or engine is None or engine.release < RAW_DROP_SINCE or prevented:
        return ()
    # the engine separates the names by colons
    uplinks = ":".join(egress.interfaces or default_route_interfaces(observed.host)) or "<interface>"
    message = (
        f"Docker Engine {engine.version} drops packets that are sent to container addresses; for spec.{affected[0]} to"
        f" work, set options: {{{TRUSTED_INTERFACES}: {json.dumps(uplinks)}}} or {GATEWAY_MODE_IPV6}: routed"
    )
    return (Finding(ConditionType.FIREWALL_READY, Reason.FIREWALL_BLOCKED, message, blocks=False, unknown=True),)
