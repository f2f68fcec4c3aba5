"""What the engine's refusals mean: for each text, the cause and the remedy in the terms of a resource.

The texts are those of moby from 20.10 to 29: libnetwork (its bridge, macvlan and ipvlan drivers, its address management
and its iptables package), `daemon/network.go` and `daemon/container_operations.go`. Where no version is named, all of
them send the text. `api_errors` chooses the exception; what is not listed here is shown as the engine wrote it.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """A text of the engine and its meaning.

    Attributes:
        pattern: found anywhere in the text. Its groups can be used in ``cause`` and ``remedy``.
        reason: of the condition; a value of `api.conditions.Reason`.
        cause: what is wrong.
        remedy: what to do, with commands and fields that work when they are pasted.
    """

    pattern: re.Pattern[str]
    reason: str
    cause: str
    remedy: str


def _refusal(pattern: str, reason: str, cause: str, remedy: str) -> Refusal:
    return Refusal(re.compile(pattern, re.IGNORECASE), reason, cause, remedy)


RESTART_ENGINE = "systemctl restart docker"
CHAINS_MISSING = (
    "the engine's chains are gone (another program flushed the packet filter); it can make no network and publish no"
    " port until it is restarted"
)

CATALOGUE: tuple[Refusal, ...] = (
    # the packet filter
    _refusal(
        r"no chain/target/match by that name|chain '?DOCKER\S*'? does not exist|Couldn't load target `DOCKER",
        "EngineChainsMissing",
        CHAINS_MISSING,
        f"run `{RESTART_ENGINE}`",
    ),
    _refusal(
        r"another app is currently holding the xtables lock|resource temporarily unavailable.*iptables",
        "FirewallUnavailable",
        "another program holds the lock of iptables",
        "wait for it to end; `fuser -v /run/xtables.lock` names it",
    ),
    _refusal(
        r"iptables not found|exec: .?ip6?tables.?: executable file not found",
        "FirewallUnavailable",
        "the engine does not find iptables",
        f"install iptables on the host, then run `{RESTART_ENGINE}`",
    ),
    _refusal(
        r"can't initialize ip6?tables table|table does not exist \(do you need to insmod",
        "FirewallUnavailable",
        "the kernel lacks a table that the engine needs for its own rules",
        "run `modprobe ip_tables ip6_tables iptable_nat ip6table_nat`, or boot the kernel whose modules are installed",
    ),
    # addresses
    _refusal(
        r"non-overlapping IPv4 address pool|address pools have been fully subnetted",  # before 27; since 27
        "IPv4PoolsExhausted",
        "the engine has no free IPv4 subnet for another network: its address pools are used up, or routes of the host,"
        " such as a VPN's, cover them",
        "set spec.ipv4.subnet, such as 10.200.0.0/24; or add a pool to default-address-pools in /etc/docker/daemon.json"
        f" and run `{RESTART_ENGINE}`; or remove unused networks with `docker network prune`",
    ),
    _refusal(
        r"networks have overlapping (?P<family>IPv[46])|pool overlaps with other one|overlaps with existing pool",
        "SubnetOverlap",
        "another Docker network has the subnet or a part of it",
        "choose another addressing.subnet or spec.ipv4.subnet, or remove that network (`docker network ls`)",
    ),
    _refusal(
        r"address already in use.*gateway|failed to allocate gateway \(\S*\): address already in use",
        "AddressInUse",
        "the gateway's address is reserved or in use",
        "choose another addressing.gateway, or take the address out of addressing.reserved",
    ),
    _refusal(
        r"invalid bit range|requested range does not belong to the set",  # before 27.2, from /64 on
        "EngineTooOld",
        "this engine can't allocate addresses from a subnet or range that is so large",
        "choose a subnet and an addressing.ipRange of length 65 or longer, or upgrade to Docker Engine 28",
    ),
    _refusal(
        r"no available (IPv[46] )?address|could not find an available IP|no address returned",
        "SubnetExhausted",
        "the network has no free address",
        "remove a container, or give the network a larger subnet (IPv4: spec.ipv4.subnet) or addressing.ipRange",
    ),
    _refusal(
        r"bind: address already in use|failed to bind host port|port is already allocated|ports are not available"
        r"|all ports are allocated|failed to listen on \w+ socket",
        "PortTaken",
        "a process of the host or another container has a port that the container publishes",
        "stop it (`ss -lntup` lists the processes that listen), or publish another port",
    ),
    _refusal(
        r"cannot assign requested address",
        "AddressMissing",
        "the host does not have the address that the container's port is published on",
        "add the address to an interface of the host, or publish the port without an address",
    ),
    _refusal(
        r"address already (in use|allocated)|address is already",
        "AddressInUse",
        "another container has the address",
        "give one of the two another address (docker run --ip6, ipv6_address in a Compose file), or remove the other",
    ),
    _refusal(
        r"address is out of range|does not belong to any of this network's subnets"
        r"|no configured subnet or ip-range contain|no configured subnet contains|supported only when connecting to"
        r" networks? with user configured subnets",
        "AddressOutOfRange",
        "the container asks for a fixed address that is not in the network's subnet",
        "give it an address of the subnet (docker run --ip, --ip6; ipv4_address, ipv6_address in a Compose file), or"
        " set spec.ipv4.subnet so that the engine accepts a fixed IPv4 address",
    ),
    _refusal(
        r"conflicts with existing route (?P<route>\S+)",
        "SubnetOverlap",
        "the container has another route that covers this network",
        "detach it from its other network with the same range, or choose another subnet",
    ),
    _refusal(
        r"gateway ip must be part of the network|must belong to the master pool|no matching subnet",
        "InvalidSpec",
        "a gateway or a reserved address is outside the subnet",
        "correct addressing.gateway, spec.ipv4.gateway or addressing.reserved",
    ),
    # names
    _refusal(
        r"networks have same bridge name|existing interface \S+ is not a bridge",
        "NameConflict",
        "another network or interface of the host has the bridge's name",
        "choose another spec.bridge.name",
    ),
    _refusal(
        r"network with name (?P<name>\S+) already exists",
        "NameConflict",
        "another Docker network has the name {name}",
        "choose another networkName, or run `docker network rm {name}`",
    ),
    _refusal(
        r"endpoint with name (?P<name>\S+) already exists in network (?P<network>\S+)",
        "NameConflict",
        "the network still has an endpoint of that name, of a container that is gone",
        "run `docker network disconnect --force {network} {name}`",
    ),
    _refusal(
        r"is ambiguous",
        "NameConflict",
        "several Docker networks have that name",
        "remove the ones that are not needed by their ids (`docker network ls`, `docker network rm <id>`)",
    ),
    _refusal(
        r"invalid network (name|ID)|is not a valid network name|network name should not contain",
        "InvalidSpec",
        "the engine does not allow the network's name",
        "choose another networkName, of letters, digits, `_`, `.` and `-`",
    ),
    # containers
    _refusal(
        r"active endpoints|is in use by (task|container)|error while removing network",
        "EndpointsAttached",
        "containers are attached to the network",
        "detach or remove them; `docker network inspect` lists them",
    ),
    _refusal(
        r"sharing network namespace with another container or host cannot be connected",
        "MemberRefused",
        "the container has no network of its own: it shares that of the host or of another container",
        "attach the container whose network it shares",
    ),
    _refusal(
        r"cannot be connected to host network|not supported for the host network|connect.*\bhost network\b",
        "MemberRefused",
        "the container uses the host's network",
        "remove its `network_mode: host`",
    ),
    _refusal(
        r"is marked for removal",
        "Progressing",
        "the container is being removed",
        "nothing needs to be done",
    ),
    _refusal(
        r"is (not attachable|internal-only)|could not attach to network|not manually attachable",
        "MemberRefused",
        "the network does not take containers that are started by hand",
        "set spec.attachable: true",
    ),
    _refusal(
        r"exchange full",
        "SubnetExhausted",
        "the bridge is full: the kernel allows 1023 containers on one bridge",
        "put some of the containers on another network",
    ),
    _refusal(
        r"no such container|^endpoint \S+ not found",
        "NoEndpoint",
        "the container is gone",
        "nothing needs to be done",
    ),
    _refusal(
        r"^network .+ not found|no such network",
        "NetworkNotFound",
        "the Docker network is gone",
        "nothing needs to be done: it is created again, unless somebody else manages it",
    ),
    # the host
    _refusal(
        r"br_netfilter|bridge-nf-call-ip6?tables|without the userland proxy|restrict inter-container communication",
        "HostNotReady",
        "the kernel module br_netfilter is not loaded",
        "run `modprobe br_netfilter`, and add br_netfilter to /etc/modules-load.d/docker.conf",
    ),
    _refusal(
        r"IPv4 forwarding is disabled",  # 29, backend nftables
        "HostNotReady",
        "the host does not forward IPv4",
        "run `sysctl -w net.ipv4.ip_forward=1`, and keep it in /etc/sysctl.d",
    ),
    _refusal(
        r"IPv6 global forwarding is disabled",  # 29, backend nftables
        "HostNotReady",
        "the host does not forward IPv6",
        "run `sysctl -w net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.forwarding=1`, and keep it in"
        " /etc/sysctl.d",
    ),
    _refusal(
        r"cannot read IPv6 setup for bridge|enable IPv6 addresses on bridge|IPv6 is disabled"
        r"|failed to add IPv6 address|disable_ipv6",
        "HostNotReady",
        "IPv6 is disabled for the bridge or the container",
        "run `sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0`, and boot without"
        " ipv6.disable=1",
    ),
    _refusal(
        r"parent interface (does was|was) not found|already using parent interface|failed to create the \w+ port"
        r"|the (macvlan|ipvlan) parent|failed to create \S+ vlan link",
        "ParentNotReady",
        "the parent interface can't carry the network",
        "check that it exists, is up, and that no other macvlan or ipvlan network uses it (`ip -d link`)",
    ),
    _refusal(
        r"no space left on device",
        "HostNotReady",
        "the engine's disk is full",
        "free some space below /var/lib/docker, such as with `docker system prune`",
    ),
    _refusal(
        r"authorization denied by plugin (?P<plugin>\S+?):?(\s|$)",
        "EngineDenied",
        "the engine's authorization plugin {plugin} does not permit it",
        "permit dockerv6 to manage networks in the plugin's policy",
    ),
    # the request
    _refusal(
        r"unknown gateway mode|gateway mode '\w+'|failed to parse \S+ value|invalid MTU|unknown (ipvlan|macvlan) mode"
        r"|unsupported \S+ (ipvlan|macvlan) (mode|flag)|unsupported option|is not a valid bool",
        "InvalidSpec",
        "the driver does not accept an option",
        "correct spec.options",
    ),
    _refusal(
        r"could not (resolve|find) (driver|plugin)|plugin .+ not found|unable to find network driver",
        "InvalidSpec",
        "the engine does not have the driver",
        "correct spec.driver; `docker info` lists the network drivers",
    ),
    _refusal(
        r"client version \S+ is too (new|old)",
        "EngineTooOld",
        "the engine does not offer the API version",
        "use Docker Engine 20.10 or later",
    ),
    # last: what the texts above explain is the end of this one
    _refusal(
        r"driver failed programming external connectivity|external connectivity",
        "ApplyFailed",
        "the engine could not publish the container's ports",
        "see the engine's log: `journalctl --unit docker`",
    ),
    _refusal(
        r"failed to setup ip tables|iptables failed|Unable to (enable|disable) .* rule",
        "FirewallUnavailable",
        "the engine could not write its own rules",
        f"see the engine's log (`journalctl --unit docker`); `{RESTART_ENGINE}` writes them again",
    ),
)


def explain(message: str) -> tuple[str, str, str] | None:
    """The reason, the cause and the remedy for the engine's message; None: it is not in the catalogue."""
    for refusal in CATALOGUE:
        found = refusal.pattern.search(message)
        if found is not None:
            words = {name: value or "" for name, value in found.groupdict().items()}
            return refusal.reason, refusal.cause.format(**words), refusal.remedy.format(**words)
    return None
