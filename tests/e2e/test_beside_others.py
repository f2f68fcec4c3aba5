"""Published ports, egress and isolation are restored after other software changed the host's packet filter.

Rules of others are not changed, except for the one rule that accepts our mark. The time that it took is printed. No
test depends on it, because rules of iptables-legacy are only checked once a second.
"""

from __future__ import annotations

import json
import shlex
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import condition, eventually, network_yaml, our_table, policy_yaml
from tests.e2e.site import Site, exclusive_site, published, reach_as, timed
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, HOST_ADDRESS_V4, NEIGHBOUR_ADDRESS, ping
from tests.lab.probe import Port, assert_closed, reach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.cells import Cell
    from tests.lab.lab import EnginePool, Lab

pytestmark = pytest.mark.cells("28.5", "20.10-on-legacy-proxy")

_PREFIX = "fd12:3456:789a::/48"
_ALWAYS = {"RestartPolicy": {"Name": "always"}}
_OURS = "dockerv6: flows"
_TABLES = ("filter", "nat", "mangle", "raw")

# the forward rules of `ufw enable`: they drop flows that were not opened from inside
_UFW = """*filter
:FORWARD DROP [0:0]
:ufw6-before-forward - [0:0]
:ufw6-user-forward - [0:0]
-F FORWARD
-A FORWARD -j ufw6-before-forward
-A FORWARD -j ufw6-user-forward
-A ufw6-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw6-before-forward -p ipv6-icmp --icmpv6-type packet-too-big -j ACCEPT
COMMIT
"""
# as firewalld 1.3 writes it with nftables, without its zones except docker's
_FIREWALLD = """
table inet firewalld {
    chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        jump filter_FORWARD_ZONES
        ct state invalid drop
        reject with icmpx admin-prohibited
    }
    chain filter_FORWARD_ZONES {
        iifname != "eth0" goto filter_FWD_docker
    }
    chain filter_FWD_docker {
        accept
    }
}
"""
_OWN_FIREWALL = """
table inet site {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state { established, related } accept
    }
}
"""


@pytest.fixture(scope="module")
def site(cell: Cell, engine_pool: EnginePool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A host with a published web server on a managed network, and an existing network with a policy."""
    with exclusive_site(engine_pool, cell.settings, tmp_path_factory.mktemp("site")) as site:
        site.lab.neighbour.add_route(_PREFIX)
        site.create_network("theirs", "fd12:3456:789a:2::/64")
        site.operator.apply_yaml("ours.yaml", network_yaml("ours", {"addressing": {"subnet": "fd12:3456:789a:1::/64"}}))
        site.operator.apply_yaml("all.yaml", policy_yaml("all", {"selector": {"prefixes": ["fc00::/7"]}}))
        site.start()
        site.operator.wait_ready("ipv6network/ours")
        site.operator.wait_ready("ipv6policy/all")
        site.run("web", "ours", ports={"80/tcp": 8080, "80/udp": 8080}, host_config=_ALWAYS)
        site.run("app", "theirs", ports={"80/tcp": 8081}, host_config=_ALWAYS)
        _works(site)
        yield site
        site.lab.neighbour.remove_route(_PREFIX)


@pytest.fixture(autouse=True)
def _as_before(site: Site, report_logs_of: Callable[[Lab], None]) -> Iterator[None]:
    """Restore the engine's own rules after each test: the engine does so only at its next start."""
    report_logs_of(site.lab)
    families = ("ip6tables", "iptables")
    saved = {family: site.engine.exec(f"{family}-save").stdout for family in families}
    yield
    for family in families:
        if site.engine.exec(f"{family}-save").stdout != saved[family]:
            site.engine.exec(f"{family}-restore", stdin=saved[family])


def _works(site: Site) -> None:
    """Check that published ports see the client's address, that egress works, and that nothing else is open."""
    reach_as(site.neighbour, published(8080), "web", NEIGHBOUR_ADDRESS)
    reach_as(site.neighbour, published(8080, "udp"), "web", NEIGHBOUR_ADDRESS)
    reach_as(site.neighbour, published(8081), "app", NEIGHBOUR_ADDRESS)
    for name in ("web", "app"):
        eventually(partial(_leaves_as_host, site, name), f"{name} reaches the outside")
    web, app = Port("tcp", site.address("web", "ours"), 80), Port("tcp", site.address("app", "theirs"), 80)
    assert_closed(site.neighbour, web, app)
    assert_closed(site.inside("app"), web)
    assert_closed(site.inside("web"), app)


def _leaves_as_host(site: Site, name: str) -> bool:
    reached = ping(site.engine, name, FAR_ADDRESS, deadline=1)
    return reached and site.lab.neighbour.seen_as(site.engine, name) == HOST_ADDRESS


def _back(site: Site, after: str) -> None:
    with timed(f"{after}: a published port is back after"):
        reach_as(site.neighbour, published(8080), "web", NEIGHBOUR_ADDRESS)
    _works(site)


def _foreign(site: Site) -> list[str]:
    """The xtables rules of other software, in their order, without counters."""
    lines = site.engine.exec("ip6tables-save").stdout.splitlines()
    return [line.partition(" [")[0] for line in lines if line[:1] in "*:-" and _OURS not in line]


@pytest.mark.parametrize("command", ["-F", "-t nat -F", "-t mangle -F", "-X"])
def test_flushed_chains_are_restored(site: Site, command: str) -> None:
    # -X refuses chains that are jump targets, and removes the others
    site.engine.exec("ip6tables", *command.split(), check=False)
    left = _foreign(site)
    _back(site, f"ip6tables {command}")
    assert _foreign(site) == left


def test_a_flushed_ruleset_of_nftables_is_restored(site: Site) -> None:
    site.engine.netexec("nft", "flush", "ruleset")
    _back(site, "nft flush ruleset")


def test_rules_are_restored_after_ip6tables_restore_of_an_older_save(site: Site) -> None:
    saved = site.engine.exec("ip6tables-save").stdout
    without = "".join(f"{line}\n" for line in saved.splitlines() if _OURS not in line)
    for table in _TABLES:
        site.engine.exec("ip6tables", "-t", table, "-F", check=False)
    site.engine.exec("ip6tables-restore", stdin=without)
    left = _foreign(site)
    _back(site, "ip6tables-restore of an older save")
    assert _foreign(site) == left


def test_ufw_that_drops_new_forwarded_flows_gets_an_accept_rule(site: Site) -> None:
    site.engine.exec("ip6tables-restore", "--noflush", stdin=_UFW)
    left = _foreign(site)
    _back(site, "ufw enable")
    assert _foreign(site) == left
    # ufw's rules are still in force for everything else
    assert "ufw6-user-forward" in site.engine.exec("ip6tables-save", "-t", "filter").stdout


def test_traffic_continues_after_reloads_of_firewalld(site: Site) -> None:
    try:
        for _ in range(2):
            site.engine.netexec("nft", "-f", "-", stdin=_FIREWALLD)
            table = _listed(site, "firewalld")
            _back(site, "firewall-cmd --reload")
            assert _listed(site, "firewalld") == table
            site.engine.netexec("nft", "delete", "table", "inet", "firewalld")
            _works(site)
    finally:
        site.engine.netexec("nft", "delete", "table", "inet", "firewalld", check=False)


def test_a_host_table_that_drops_is_reported_and_the_remedy_works(site: Site) -> None:
    try:
        site.engine.netexec("nft", "-f", "-", stdin=_OWN_FIREWALL)
        reported = site.wait_for_reason("ours", "FirewallReady", "FirewallBlocked")
        assert reported["status"] == "False"
        assert "inet table site, chain forward (nftables): policy drop" in reported["message"]
        of_policy = site.wait_for_reason("all", "FirewallReady", "FirewallBlocked", "ipv6policy")
        assert of_policy["message"].splitlines()[1:] == reported["message"].splitlines()[1:]
        assert_closed(site.neighbour, published(8080, "udp"))
        _, command, _ = reported["message"].splitlines()
        assert command.startswith("nft insert rule inet site forward ")
        site.engine.netexec(*shlex.split(command))
        _back(site, "the remedy")
        site.wait_while_reason("ours", "FirewallReady", "FirewallBlocked")
    finally:
        site.engine.netexec("nft", "delete", "table", "inet", "site", check=False)
    site.wait_while_reason("all", "FirewallReady", "FirewallBlocked", "ipv6policy")


def test_rules_are_in_place_after_a_restart_of_the_engine(site: Site) -> None:
    foreign = _foreign(site)
    site.engine.restart()
    _back(site, "a restart of the engine")
    assert sorted(_foreign(site)) == sorted(foreign)


def test_the_hosts_ipv4_rules_are_not_changed(site: Site) -> None:
    before = site.engine.exec("iptables-save").stdout
    site.engine.netexec("nft", "delete", "table", "inet", "dockerv6")
    _back(site, "nft delete table inet dockerv6")
    assert _rules(site.engine.exec("iptables-save").stdout) == _rules(before)
    assert our_table(site.engine)
    reach(site.neighbour, published(8080, address=HOST_ADDRESS_V4), name="web")
    ready = condition(site.operator, "ours", "Ready")
    assert ready is not None
    assert ready["status"] == "True"


def _rules(save: str) -> list[str]:
    return [line.partition(" [")[0] for line in save.splitlines() if line[:1] in "*:-"]


def _listed(site: Site, table: str) -> object:
    return json.loads(site.engine.netexec("nft", "-j", "list", "table", "inet", table).stdout)["nftables"][1:]
