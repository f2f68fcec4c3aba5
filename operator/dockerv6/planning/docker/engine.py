"""TODO."""

from collections.abc import Mapping

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.options import GATEWAY_MODE_IPV6
from dockerv6.api.traffic import Egress, Firewall
from dockerv6.dockerd.model import EngineInfo
from dockerv6.lib.networking import EgressMode
from dockerv6.planning.inputs import Observed
from dockerv6.planning.plan import Finding

RAW_DROP_SINCE = (28, 2)


PASSING_MODES = frozenset({"routed", "nat-unprotected"})


TRUSTED_INTERFACES = "com.docker.network.bridge.trusted_host_interfaces"


ENGINE_RETRY = 5.0  # seconds until an engine that gives no answer is asked again


def engine_findings(observed: Observed) -> tuple[Finding, ...]:
    """The engine gives no answer."""
    if observed.engine is not None:
        return ()
    return (
        Finding(
            ConditionType.NETWORK_READY,
            Reason.ENGINE_UNAVAILABLE,
            f"the Docker Engine gives no answer ({observed.engine_problem}); is it running?",
            retry=ENGINE_RETRY,
        ),
    )


def raw_drop_findings(
    egress: Egress, firewall: Firewall, engine: EngineInfo | None, options: Mapping[str, str]
) -> tuple[Finding, ...]:
    """Engines from 28.2 on drop what is sent to a container's address before any rule of ours sees it (moby 49325).

    So neither replies of untranslated flows arrive, nor what is let in without a published port, unless the network's
    driver options allow it.
    """
    translated = egress.mode is EgressMode.PREFIX_TRANSLATION  # what is let in was not sent to the container's address
    asked = [
        *(["egress.mode: Routed"] if egress.mode is EgressMode.ROUTED else []),
        *(["egress.exclude"] if egress.exclude else []),
        *(["firewall.ingress"] if firewall.ingress and not translated else []),
        *(["firewall.isolation: false"] if not firewall.isolation else []),
    ]
    answered = options.get(GATEWAY_MODE_IPV6) in PASSING_MODES or TRUSTED_INTERFACES in options
    if not asked or engine is None or engine.release < RAW_DROP_SINCE or answered:
        return ()
    message = (
        f"Docker Engine {engine.version} drops what is sent to containers' own addresses; for spec.{asked[0]} to work"
        f" set options: {{{TRUSTED_INTERFACES}: <interface>}}, or {GATEWAY_MODE_IPV6}: routed"
    )
    return (Finding(ConditionType.FIREWALL_READY, Reason.FIREWALL_BLOCKED, message, blocks=False, unknown=True),)


def _elsewhere(observed: Observed) -> tuple[Finding, ...]:
    """The engine's bridges are none of this host's: everything would be done in the wrong place."""
    interfaces = observed.host.interfaces
    own = observed.networks.named("bridge")  # the engine's own is there, unless "bridge": "none"
    if not own or not interfaces or any(n.bridge in interfaces for n in observed.networks):
        return ()
    bridges = {n.bridge for n in observed.networks if n.bridge}
    message = (
        f"none of the Docker Engine's bridges ({', '.join(sorted(bridges)[:3])}) is in this network namespace;"
        " run dockerv6 where the engine runs: on the host, or in a container with --network host"
    )
    return (Finding(ConditionType.HOST_READY, Reason.WRONG_NAMESPACE, message, retry=ENGINE_RETRY),)
