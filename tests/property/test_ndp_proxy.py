"""For all containers and proxied subnets, one round of steps converges and removes no entry that is needed."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from dockerv6.dockerd.model import Container, ContainerEndpoint
from dockerv6.hostnet.model import Interface, ProxyNeighbour
from dockerv6.planning.firewall.contributions import ProxiedSubnet
from dockerv6.planning.host.ndp_proxy import (
    ndp_proxy_steps,
    proxying_interfaces,
    required_entries,
    unclaimed_proxy_entries,
)
from dockerv6.planning.host.sysctls import proxy_ndp
from dockerv6.planning.inputs import HostView
from dockerv6.planning.steps import AddProxyNeighbour, RemoveProxyNeighbour, SetSysctl, Step
from tests.unit.planning.scene import route, running

LINKS = [IPv6Network("2001:db8:1::/64"), IPv6Network("2001:db8:2::/64")]
SUBNETS = [IPv6Network("fd00:1::/64"), *(n for link in LINKS for n in (link, *islice(link.subnets(16), 5, 7)))]
names = st.sampled_from(["eth0", "eth1", "eth2"])
suffixes = st.integers(1, 6)
addresses = st.builds(lambda prefix, suffix: prefix[suffix], st.sampled_from(SUBNETS), suffixes)


@st.composite
def proxied_subnets(draw: st.DrawFn) -> ProxiedSubnet:
    subnet = draw(st.sampled_from(SUBNETS))
    external = draw(st.lists(st.sampled_from(LINKS), unique=True, max_size=2)) if subnet.prefixlen == 64 else []
    return ProxiedSubnet(draw(st.sampled_from("abc")), subnet, draw(st.none() | names), tuple(external))


@st.composite
def hosts(draw: st.DrawFn) -> HostView:
    interfaces = {}
    for index, name in enumerate(sorted(draw(st.sets(names))), 2):
        addresses_ = draw(st.lists(st.builds(lambda n, i: IPv6Interface((n[i], 64)), st.sampled_from(LINKS), suffixes)))
        failed = frozenset(a.ip for a in addresses_ if draw(st.booleans()))
        interfaces[name] = Interface(
            index,
            name,
            "",
            up=draw(st.booleans()),
            mtu=1500,
            addresses=tuple(addresses_),
            tentative=failed,
            dad_failed=failed,
        )
    proxies = draw(st.frozensets(st.builds(ProxyNeighbour, names, addresses, st.booleans()), max_size=8))
    unique = {(p.interface, p.address): p for p in proxies}  # the kernel has one entry of an address
    return HostView(
        interfaces=interfaces,
        routes=(route("::/0", draw(names)),),
        proxies=frozenset(unique.values()),
        proxy_ndp={name: draw(st.sampled_from("01")) for name in interfaces},
    )


containers = st.lists(
    st.builds(lambda a: running(f"c{a}", ContainerEndpoint("n", "n", a)), addresses),
    max_size=6,
    unique_by=lambda c: c.id,
)


def applied(host: HostView, steps: tuple[Step, ...]) -> HostView:
    proxies = {(p.interface, p.address): p for p in host.proxies}
    switches = dict(host.proxy_ndp)
    for step in steps:
        match step:
            case SetSysctl(name, value, prior):
                (interface,) = (n for n in switches if proxy_ndp(n) == name)
                assert switches[interface] == prior
                switches[interface] = value
            case AddProxyNeighbour(interface, address):
                assert (interface, address) not in proxies
                assert host.interfaces[interface].up
                assert switches[interface] == "1"
                proxies[interface, address] = ProxyNeighbour(interface, address, ours=True)
            case RemoveProxyNeighbour(interface, address):
                assert proxies.pop((interface, address)).ours
            case _:
                raise AssertionError(step)
    return replace(host, proxies=frozenset(proxies.values()), proxy_ndp=switches)


@given(st.lists(proxied_subnets(), max_size=3), containers, hosts())
def test_one_round_of_steps_converges_and_keeps_foreign_entries(
    proxied: list[ProxiedSubnet], containers_: list[Container], host: HostView
) -> None:
    owners = sorted({a.owner for a in proxied})

    def plan(owner: str, view: HostView) -> tuple[Step, ...]:
        return ndp_proxy_steps([a for a in proxied if a.owner == owner], proxied, containers_, view)

    after = host
    for owner in owners:
        after = applied(after, plan(owner, after))
    unclaimed = unclaimed_proxy_entries(after, proxied)
    after = applied(after, unclaimed)
    assert {p for p in host.proxies if not p.ours} == {p for p in after.proxies if not p.ours}
    assert [plan(owner, after) for owner in owners] == [()] * len(owners)
    assert unclaimed_proxy_entries(after, proxied) == ()
    present = {(p.interface, p.address) for p in after.proxies}
    needed = required_entries(proxied, containers_, host)
    assert needed <= present
    assert {name for name, _ in needed} <= proxying_interfaces(proxied, after)
    assert {p.interface for p in after.proxies if p.ours} <= proxying_interfaces(proxied, after)


@given(st.lists(proxied_subnets(), max_size=3), containers, hosts())
def test_the_order_of_inputs_does_not_matter(
    proxied: list[ProxiedSubnet], containers_: list[Container], host: HostView
) -> None:
    steps = ndp_proxy_steps(proxied, proxied, containers_, host)
    assert steps == ndp_proxy_steps(proxied[::-1], proxied[::-1], containers_[::-1], host)


@given(st.lists(proxied_subnets(), max_size=3), containers, hosts())
def test_running_containers_keep_their_entries(
    proxied: list[ProxiedSubnet], containers_: list[Container], host: HostView
) -> None:
    """Not even while an interface is away, except for duplicate addresses."""
    host_addresses = {a.ip for i in host.interfaces.values() for a in i.addresses}
    running_now = {e.ipv6 for c in containers_ for e in c.endpoints} - host_addresses
    proxied_addresses: set[IPv6Address] = {p.address for p in host.proxies} & {
        a
        for a in running_now
        if a is not None and any(not each.external_prefixes and a in each.subnet for each in proxied)
    }
    after = applied(host, ndp_proxy_steps(proxied, proxied, containers_, host))
    assert proxied_addresses <= {p.address for p in after.proxies}
