"""Hypothesis strategies for resources.

Every document drawn is valid by construction. Draw documents where the text matters and resources where it does not.
"""

from collections.abc import Callable
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network
from typing import TypeVar

from hypothesis import strategies as st

from dockerv6.api.conditions import Condition, Conditions, ConditionType, Reason, Status, set_condition
from dockerv6.api.kinds import API_VERSION, NETWORK, POLICY, POOL
from dockerv6.api.network import DeletionPolicy, ManagementPolicy, UpdateStrategy
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.options import Driver
from dockerv6.api.policy import IPv6Policy
from dockerv6.api.pool import IPv6Pool
from dockerv6.api.scheme import Resource, decode
from dockerv6.lib.networking import EgressMode, TransportProtocol

Document = dict[str, object]
T = TypeVar("T")

names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,12}[a-z0-9])?", fullmatch=True).filter(
    lambda name: name not in {"host", "none", "default", "bridge"}
)
"""RFC 1123 labels that are valid names of Docker networks."""

interfaces = st.from_regex(r"[a-z][a-z0-9.\-_]{0,13}[a-z0-9]", fullmatch=True)
ports = st.integers(1, 65535)
flags = st.booleans()

_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
docker_labels = st.dictionaries(
    st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,2}", fullmatch=True).filter(lambda key: key != "dockerv6.io"),
    _text,
    max_size=3,
)
meta_labels = st.dictionaries(
    st.from_regex(r"([a-z]{1,8}\.[a-z]{1,8}/)?[A-Za-z0-9]{1,8}", fullmatch=True),
    st.from_regex(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?)?", fullmatch=True),
    max_size=2,
)


@st.composite
def subnets(draw: st.DrawFn, *, shortest: int = 8, longest: int = 126) -> IPv6Network:
    """Unicast prefixes: unique local, or in the documentation range where the length allows it."""
    length = draw(st.integers(shortest, longest))
    base, own = draw(st.sampled_from([(0xFD << 120, 8), *([(0x20010DB8 << 96, 32)] if length >= 32 else [])]))
    bits = draw(st.integers(0, (1 << (length - own)) - 1))
    return IPv6Network((base | bits << (128 - length), length))


addresses = subnets(shortest=126, longest=126).map(lambda subnet: subnet.network_address + 1)
"""Unicast addresses."""


def _mapping(**optional: st.SearchStrategy[object]) -> st.SearchStrategy[Document]:
    return st.fixed_dictionaries({}, optional=optional)


def _values(enum: type[StrEnum]) -> st.SearchStrategy[str]:
    return st.sampled_from([str(member) for member in enum])


_protocols = _values(TransportProtocol)
_prefix_texts = subnets().map(str)
_address_texts = addresses.map(str)
_addresses_or_prefixes = st.lists(_address_texts | _prefix_texts, max_size=2)
_container_names = st.from_regex(r"[a-z0-9][a-z0-9_.-]{1,8}", fullmatch=True)
_selectors = st.fixed_dictionaries({"name": _container_names}) | st.fixed_dictionaries(
    {"matchLabels": docker_labels.filter(bool)}
)


@st.composite
def fixed_addressing(draw: st.DrawFn) -> Document:
    """A fixed subnet, with or without a gateway and reserved addresses."""
    subnet = draw(subnets(shortest=32))
    document: Document = {"subnet": str(subnet)}

    def inside(low: int) -> IPv6Address:
        return subnet.network_address + draw(st.integers(low, min(subnet.num_addresses - 1, 1 << 64)))

    gateway = subnet.network_address + 1
    if draw(flags):
        gateway = inside(1)
        document["gateway"] = str(gateway)
    reserved = {inside(0) for _ in range(draw(st.integers(0, 3)))} - {gateway}
    if reserved:
        document["reserved"] = [str(address) for address in sorted(reserved)]
    return document


def _addressing() -> st.SearchStrategy[Document]:
    pooled = _mapping(poolRef=_mapping(name=names), prefixLength=st.integers(32, 126))
    return fixed_addressing() | pooled


@st.composite
def egress(draw: st.DrawFn, *, modes: tuple[EgressMode, ...] = tuple(EgressMode)) -> Document:
    """An egress block of one of these modes, with the fields that the mode requires."""
    mode = draw(st.sampled_from(modes))
    document: Document = {"mode": str(mode)}
    if mode is EgressMode.SNAT:
        document["snatAddress"] = draw(_address_texts)
    if mode is EgressMode.PREFIX_TRANSLATION:
        # Never longer than a subnet: see Egress.subnet_findings.
        fixed = st.fixed_dictionaries({"prefix": subnets(shortest=8, longest=8).map(str)})
        following = st.fixed_dictionaries({"prefixFrom": st.fixed_dictionaries({"interface": interfaces})})
        document |= draw(fixed | following)
    if mode is not EgressMode.NONE and draw(flags):
        document["interfaces"] = draw(st.lists(interfaces, max_size=2))
    if mode not in {EgressMode.NONE, EgressMode.ROUTED} and draw(flags):
        document["exclude"] = draw(_addresses_or_prefixes)
    return document


@st.composite
def _publish(draw: st.DrawFn) -> Document:
    document = draw(_mapping(fromContainers=flags, hostAddress=_address_texts | st.sampled_from(["::", "::1"])))
    numbers = draw(st.lists(ports, max_size=2, unique=True))
    if numbers:
        more = _mapping(
            protocol=_protocols, targetPort=ports, hostAddress=_address_texts, **{"from": _addresses_or_prefixes}
        )
        document["ports"] = [{"port": number, "containers": draw(_selectors), **draw(more)} for number in numbers]
    return document


_ingress = _mapping(
    containers=_selectors,
    ports=st.lists(st.fixed_dictionaries({"port": ports}, optional={"protocol": _protocols}), max_size=2),
    **{"from": _addresses_or_prefixes},
)
_firewall = _mapping(isolation=flags, ingress=st.lists(_ingress, max_size=2))


_NO_NDP: Document = {"enabled": False}


def _ndp(mode: object) -> st.SearchStrategy[Document]:
    off = st.just(_NO_NDP)
    if mode in {None, EgressMode.MASQUERADE, EgressMode.SNAT}:
        return off
    return off | _mapping(interface=interfaces).map(lambda block: {"enabled": True, **block})


_IPV4: tuple[Document, ...] = (
    {},
    {"enabled": True},
    {"enabled": False},
    {"subnet": "192.0.2.0/24"},
    {"enabled": True, "subnet": "198.51.100.0/25", "gateway": "198.51.100.1"},
)
_ipv4 = st.sampled_from(_IPV4)
_bridge = _mapping(name=interfaces, mtu=st.integers(1280, 65535), icc=flags)


def _mode(block: Document) -> object:
    return block.get("mode")


def _blocks(draw: st.DrawFn, spec: Document, modes: tuple[EgressMode, ...]) -> None:
    if draw(flags):
        spec["egress"] = draw(egress(modes=modes))
    if draw(flags):
        spec["publish"] = draw(_publish())
    if draw(flags):
        spec["firewall"] = draw(_firewall)
    if draw(flags):
        block = spec.get("egress", {})
        assert isinstance(block, dict)
        spec["ndpProxy"] = draw(_ndp(_mode(block)))


@st.composite
def _network_specs(draw: st.DrawFn, *, supported_only: bool) -> Document:
    spec = draw(_mapping(suspend=flags, networkName=names))
    observe = draw(st.booleans())
    if observe:
        spec["managementPolicy"] = str(ManagementPolicy.OBSERVE)
    else:
        created = _mapping(
            managementPolicy=st.just(str(ManagementPolicy.MANAGE)),
            deletionPolicy=_values(DeletionPolicy),
            updateStrategy=_values(UpdateStrategy),
            driver=st.just(str(Driver.BRIDGE)),
            options=st.just({"com.docker.network.bridge.enable_ip_masquerade": "false"}),
            labels=docker_labels,
            internal=flags,
            attachable=flags,
            addressing=_addressing(),
            ipv4=_ipv4,
            bridge=_bridge,
        )
        spec |= draw(created)
    modes = (EgressMode.NONE,) if spec.get("internal") else tuple(EgressMode)
    _blocks(draw, spec, modes)
    members = _mapping(matchLabels=docker_labels, allowLabel=flags, allowedComposeProjects=st.just(["blog", "shop"]))
    limited = members.filter(lambda m: m.get("matchLabels") or m.get("allowLabel", True) or len(m) == 1)
    spec |= draw(_mapping(members=limited))
    if not supported_only:
        spec |= draw(_mapping(hosts=_mapping(matchNames=st.lists(names, max_size=2))))
    return spec


@st.composite
def _pool_specs(draw: st.DrawFn) -> Document:
    source = draw(st.sampled_from(["", "prefix", "prefixes", "generate", "fromInterface"]))
    spec = draw(_mapping(cooldown=st.sampled_from(["0", "90s", "1h", "1h30m", "7d", "250ms"]), disabled=flags))
    least = 48
    if source == "prefix":
        prefix = draw(subnets(longest=125))
        least = prefix.prefixlen + 1  # the exclusion leaves a subnet
        spec["prefix"] = str(prefix)
        spec["exclude"] = [str(prefix.network_address)]
    elif source == "prefixes":
        prefix = draw(subnets(longest=125))
        least = prefix.prefixlen + 1
        spec["prefixes"] = [str(half) for half in prefix.subnets()]
    elif source == "generate":
        spec["generate"] = "ULA"
    elif source == "fromInterface":
        spec["fromInterface"] = {"name": draw(interfaces), "prefixLength": least, "offset": draw(st.integers(0, 9))}
    spec["allocationLength"] = draw(st.integers(max(least, 32), 126))
    return spec


@st.composite
def _policy_specs(draw: st.DrawFn) -> Document:
    selector = _mapping(
        matchLabels=docker_labels,
        names=st.lists(names, max_size=2),
        prefixes=st.lists(_prefix_texts | st.just("fc00::/7"), max_size=2),
        drivers=st.lists(_values(Driver), max_size=2),
    )
    spec = draw(_mapping(selector=selector))
    _blocks(draw, spec, tuple(EgressMode))
    return spec


@st.composite
def _documents(draw: st.DrawFn, kind: str, specs: st.SearchStrategy[Document]) -> Document:
    metadata: Document = {"name": draw(names)}
    if draw(flags):
        metadata |= draw(_mapping(labels=meta_labels, annotations=meta_labels))
    document: Document = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata}
    if draw(st.integers(0, 4)):
        document["spec"] = draw(specs)
    return document


def network_documents(*, supported_only: bool = False) -> st.SearchStrategy[Document]:
    """Documents of IPv6Networks; ``supported_only``: only fields that this version supports."""
    return _documents(NETWORK, _network_specs(supported_only=supported_only))


def pool_documents() -> st.SearchStrategy[Document]:
    """Documents of IPv6Pools."""
    return _documents(POOL, _pool_specs())


def policy_documents() -> st.SearchStrategy[Document]:
    """Documents of IPv6Policies."""
    return _documents(POLICY, _policy_specs())


def documents() -> st.SearchStrategy[Document]:
    """Documents of any kind."""
    return network_documents() | pool_documents() | policy_documents()


def _decoded(kind: type[T]) -> Callable[[Document], T]:
    def decoded(document: Document) -> T:
        resource = decode(document).resource
        assert isinstance(resource, kind)
        return resource

    return decoded


def networks(*, supported_only: bool = False) -> st.SearchStrategy[NetworkResource]:
    """IPv6Networks; ``supported_only``: only fields that this version supports."""
    return network_documents(supported_only=supported_only).map(_decoded(NetworkResource))


def pools() -> st.SearchStrategy[IPv6Pool]:
    """IPv6Pools."""
    return pool_documents().map(_decoded(IPv6Pool))


def policies() -> st.SearchStrategy[IPv6Policy]:
    """IPv6Policies."""
    return policy_documents().map(_decoded(IPv6Policy))


def resources() -> st.SearchStrategy[Resource]:
    """Resources of any kind."""
    return networks() | pools() | policies()


_STATUSES: tuple[Status, ...] = ("True", "False", "Unknown")


def conditions(types: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[Condition]:
    """Single valid conditions."""
    return st.builds(
        Condition,
        type=types if types is not None else st.sampled_from(list(ConditionType)),
        status=st.sampled_from(_STATUSES),
        reason=st.sampled_from(list(Reason)),
        message=st.sampled_from(["a message", "another message"]),
        last_transition_time=st.integers(0, 4_000_000_000).map(float),
        observed_generation=st.integers(0, 9),
    )


def condition_lists() -> st.SearchStrategy[Conditions]:
    """Conditions that were set one after another, without Stalled."""

    def collect(items: list[Condition]) -> Conditions:
        result: Conditions = ()
        for item in items:
            result = set_condition(result, item)
        return result

    drawn = st.sampled_from([name for name in ConditionType if name is not ConditionType.STALLED])
    return st.lists(conditions(drawn), max_size=8).map(collect)


__all__ = [
    "addresses",
    "condition_lists",
    "conditions",
    "documents",
    "egress",
    "fixed_addressing",
    "interfaces",
    "names",
    "network_documents",
    "networks",
    "policies",
    "policy_documents",
    "pool_documents",
    "pools",
    "ports",
    "resources",
    "subnets",
]
