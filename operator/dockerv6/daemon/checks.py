"""The doctor's checks: findings and remedies from facts about a host. Pure: `doctor` gathers the facts."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from dockerv6.daemon.findings import FindingId, HostCheck, fail, ok, warn
from dockerv6.dockerd.model import EngineInfo, Network
from dockerv6.firewall.detect import BackendChoice
from dockerv6.firewall.ipv6nat.presence import IPv6NatPresence
from dockerv6.firewall.model import FilterVariant, FlowProblem, HostFilterState
from dockerv6.firewall.xtables.libiptc import MISSING, REMEDY
from dockerv6.hostnet.model import HostPrefix
from dockerv6.lib.text import shell_quoted
from dockerv6.planning.addressing.prefix_candidates import candidates
from dockerv6.planning.addressing.route_conflicts import route_conflicts
from dockerv6.planning.host.bridge_ports import not_validated
from dockerv6.planning.host.interfaces import external_interfaces, guest_bridges, is_default_route
from dockerv6.planning.host.sysctls import FORWARDING, accept_ra, disable_ipv6, enable_ipv6_command, proxy_ndp
from dockerv6.planning.inputs import HostView

CAP_NET_ADMIN = 12
CAP_NET_RAW = 13
"""Numbers of capabilities (linux/capability.h)."""

_OLDEST_ENGINE = (20, 10)
_UNKNOWN_RELEASE = (0, 0)  # a development build

_POLICY = "write an IPv6Policy with `selector: {prefixes: [fc00::/7]}` (`dockerv6 import` prints it) and start dockerv6"
_STOP = "stop docker-ipv6nat for good (docker rm -f ipv6nat, or systemctl disable --now docker-ipv6nat)"
_CLEAN = "dockerv6 cleanup docker-ipv6nat"
_RESTART = (
    "restart the engine, which then writes its own IPv6 chains again: docker-ipv6nat empties them when it starts "
    "(live-restore keeps containers running meanwhile)"
)
_AGAIN = "dockerv6 doctor; docs/docker-ipv6nat.md explains each step"


def privileges(capabilities: int) -> HostCheck:
    """The capabilities of this process, as in CapEff of /proc/self/status (proc(5))."""
    name, wanted = "privileges", {"CAP_NET_ADMIN": CAP_NET_ADMIN, "CAP_NET_RAW": CAP_NET_RAW}
    missing = [capability for capability, number in wanted.items() if not capabilities >> number & 1]
    if not missing:
        return ok(name, "CAP_NET_ADMIN and CAP_NET_RAW")
    return fail(
        FindingId.CAPABILITY_MISSING,
        name,
        f"{' and '.join(missing)} missing: rules and sysctls can't be changed, and not all of them can be read",
        "run as root, or grant the capabilities (docker run --cap-add NET_ADMIN --cap-add NET_RAW)",
    )


def nf_tables(generation: int | None, missing: Sequence[HostCheck], *, needed: bool) -> HostCheck:
    """Whether the kernel supports nf_tables.

    Args:
        generation: of the ruleset; None: it is not supported.
        missing: why not.
        needed: no other firewall backend works.
    """
    name = "nf_tables"
    if generation is not None:
        return ok(name, f"supported by the kernel, ruleset generation {generation}")
    why = missing[0].message if missing else "not supported by the kernel"
    return (fail if needed else warn)(FindingId.FIREWALL_UNAVAILABLE, name, why)


def backend(choice: BackendChoice) -> HostCheck:
    """The firewall backend that a run chooses, why, and what it can't do."""
    return ok("firewall backend", "; ".join((f"{choice.backend}: {choice.why}", *choice.limits)))


def engine(info: EngineInfo) -> HostCheck:
    """The engine's version."""
    name, message = "engine", f"{info.version} on {info.name}, API {info.api_version}"
    if info.podman:
        return fail(
            FindingId.ENGINE_UNSUPPORTED,
            name,
            f"Podman {info.version} is not supported",
            "set DOCKER_HOST to the socket of a Docker Engine",
        )
    if info.rootless:
        return fail(
            FindingId.ENGINE_UNSUPPORTED,
            name,
            f"{message}: a rootless engine is not supported, its networks are in a namespace of its own",
            "set DOCKER_HOST to the socket of an engine that runs as root (unix:///var/run/docker.sock)",
        )
    if info.release >= _OLDEST_ENGINE or info.release == _UNKNOWN_RELEASE:
        return ok(name, message)
    return fail(FindingId.ENGINE_TOO_OLD, name, message, "dockerv6 needs Docker Engine 20.10 or later")


def swarm(info: EngineInfo) -> Iterator[HostCheck]:
    """What is not supported on a node of a swarm."""
    if info.swarm:
        yield warn(
            FindingId.SWARM_NODE,
            "swarm",
            "this host is a node of a swarm: overlay networks and the ports of its routing mesh (mode: ingress) are not"
            " supported over IPv6",
            "publish ports of services with `mode: host`, and write an IPv6Policy with `selector: {names:"
            " [docker_gwbridge]}`",
        )


def engine_rules(
    found: Collection[FilterVariant], presence: IPv6NatPresence | None, info: EngineInfo | None
) -> Iterator[HostCheck]:
    """Where the engine has IPv6 rules of its own. ``found``: the variants that have chains with its names."""
    name = "engine's IPv6 rules"
    foreign = {each.variant for each in presence.rules if not each.engine_rules} if presence is not None else set()
    variants = [variant for variant in FilterVariant if variant in found and variant not in foreign]
    xtables = [variant for variant in variants if variant is not FilterVariant.NFTABLES]
    if len(xtables) > 1:
        yield warn(
            FindingId.ENGINE_RULES_IN_TWO_VARIANTS,
            name,
            f"in {' and in '.join(xtables)}: packets pass both, and the engine updates only one",
            "one of them dates from before the iptables alternative was switched (ip6tables-nft-save, -legacy-save)",
            "restart the host to remove it",
        )
    elif variants:
        yield ok(name, f"on, in {' and '.join(variants)}; dockerv6's rules come first and need none of them")
    else:
        yield ok(name, "off; dockerv6 needs none of them")
    if info is not None and info.firewall_backend == "nftables":
        yield warn(
            FindingId.ENGINE_FIREWALL_UNTESTED,
            name,
            "the engine's firewall backend is nftables, and dockerv6 has not been tested with it: see `host filter`",
        )


def legacy_tables(engine: Collection[FilterVariant], state: HostFilterState, *, installed: bool) -> Iterator[HostCheck]:
    """Where legacy tables are in use, whether they can be written.

    Args:
        engine: the variants that have the engine's chains.
        state: where the host's filter drops.
        installed: there is python-iptables.
    """
    name, legacy = "legacy tables", FilterVariant.XTABLES_LEGACY
    dropping = [drop for drop in state.forward_drops if drop.variant is legacy]
    if not dropping and legacy not in engine:
        return
    if installed:
        yield ok(name, "in use, and python-iptables is installed")
    elif all(drop.has_accept_rule for drop in dropping):
        yield warn(FindingId.LEGACY_LIBRARY_MISSING, name, f"{MISSING}; at present, none has to be written", REMEDY)
    else:
        yield fail(FindingId.LEGACY_LIBRARY_MISSING, name, MISSING, REMEDY)


def engine_chains(missing: str) -> HostCheck:
    """Whether the engine still has the chains that it had. ``missing``: what is gone, with the remedy; "": nothing."""
    name = "engine's chains"
    return fail(FindingId.ENGINE_CHAINS_MISSING, name, missing, fix={}) if missing else ok(name, "none is missing")


def userland_proxy(*, in_use: bool | None) -> HostCheck:
    """Only the host's own [::1] depends on it, and only with the iptables backend, which says so."""
    messages = {
        True: "on: it is used only where dockerv6's rules don't translate, so client addresses are kept",
        False: "off: dockerv6's rules also translate the host's own connections, so nothing is missing",
        None: "unknown: the engine has no IPv4 rules here",
    }
    return ok("userland proxy", messages[in_use])


def bridge_netfilter(host: HostView) -> HostCheck:
    """Whether ip6tables and nftables see bridged packets."""
    name = "bridge netfilter"
    if host.bridge_netfilter is None:
        return warn(
            FindingId.BRIDGE_NETFILTER_OFF,
            name,
            "br_netfilter is not loaded: `bridge.icc: false` does not separate the containers of a network",
            "modprobe br_netfilter (and a line in /etc/modules-load.d/), if a network has `icc: false`",
        )
    if host.bridge_netfilter:
        return ok(name, "bridge-nf-call-ip6tables is 1")
    return ok(name, "bridge-nf-call-ip6tables is 0; it is enabled on each bridge that needs it")


def source_validation(host: HostView, networks: Iterable[Network]) -> HostCheck:
    """Docker networks on a bridge with ports that are no container's."""
    name = "source validation"
    found = [why for network in networks if network.ipv6 and (why := not_validated(host, network))]
    if found:
        return warn(
            FindingId.SOURCES_NOT_VALIDATED,
            name,
            "; ".join(found),
            "to accept it, write firewall.sourceValidation: false",
        )
    return ok(name, "only containers are attached to the bridges of Docker networks")


def forwarding(host: HostView) -> HostCheck:
    """IPv6 forwarding."""
    name = "forwarding"
    if host.forwarding is None:
        return fail(FindingId.HOST_NOT_READY, name, "the kernel has no IPv6", "boot without ipv6.disable=1")
    if "all" in host.ipv6_off:
        return fail(
            FindingId.HOST_NOT_READY, name, f"IPv6 is off: {disable_ipv6('all')} is 1", enable_ipv6_command(("all",))
        )
    if host.forwarding == "1":
        return ok(name, f"{FORWARDING} is 1")
    return warn(
        FindingId.FORWARDING_OFF,
        name,
        f"{FORWARDING} is {host.forwarding}: containers reach only the host; the daemon sets it for the first network",
    )


def router_advertisements(host: HostView) -> HostCheck:
    """Uplinks that ignore router advertisements while the host forwards."""
    name = "router advertisements"
    if not host.accept_ra:
        return ok(name, "no uplink loses its routes by forwarding")
    commands = " ".join(shell_quoted(f"{accept_ra(uplink)}=2") for uplink in host.accept_ra)
    lost = "have lost" if host.forwarding == "1" else "would lose"
    return warn(
        FindingId.ROUTER_ADVERTISEMENTS_IGNORED,
        name,
        f"{', '.join(host.accept_ra)} {lost} the routes from the router while the host forwards: accept_ra is 1",
        f"the daemon sets it to 2; to keep it over a reboot: sysctl -w {commands}, and the same in /etc/sysctl.d",
    )


def uplink(host: HostView) -> HostCheck:
    """The host's default route, and an address for NAT66."""
    name = "uplink"
    names = sorted({r.interface for r in host.routes if r.destination.prefixlen == 0 and r.interface})
    if not names:
        return warn(
            FindingId.NO_DEFAULT_ROUTE,
            name,
            "no default route: containers reach only what the host reaches",
            "ip -6 route",
        )
    addresses = [
        a for n in names if n in host.interfaces for a in host.interfaces[n].addresses if not a.ip.is_link_local
    ]
    if not addresses:
        message = f"{', '.join(names)} has no global address: NAT66 has no source address"
        return warn(FindingId.NO_ADDRESS, name, message, f"ip -6 address show dev {shell_quoted(names[0])}")
    return ok(name, f"default route by {', '.join(names)} ({', '.join(str(a.ip) for a in addresses)})")


def prefixes(host: HostView, reported: Collection[HostPrefix]) -> HostCheck:
    """The prefix that `fromInterface` and `prefixFrom` would follow, by interface."""
    name = "prefixes"
    best = ((interface, candidates(interface, reported, host.routes)[:1]) for interface in external_interfaces(host))
    found = [
        f"{interface} has {each.prefix} ({'on-link' if each.on_link else 'delegated'})"
        for interface, one in best
        for each in one
    ]
    if found:
        return ok(name, "; ".join(found))
    return warn(
        FindingId.NO_PREFIX,
        name,
        "no interface has a global prefix: containers get unique local addresses, and NAT66",
        "check the provider's router advertisements or the DHCPv6 client: ip -6 address; ip -6 route",
    )


def routes(host: HostView, networks: Sequence[Network]) -> Iterator[HostCheck]:
    """Routes of others that take packets for containers away from their bridge."""
    name = "routes"
    found = tuple(route_conflicts(host, networks))
    for each in found:
        yield (fail if each.certain else warn)(FindingId.ROUTE_CONFLICT, name, each.message)
    if not found:
        yield ok(name, "none takes packets for containers elsewhere")


def proxy_neighbours(host: HostView) -> HostCheck:
    """NDP proxy entries by interface; without the sysctl `proxy_ndp` they have no effect."""
    name = "proxy neighbours"
    counts = Counter(p.interface for p in host.proxies)
    disabled = sorted(i for i in counts if host.proxy_ndp.get(i) == "0")
    if disabled:
        commands = " ".join(shell_quoted(f"{proxy_ndp(interface)}=1") for interface in disabled)
        message = f"entries on {', '.join(disabled)} have no effect: proxy_ndp is 0"
        return warn(
            FindingId.PROXY_NDP_OFF,
            name,
            message,
            f"the daemon sets it while a resource asks for it: sysctl -w {commands}",
        )
    ours = sum(p.ours for p in host.proxies)
    shown = ", ".join(f"{count} on {interface}" for interface, count in sorted(counts.items()))
    return ok(name, f"{shown}; {ours} of them dockerv6's" if counts else "none")


def uplink_mtu(host: HostView) -> HostCheck:
    """Bridges with a larger MTU than the default route's interface."""
    name = "uplink MTU"
    uplinks = {r.interface for r in host.routes if is_default_route(r)}
    known = [i for i in host.interfaces.values() if i.name in uplinks and i.mtu > 0]
    if not known:
        return ok(name, "no default route to compare with")
    least = min(known, key=lambda i: (i.mtu, i.name))
    wide = [n for n in guest_bridges(host) if host.interfaces[n].mtu > least.mtu]
    if not wide:
        return ok(name, f"{least.name} has an MTU of {least.mtu}, no bridge has more")
    return warn(
        FindingId.MTU_MISMATCH,
        name,
        f"{least.name} has an MTU of {least.mtu}, less than {', '.join(wide)}: large packets are sent twice, or lost"
        " where ICMPv6 is filtered",
        f"set spec.bridge.mtu: {least.mtu} (docker network create --opt com.docker.network.driver.mtu={least.mtu})",
    )


def host_filter(state: HostFilterState, problems: Iterable[FlowProblem]) -> Iterator[HostCheck]:
    """Where the host's own filter needs our accept rule, and which flows of our networks the host's filters drop."""
    name = "host filter"
    found = tuple(problems)
    for drop in state.forward_drops:
        where = f"{drop.table} {drop.chain} ({drop.variant})"
        if drop.has_accept_rule:
            yield ok(name, f"{where} drops forwarded packets, except dockerv6's flows")
        else:
            yield warn(
                FindingId.ACCEPT_RULE_MISSING,
                name,
                f"{where} drops forwarded packets; the daemon adds an accept rule when a network needs it",
            )
    for each in found:
        message, remedy = f"{each.owner}: {each.message}", (*each.commands, *((each.keeping,) if each.keeping else ()))
        report, finding = (fail, FindingId.FIREWALL_BLOCKED) if each.certain else (warn, FindingId.FIREWALL_UNKNOWN)
        yield report(finding, name, message, *remedy)
    if not state.forward_drops and not found:
        yield ok(name, "nothing drops forwarded packets of dockerv6's networks")


def daemon(pid: int | None, *, namespace_in_use: bool = False) -> HostCheck:
    """The process that holds the state directory's lock; 0: its id can't be seen from here."""
    if pid is None and namespace_in_use:
        message = "another dockerv6 manages this network namespace, with another state directory"
        return warn(FindingId.SECOND_DAEMON, "daemon", message, "ss -xap | grep @dockerv6")
    if pid is None:
        return warn(
            FindingId.DAEMON_NOT_RUNNING, "daemon", "not running: changes are not applied", "systemctl start dockerv6"
        )
    return ok("daemon", f"running (process {pid})" if pid else "running")


def resources(directories: Sequence[str], count: int, errors: int) -> HostCheck:
    """The resources in the source directories."""
    name = "resources"
    if errors:
        message = f"{count} valid, {errors} {'error' if errors == 1 else 'errors'}"
        return fail(FindingId.RESOURCE_INVALID, name, message, f"dockerv6 validate {' '.join(directories)}")
    if not count:
        return warn(
            FindingId.NO_RESOURCE, name, f"none in {', '.join(directories)}", "write one; see docs/reference.md"
        )
    return ok(name, f"{count} in {', '.join(directories)}")


def git(program: str | None) -> HostCheck:
    """The git program, which Git sources need; None: there is none."""
    if program is None:
        return fail(
            FindingId.GIT_MISSING, "git", "the git program is not installed, and --git needs it", "apt-get install git"
        )
    return ok("git", program)


def problems(found: Sequence[str], warnings: Sequence[str] = ()) -> Iterator[HostCheck]:
    """Problems and warnings of the daemon that belong to no resource."""
    for message in found:
        yield fail(FindingId.DAEMON_PROBLEM, "problem", message)
    for message in warnings:
        yield warn(FindingId.DAEMON_WARNING, "warning", message)


def docker_ipv6nat(presence: IPv6NatPresence | None, containers: Collection[str]) -> HostCheck:
    """docker-ipv6nat, and how to migrate. ``containers``: names of running containers that may be it."""
    name = "docker-ipv6nat"
    suspects = f"; container {', '.join(sorted(containers))} may be it" if containers else ""
    if presence is None:
        if not containers:
            return ok(name, "not found")
        return warn(FindingId.FOREIGN_RULES, name, f"no rules found{suspects}", *_migration(restart=False))
    return warn(FindingId.FOREIGN_RULES, name, presence.summary + suspects, *_migration(restart=presence.engine_rules))


def _migration(*, restart: bool) -> tuple[str, ...]:
    return (_POLICY, _STOP, _CLEAN, *((_RESTART,) if restart else ()), _AGAIN)
