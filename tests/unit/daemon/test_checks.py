"""Results of the checks for given facts, without a host."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

import pytest

from dockerv6.daemon import checks
from dockerv6.daemon.doctor import suspects
from dockerv6.daemon.findings import CheckStatus, FindingId, HostCheck
from dockerv6.dockerd.model import EngineInfo
from dockerv6.firewall.detect import BackendChoice
from dockerv6.firewall.ipv6nat.presence import IPv6NatPresence
from dockerv6.firewall.ipv6nat.rules import IPv6NatRules
from dockerv6.firewall.model import FilterVariant, FlowProblem, ForwardDrop, HostFilterState
from dockerv6.hostnet.model import (
    HostPrefix,
    Interface,
    PrefixOrigin,
    ProxyNeighbour,
    Route,
    RouteProtocol,
    RoutingRule,
)
from dockerv6.planning.inputs import HostView
from tests.unit.planning.scene import bridge, foreign, host, route

ENGINE = EngineInfo("host", "28.5.0", (28, 5), "1.51")
NFT, LEGACY = FilterVariant.XTABLES_NFT, FilterVariant.XTABLES_LEGACY
LEFT = IPv6NatRules(NFT, (), (), ("br-a",), engine_rules=False)
DEFAULT = Route(IPv6Network("::/0"), "eth0", RouteProtocol.STATIC, 254)
UPLINK = Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8::2/64"),))


def test_privileges_need_both_capabilities() -> None:
    both = 1 << checks.CAP_NET_ADMIN | 1 << checks.CAP_NET_RAW
    assert checks.privileges(both).status is CheckStatus.OK
    missing = checks.privileges(1 << checks.CAP_NET_ADMIN)
    assert (missing.status, missing.message.partition(" ")[0]) == (CheckStatus.FAIL, "CAP_NET_RAW")


def test_missing_nf_tables_matter_only_without_another_backend() -> None:
    why = [HostCheck("nf_tables", CheckStatus.FAIL, "not there: modprobe")]
    assert checks.nf_tables(7, (), needed=True).status is CheckStatus.OK
    assert checks.nf_tables(None, why, needed=True) == replace(why[0], id=FindingId.FIREWALL_UNAVAILABLE)
    assert checks.nf_tables(None, why, needed=False).status is CheckStatus.WARN


def test_the_backend_is_shown_with_its_reason_and_its_limits() -> None:
    found = checks.backend(BackendChoice("iptables", "as configured", ("no [::1]",), ("shown in another check",)))
    assert (found.status, found.message) == (CheckStatus.OK, "iptables: as configured; no [::1]")


def test_old_engines_fail() -> None:
    assert checks.engine(ENGINE).status is CheckStatus.OK
    assert checks.engine(replace(ENGINE, release=(19, 3))).status is CheckStatus.FAIL
    assert checks.engine(replace(ENGINE, release=(0, 0))).status is CheckStatus.OK


def test_podman_and_rootless_engines_fail_and_a_swarm_is_a_warning() -> None:
    assert checks.engine(replace(ENGINE, podman=True)).status is CheckStatus.FAIL
    assert checks.engine(replace(ENGINE, rootless=True)).status is CheckStatus.FAIL
    assert list(checks.swarm(ENGINE)) == []
    (found,) = checks.swarm(replace(ENGINE, swarm=True))
    assert found.status is CheckStatus.WARN
    assert "mode: host" in found.remedy[0]


def engine_rules(
    *found: FilterVariant, presence: IPv6NatPresence | None = None, info: EngineInfo = ENGINE
) -> list[HostCheck]:
    return list(checks.engine_rules(found, presence, info))


def test_the_variant_of_the_engines_rules_is_shown() -> None:
    assert engine_rules()[0].message.startswith("off")
    assert "in iptables-nft" in engine_rules(NFT)[0].message


def test_chains_in_both_variants_are_a_warning() -> None:
    assert [check.status for check in engine_rules(NFT, LEGACY)] == [CheckStatus.WARN]


def test_chains_of_docker_ipv6nat_are_not_the_engines() -> None:
    presence = IPv6NatPresence((replace(LEFT, variant=LEGACY),))
    assert [check.status for check in engine_rules(NFT, LEGACY, presence=presence)] == [CheckStatus.OK]
    with_engine_rules = IPv6NatPresence((replace(LEFT, variant=LEGACY, engine_rules=True),))
    assert [check.status for check in engine_rules(NFT, LEGACY, presence=with_engine_rules)] == [CheckStatus.WARN]


def test_missing_chains_of_the_engine_fail() -> None:
    assert checks.engine_chains("").status is CheckStatus.OK
    assert checks.engine_chains("gone; run `systemctl restart docker`").status is CheckStatus.FAIL


def test_a_route_that_takes_packets_of_a_docker_network_fails() -> None:
    blog = foreign("blog", "fd12:3456:789a:1::/64")
    taker = route("fd12:3456:789a:1::/80", "wg0")
    (found,) = checks.routes(host(bridge(blog), routes=(taker,)), (blog,))
    assert found.status is CheckStatus.FAIL
    assert "fd12:3456:789a:1::/80 on wg0" in found.message
    by_rule = host(
        bridge(blog), routes=(replace(taker, table=52),), rules=(RoutingRule(1, 52, None, frozenset({"iif"})),)
    )
    (found,) = checks.routes(by_rule, (blog,))
    assert found.status is CheckStatus.WARN
    (found,) = checks.routes(host(bridge(blog)), (blog,))
    assert found.status is CheckStatus.OK


def test_an_engine_with_nftables_is_a_warning() -> None:
    found = engine_rules(info=replace(ENGINE, firewall_backend="nftables"))
    assert [check.status for check in found] == [CheckStatus.OK, CheckStatus.WARN]


@pytest.mark.parametrize(
    ("engine", "drops", "installed", "statuses"),
    [
        ({NFT}, (), False, []),
        (set(), (ForwardDrop(NFT, "filter", "FORWARD", has_accept_rule=False),), False, []),
        ({LEGACY}, (), True, [CheckStatus.OK]),
        ({NFT, LEGACY}, (), False, [CheckStatus.WARN]),
        (set(), (ForwardDrop(LEGACY, "filter", "FORWARD", has_accept_rule=True),), False, [CheckStatus.WARN]),
        (set(), (ForwardDrop(LEGACY, "filter", "FORWARD", has_accept_rule=False),), False, [CheckStatus.FAIL]),
        ({LEGACY}, (ForwardDrop(LEGACY, "filter", "DOCKER-USER", has_accept_rule=False),), False, [CheckStatus.FAIL]),
    ],
)
def test_python_iptables_is_missed_only_where_legacy_tables_are_in_use(
    engine: set[FilterVariant],
    drops: tuple[ForwardDrop, ...],
    installed: bool,  # noqa: FBT001
    statuses: list[CheckStatus],
) -> None:
    found = list(checks.legacy_tables(engine, HostFilterState(drops), installed=installed))
    assert [each.status for each in found] == statuses
    assert all(bool(each.remedy) is not installed for each in found)


@pytest.mark.parametrize("proxy", [True, False, None])
def test_the_userland_proxy_may_be_on_or_off(proxy: bool | None) -> None:  # noqa: FBT001
    assert checks.userland_proxy(in_use=proxy).status is CheckStatus.OK


@pytest.mark.parametrize(
    ("forwarding", "status"), [("1", CheckStatus.OK), ("0", CheckStatus.WARN), (None, CheckStatus.FAIL)], ids=str
)
def test_forwarding_is_checked(forwarding: str | None, status: CheckStatus) -> None:
    assert checks.forwarding(HostView(forwarding=forwarding)).status is status


@pytest.mark.parametrize(
    ("loaded", "status"), [(True, CheckStatus.OK), (False, CheckStatus.OK), (None, CheckStatus.WARN)], ids=str
)
def test_bridge_netfilter_is_checked(loaded: bool | None, status: CheckStatus) -> None:  # noqa: FBT001
    assert checks.bridge_netfilter(HostView(bridge_netfilter=loaded)).status is status


def test_uplinks_that_go_deaf_are_named_with_the_sysctl() -> None:
    assert checks.router_advertisements(HostView()).status is CheckStatus.OK
    found = checks.router_advertisements(HostView(accept_ra={"eth0.100": "1"}))
    assert found.status is CheckStatus.WARN
    assert "net/ipv6/conf/eth0.100/accept_ra=2" in found.remedy[0]


def test_a_remedy_quotes_the_name_of_an_interface_for_the_shell() -> None:
    found = checks.router_advertisements(HostView(accept_ra={"a;reboot": "1"}))
    assert "sysctl -w 'net/ipv6/conf/a;reboot/accept_ra=2'," in found.remedy[0]


def test_an_uplink_needs_a_route_and_an_address() -> None:
    assert checks.uplink(HostView()).status is CheckStatus.WARN
    bare = replace(UPLINK, addresses=(IPv6Interface("fe80::1/64"),))
    assert checks.uplink(HostView(routes=(DEFAULT,), interfaces={"eth0": bare})).status is CheckStatus.WARN
    found = checks.uplink(HostView(routes=(DEFAULT,), interfaces={"eth0": UPLINK}))
    assert (found.status, found.message) == (CheckStatus.OK, "default route by eth0 (2001:db8::2)")


def test_forward_drops_are_shown_with_their_remedy() -> None:
    admitted = ForwardDrop(NFT, "filter", "DOCKER-USER", has_accept_rule=True)
    shut = replace(admitted, has_accept_rule=False)
    dropped = FlowProblem("blog", "web is dropped by x", certain=True, commands=("nft a", "nft b"), keeping="keep it")
    unclear = FlowProblem("blog", "who knows", certain=False)
    found = list(checks.host_filter(HostFilterState((admitted, shut)), (dropped, unclear)))
    statuses = [CheckStatus.OK, CheckStatus.WARN, CheckStatus.FAIL, CheckStatus.WARN]
    assert [check.status for check in found] == statuses
    assert (found[2].message, found[2].remedy) == ("blog: web is dropped by x", ("nft a", "nft b", "keep it"))
    assert [check.status for check in checks.host_filter(HostFilterState(), ())] == [CheckStatus.OK]


@pytest.mark.parametrize(("pid", "start"), [(None, "not running"), (0, "running"), (7, "running (process 7)")], ids=str)
def test_the_state_of_the_daemon_is_shown(pid: int | None, start: str) -> None:
    assert checks.daemon(pid).message.startswith(start)


def test_a_daemon_with_another_state_directory_is_reported() -> None:
    found = checks.daemon(None, namespace_in_use=True)
    assert (found.status, found.remedy) == (CheckStatus.WARN, ("ss -xap | grep @dockerv6",))
    assert "another state directory" in found.message
    assert checks.daemon(7, namespace_in_use=True).status is CheckStatus.OK


def test_resources_with_problems_fail() -> None:
    assert checks.resources(("/a", "/b"), 3, 0).message == "3 in /a, /b"
    assert checks.resources(("/a",), 0, 0).status is CheckStatus.WARN
    flawed = checks.resources(("/a", "/b"), 1, 2)
    assert (flawed.status, flawed.remedy) == (CheckStatus.FAIL, ("dockerv6 validate /a /b",))


def test_docker_ipv6nat_is_shown_with_the_migration() -> None:
    assert checks.docker_ipv6nat(None, ()).status is CheckStatus.OK
    left = checks.docker_ipv6nat(IPv6NatPresence((LEFT,)), ())
    assert left.status is CheckStatus.WARN
    assert "doctor" not in left.message
    assert [step for step in left.remedy if "cleanup docker-ipv6nat" in step]
    assert not [step for step in left.remedy if step.startswith("restart the engine")]


def test_beside_an_engines_own_rules_the_engine_is_to_be_restarted() -> None:
    left = checks.docker_ipv6nat(IPv6NatPresence((replace(LEFT, engine_rules=True),)), ())
    assert [step for step in left.remedy if step.startswith("restart the engine")]


def test_a_containers_name_is_a_hint_only() -> None:
    found = checks.docker_ipv6nat(None, ("ipv6nat",))
    assert (found.status, found.message) == (
        CheckStatus.WARN,
        "no rules found; container ipv6nat may be it",
    )


def test_prefixes_are_shown_as_they_would_be_followed() -> None:
    host = HostView(routes=(DEFAULT,), interfaces={"eth0": UPLINK})
    assert checks.prefixes(host, ()).status is CheckStatus.WARN
    link = HostPrefix(IPv6Network("2001:db8::/64"), PrefixOrigin.ADDRESS, "eth0", address=IPv6Address("2001:db8::2"))
    assert checks.prefixes(host, (link,)).message == "eth0 has 2001:db8::/64 (on-link)"
    delegated = HostPrefix(IPv6Network("2001:db8:100::/56"), PrefixOrigin.DELEGATION, "", by_dhcp=True)
    found = checks.prefixes(host, (link, delegated))
    assert (found.status, found.message) == (CheckStatus.OK, "eth0 has 2001:db8:100::/56 (delegated)")


def test_proxy_neighbours_are_counted_and_deaf_interfaces_named() -> None:
    assert checks.proxy_neighbours(HostView()).message == "none"
    two = frozenset(
        {
            ProxyNeighbour("eth0", IPv6Address("2001:db8::5"), ours=True),
            ProxyNeighbour("eth0", IPv6Address("2001:db8::6")),
        }
    )
    found = checks.proxy_neighbours(HostView(proxies=two, proxy_ndp={"eth0": "1"}))
    assert (found.status, found.message) == (CheckStatus.OK, "2 on eth0; 1 of them dockerv6's")
    deaf = checks.proxy_neighbours(HostView(proxies=two, proxy_ndp={"eth0": "0"}))
    assert deaf.status is CheckStatus.WARN
    assert "net/ipv6/conf/eth0/proxy_ndp=1" in deaf.remedy[0]


def test_bridges_that_are_wider_than_the_way_out_are_named_with_the_remedy() -> None:
    bridge = Interface(9, "v6-blog", "bridge", up=True, mtu=1500)
    assert checks.uplink_mtu(HostView()).status is CheckStatus.OK
    fine = HostView(routes=(DEFAULT,), interfaces={"eth0": UPLINK, "v6-blog": bridge})
    assert checks.uplink_mtu(fine).status is CheckStatus.OK
    narrow = HostView(routes=(DEFAULT,), interfaces={"eth0": replace(UPLINK, mtu=1420), "v6-blog": bridge})
    found = checks.uplink_mtu(narrow)
    assert (found.status, "v6-blog" in found.message, "spec.bridge.mtu: 1420" in found.remedy[0]) == (
        CheckStatus.WARN,
        True,
        True,
    )


def test_bridges_whose_sources_are_not_validated_are_named() -> None:
    bridge = Interface(9, "br-lan", "bridge", up=True, mtu=1500)
    network = replace(foreign("lan"), options={"com.docker.network.bridge.name": "br-lan"})
    alone = HostView(interfaces={"br-lan": bridge})
    assert checks.source_validation(alone, (network,)).status is CheckStatus.OK
    shared = HostView(interfaces={"br-lan": bridge, "eth0": replace(UPLINK, master=9)})
    found = checks.source_validation(shared, (network,))
    assert (found.status, "eth0 is a port of it" in found.message) == (CheckStatus.WARN, True)


def test_only_containers_on_the_hosts_network_are_suspected() -> None:
    running = [
        ("ipv6nat", "", "host"),
        ("stack-nat-1", "docker-ipv6nat", "host"),
        ("ipv6nat-web", "", "bridge"),
        ("web", "web", "host"),
    ]
    assert suspects(running) == ("ipv6nat", "stack-nat-1")


def test_a_problem_that_the_daemon_reported_is_a_failed_check_and_a_warning_is_none() -> None:
    check, warning = checks.problems(["x.yaml:2:7: there is no kind 'IPV6Network'"], ["label 'x' has no effect"])
    assert (warning.status, warning.message) == (CheckStatus.WARN, "label 'x' has no effect")
    assert (check.status, check.message) == (CheckStatus.FAIL, "x.yaml:2:7: there is no kind 'IPV6Network'")
