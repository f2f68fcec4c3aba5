"""What the facts about a host mean for its owner. Pure: `doctor` finds the facts."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dockerv6.dockerd.model import EngineInfo
from dockerv6.firewall.detect import BackendChoice
from dockerv6.firewall.ipv6nat.presence import Ipv6NatPresence
from dockerv6.firewall.model import FilterVariant, HostFilterState
from dockerv6.hostnet.model import HostPrefix
from dockerv6.planning.addressing.prefix_candidates import candidates
from dockerv6.planning.host.interfaces import external_interfaces, guest_bridges, is_default_route
from dockerv6.planning.host.sysctls import FORWARDING, accept_ra, proxy_ndp
from dockerv6.planning.inputs import HostView

CAP_NET_ADMIN = 12
CAP_NET_RAW = 13
"""Numbers of capabilities (linux/capability.h)."""

_OLDEST_ENGINE = (20, 10)

_POLICY = "write an IPv6Policy with `selector: {prefixes: [fc00::/7]}` and have dockerv6 run"
_STOP = "stop docker-ipv6nat for good (docker rm -f ipv6nat, or systemctl disable --now docker-ipv6nat)"
_CLEAN = "dockerv6 cleanup docker-ipv6nat"
_RESTART = (
    "restart the engine, which writes its own IPv6 chains anew: docker-ipv6nat empties them whenever it starts "
    "(live-restore keeps containers running meanwhile)"
)
_AGAIN = "dockerv6 doctor; all of it is explained in docs/docker-ipv6nat.md"


class CheckStatus(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"  # works, or will; worth knowing
    FAIL = "fail"  # dockerv6 can't do its work


@dataclass(frozen=True, slots=True)
class HostCheck:
    """One finding of the doctor.

    Attributes:
        remedy: what to do, step by step; empty where there is nothing to do.
    """

    name: str
    status: CheckStatus
    message: str
    remedy: tuple[str, ...] = ()


def privileges(capabilities: int) -> HostCheck:
    """Of this process, as in CapEff of /proc/self/status (proc(5))."""
    wanted = {"CAP_NET_ADMIN": CAP_NET_ADMIN, "CAP_NET_RAW": CAP_NET_RAW}
    missing = [name for name, number in wanted.items() if not capabilities >> number & 1]
    if not missing:
        return HostCheck("privileges", CheckStatus.OK, "CAP_NET_ADMIN and CAP_NET_RAW")
    return HostCheck(
        "privileges",
        CheckStatus.FAIL,
        f"{' and '.join(missing)} missing: neither rules nor sysctls can be changed, and much can't be seen",
        ("run as root, or give the capabilities (docker run --cap-add NET_ADMIN --cap-add NET_RAW)",),
    )


def nf_tables(generation: int | None, missing: Sequence[HostCheck], *, needed: bool) -> HostCheck:
    """Whether the kernel has it, or why not (`missing`); it is only `needed` where no other backend works."""
    if generation is not None:
        return HostCheck("nf_tables", CheckStatus.OK, f"in the kernel, ruleset generation {generation}")
    why = missing[0].message if missing else "not in the kernel"
    return HostCheck("nf_tables", CheckStatus.FAIL if needed else CheckStatus.WARN, why)


def backend(choice: BackendChoice) -> HostCheck:
    """Which firewall backend a run takes, why, and what can't be done with it; its warnings are checks of their own."""
    return HostCheck("firewall backend", CheckStatus.OK, "; ".join((f"{choice.backend}: {choice.why}", *choice.limits)))


def engine(info: EngineInfo) -> HostCheck:
    """The engine's age."""
    known = info.release >= _OLDEST_ENGINE or info.release == (0, 0)
    said = f"{info.version} on {info.name}, API {info.api_version}"
    if known:
        return HostCheck("engine", CheckStatus.OK, said)
    return HostCheck("engine", CheckStatus.FAIL, said, ("dockerv6 needs Docker Engine 20.10 or newer",))


def engine_rules(
    found: Collection[FilterVariant], presence: Ipv6NatPresence | None, info: EngineInfo | None
) -> Iterator[HostCheck]:
    """Whether the engine makes IPv6 rules of its own, and where. `found`: what holds chains of its names."""
    name = "engine's IPv6 rules"
    foreign = {each.variant for each in presence.rules if not each.engine_rules} if presence is not None else set()
    variants = [variant for variant in FilterVariant if variant in found and variant not in foreign]
    xtables = [variant for variant in variants if variant is not FilterVariant.NFTABLES]
    if len(xtables) > 1:
        yield HostCheck(
            name,
            CheckStatus.WARN,
            f"in {' and in '.join(xtables)}: packets pass both, and the engine keeps up one only",
            (
                "one of them is left from before iptables' variant was switched (ip6tables-nft-save, -legacy-save)",
                "restart the host to be rid of it",
            ),
        )
    elif variants:
        yield HostCheck(
            name, CheckStatus.OK, f"on, in {' and '.join(variants)}; dockerv6's come first and need none of them"
        )
    else:
        yield HostCheck(name, CheckStatus.OK, "off; dockerv6 needs none of them")
    if info is not None and info.firewall_backend == "nftables":
        yield HostCheck(
            name,
            CheckStatus.WARN,
            "the engine's firewall backend is nftables, which dockerv6 has never met alive: see `host filter`",
        )


def userland_proxy(*, in_use: bool | None) -> HostCheck:
    """Nothing of ours depends on it but the host's [::1] with the iptables backend, which says so."""
    said = {
        True: "on: it is only reached where dockerv6's rules don't translate, so clients' addresses are kept",
        False: "off: nothing is missing, the rules of dockerv6 hold for the host's own connections too",
        None: "not to be told: the engine has made no IPv4 rules here",
    }
    return HostCheck("userland proxy", CheckStatus.OK, said[in_use])


def bridge_netfilter(host: HostView) -> HostCheck:
    """Whether ip6tables and nftables see what is bridged."""
    if host.bridge_netfilter is None:
        return HostCheck(
            "bridge netfilter",
            CheckStatus.WARN,
            "br_netfilter is not loaded: `bridge.icc: false` keeps no containers of a network apart",
            ("modprobe br_netfilter (and a line in /etc/modules-load.d/), where a network needs that",),
        )
    if host.bridge_netfilter:
        return HostCheck("bridge netfilter", CheckStatus.OK, "bridge-nf-call-ip6tables is 1")
    return HostCheck(
        "bridge netfilter", CheckStatus.OK, "bridge-nf-call-ip6tables is 0; bridges that need it have it of their own"
    )


def forwarding(host: HostView) -> HostCheck:
    """IPv6 forwarding."""
    if host.forwarding is None:
        return HostCheck("forwarding", CheckStatus.FAIL, "the kernel has no IPv6", ("boot without ipv6.disable=1",))
    if host.forwarding == "1":
        return HostCheck("forwarding", CheckStatus.OK, f"{FORWARDING} is 1")
    return HostCheck(
        "forwarding",
        CheckStatus.WARN,
        f"{FORWARDING} is {host.forwarding}: containers reach nothing; the daemon turns it on for its first network",
    )


def router_advertisements(host: HostView) -> HostCheck:
    """Uplinks that would be deaf to their router."""
    if not host.accept_ra:
        return HostCheck("router advertisements", CheckStatus.OK, "no uplink loses its routes by forwarding")
    commands = " ".join(f"{accept_ra(uplink)}=2" for uplink in host.accept_ra)
    lost = "have lost" if host.forwarding == "1" else "would lose"
    return HostCheck(
        "router advertisements",
        CheckStatus.WARN,
        f"{', '.join(host.accept_ra)} {lost} the routes from the router, since the host forwards: accept_ra is 1",
        (f"the daemon sets it to 2; to keep it over a restart: sysctl -w {commands}, and the same in /etc/sysctl.d",),
    )


def uplink(host: HostView) -> HostCheck:
    """The host's own way out."""
    names = sorted({r.interface for r in host.routes if r.destination.prefixlen == 0 and r.interface})
    if not names:
        return HostCheck(
            "uplink",
            CheckStatus.WARN,
            "no default route: containers reach no more than the host does",
            ("ip -6 route",),
        )
    addresses = [
        a for n in names if n in host.interfaces for a in host.interfaces[n].addresses if not a.ip.is_link_local
    ]
    if not addresses:
        return HostCheck(
            "uplink",
            CheckStatus.WARN,
            f"{', '.join(names)} has no global address: NAT66 has none to give to packets",
            (f"ip -6 address show dev {names[0]}",),
        )
    return HostCheck(
        "uplink", CheckStatus.OK, f"default route by {', '.join(names)} ({', '.join(str(a.ip) for a in addresses)})"
    )


def prefixes(host: HostView, told: Collection[HostPrefix]) -> HostCheck:
    """What `fromInterface` and `prefixFrom` would take, by interface."""
    name = "prefixes"
    best = ((interface, candidates(interface, told, host.routes)[:1]) for interface in external_interfaces(host))
    found = [
        f"{interface} has {each.prefix} ({'on-link' if each.on_link else 'delegated'})"
        for interface, one in best
        for each in one
    ]
    if found:
        return HostCheck(name, CheckStatus.OK, "; ".join(found))
    return HostCheck(
        name,
        CheckStatus.WARN,
        "no interface has a global prefix: containers get unique local addresses, and NAT66",
        ("see the provider's router advertisements or DHCPv6 client: ip -6 address; ip -6 route",),
    )


def proxy_neighbours(host: HostView) -> HostCheck:
    """Whom the kernel answers neighbour solicitations for; entries without `proxy_ndp` do nothing."""
    name = "proxy neighbours"
    counts = Counter(p.interface for p in host.proxies)
    deaf = sorted(i for i in counts if host.proxy_ndp.get(i) == "0")
    if deaf:
        commands = " ".join(f"{proxy_ndp(interface)}=1" for interface in deaf)
        said = f"entries on {', '.join(deaf)} have no effect: proxy_ndp is 0"
        return HostCheck(
            name, CheckStatus.WARN, said, (f"the daemon sets it while a resource asks for it: sysctl -w {commands}",)
        )
    ours = sum(p.ours for p in host.proxies)
    shown = ", ".join(f"{count} on {interface}" for interface, count in sorted(counts.items()))
    return HostCheck(name, CheckStatus.OK, f"{shown}; {ours} of them dockerv6's" if counts else "none")


def uplink_mtu(host: HostView) -> HostCheck:
    """Bridges that take larger packets than the way out."""
    name = "uplink MTU"
    ways = {r.interface for r in host.routes if is_default_route(r)}
    known = [i for i in host.interfaces.values() if i.name in ways and i.mtu > 0]
    if not known:
        return HostCheck(name, CheckStatus.OK, "no way out to compare with")
    least = min(known, key=lambda i: (i.mtu, i.name))
    wide = [n for n in guest_bridges(host) if host.interfaces[n].mtu > least.mtu]
    if not wide:
        return HostCheck(name, CheckStatus.OK, f"{least.name} has {least.mtu}, no bridge has more")
    return HostCheck(
        name,
        CheckStatus.WARN,
        f"{least.name} has {least.mtu}, less than {', '.join(wide)}: large packets are sent twice, or lost where ICMPv6"
        " is filtered",
        (f"set spec.bridge.mtu: {least.mtu} (docker network create --opt com.docker.network.driver.mtu={least.mtu})",),
    )


def host_filter(state: HostFilterState) -> Iterator[HostCheck]:
    """The host's own filter: where it drops, and whether we may pass."""
    name = "host filter"
    for barrier in state.forward_drops:
        where = f"{barrier.table} {barrier.chain} ({barrier.variant})"
        if barrier.has_accept_rule:
            yield HostCheck(
                name, CheckStatus.OK, f"{where}: dockerv6's flows are accepted where everything else is dropped"
            )
        elif barrier.repairable:
            said = f"{where} drops forwarded packets; the daemon adds its accept rule once a network needs it"
            yield HostCheck(name, CheckStatus.WARN, said)
        else:
            yield HostCheck(
                name, CheckStatus.FAIL, f"{where} drops forwarded packets, also those that we allow", (barrier.remedy,)
            )
    if not state.forward_drops:
        yield HostCheck(name, CheckStatus.OK, "nothing drops forwarded packets")


def daemon(pid: int | None) -> HostCheck:
    """The process that holds the state directory's lock."""
    if pid is None:
        return HostCheck(
            "daemon", CheckStatus.WARN, "not running: what changes is not followed", ("systemctl start dockerv6",)
        )
    return HostCheck("daemon", CheckStatus.OK, f"running (process {pid})" if pid else "running")


def resources(directories: Sequence[str], count: int, flaws: int) -> HostCheck:
    """What people wrote."""
    if flaws:
        found = "1 flaw" if flaws == 1 else f"{flaws} flaws"
        return HostCheck(
            "resources", CheckStatus.FAIL, f"{count} valid, {found}", (f"dockerv6 validate {' '.join(directories)}",)
        )
    if not count:
        return HostCheck(
            "resources", CheckStatus.WARN, f"none in {', '.join(directories)}", ("write one; see docs/reference.md",)
        )
    return HostCheck("resources", CheckStatus.OK, f"{count} in {', '.join(directories)}")


def docker_ipv6nat(presence: Ipv6NatPresence | None, containers: Collection[str]) -> HostCheck:
    """docker-ipv6nat. `containers`: names of running ones that may be it, which says nothing certain."""
    name = "docker-ipv6nat"
    suspects = f"; container {', '.join(sorted(containers))} may be it" if containers else ""
    if presence is None:
        if not containers:
            return HostCheck(name, CheckStatus.OK, "no trace of it")
        return HostCheck(name, CheckStatus.WARN, f"no trace of it in the rules{suspects}", _way_over(restart=False))
    return HostCheck(name, CheckStatus.WARN, presence.summary + suspects, _way_over(restart=presence.engine_rules))


def _way_over(*, restart: bool) -> tuple[str, ...]:
    return (_POLICY, _STOP, _CLEAN, *((_RESTART,) if restart else ()), _AGAIN)
