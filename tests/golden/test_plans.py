"""Plans as `dockerv6 plan -o json` prints them; see `tests.golden.files`."""

import json
from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network

import pytest

from dockerv6.api.conditions import Reason
from dockerv6.firewall.model import HostFilterState, PortIntent
from dockerv6.hostnet.model import BridgePort, Interface, ProxyNeighbour
from dockerv6.lib.networking import TransportProtocol
from dockerv6.planning.deletion import plan_deletion
from dockerv6.planning.docker.network_spec import fingerprint, network_spec, with_spec_hash
from dockerv6.planning.docker.recreation import PreviousNetwork, plan_rollback, spec_of
from dockerv6.planning.firewall.contributions import ProxiedSubnet
from dockerv6.planning.firewall.port_claims import port_finding
from dockerv6.planning.inputs import Holdings, Observed, RulesView
from dockerv6.planning.plan import Plan
from dockerv6.planning.policy import plan_policy
from tests.golden.files import GOLDEN, check
from tests.simulation.resources import policy, pool
from tests.unit.planning.scene import (
    ENGINE_28,
    FORWARD,
    SUBNET,
    allocation,
    bridge,
    container,
    created,
    decide,
    desired,
    end,
    foreign,
    holding,
    holdings,
    host,
    lacking,
    live,
    observed,
    running,
    tracked,
)

FOLDER = GOLDEN / "plans"
HOLDINGS = holdings(allocation())
FIXED = {"subnet": "fd00:5::/64"}
WEB, CRON = container("web"), container("cron", running=False)
DB = container("db", ipv6=str(SUBNET[5]))
FLUSHED = lacking("", "blog")


STACK = desired(members={"matchLabels": {"stack": "blog"}})
BLOG, SHOP, DETACHED_SHOP = running("blog", stack="blog"), running("shop", stack="shop"), container("shop")
MEMBERS = frozenset({"shop-id"})
ICC_OFF = desired(bridge={"icc": False})
HAIRPIN_OFF = host(
    bridge(live()),
    Interface(20, "veth1", "veth", up=True, mtu=1500, master=9, bridge_port=BridgePort()),
    bridge_netfilter=True,
)
BRIDGE_NETFILTER_OFF = host(bridge(live(ICC_OFF)), bridge_netfilter=False)
CONFLICT = port_finding(
    Reason.PORT_CONFLICT,
    "tcp port 8080 on [::] for container db is already forwarded to container web (of shop); choose another port",
)
PUBLISHED = RulesView(
    ports={"blog": (PortIntent("blog", TransportProtocol.TCP, 80, SUBNET[5], 80),)}, port_problems={"blog": (CONFLICT,)}
)
MISSING_RULES = lacking("", "policy/all", filter=HostFilterState((FORWARD,)))


RENUMBERED = desired(None, pool(prefix="2001:db8:7::/48"), updateStrategy="Recreate")
MOVED = IPv6Network("2001:db8:7:1::/64")
REFUSED = fingerprint(network_spec(RENUMBERED.resource, MOVED, RENUMBERED.identity))
TRANSLATED = desired(egress={"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}})
TRANSLATION_CHANGED = lacking("blog", intended=True)
PART = IPv6Network("2001:db8:1:0:5::/80")


def first_use() -> Plan:
    fresh = host(forwarding="0", accept_ra={"eth0": "1"})
    state = observed(host=fresh, rules=RulesView(filter=HostFilterState((FORWARD,))), entropy=bytes(range(1, 6)))
    return decide(desired(None, pool()), state)


def update(strategy: str, held: Holdings = HOLDINGS, **spec: object) -> Plan:
    state = observed(live(), applied=True, attachments=(WEB, DB, CRON))
    return decide(desired(updateStrategy=strategy, **spec), state, held)


def renumber(**state: object) -> Plan:
    return decide(RENUMBERED, observed(live(RENUMBERED), applied=True, **state), HOLDINGS)


def on_link(*proxies: ProxyNeighbour) -> Plan:
    """A subnet of the uplink's prefix; one container has started, another one has stopped."""
    wanted = desired(addressing={"subnet": str(PART)}, egress={"mode": "Routed"}, ndpProxy={"enabled": True})
    network = created(with_spec_hash(network_spec(wanted.resource, PART, wanted.identity, ENGINE_28)))
    eth0 = Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8:1::2/64"),))
    state = observed(
        network,
        applied=True,
        host=host(bridge(network), eth0, proxies=frozenset(proxies), proxy_ndp={"eth0": "0"}),
        proxied_subnets=(ProxiedSubnet("blog", PART),),
        containers=(running("web", end(network, PART[5])),),
    )
    return decide(wanted, state, holdings(allocation(PART, pool="")))


def delete(**state: object) -> Plan:
    found: Observed = observed(live(), applied=True, **state)
    return plan_deletion(desired(), found, HOLDINGS)


PLANS = {
    "first-use": first_use(),
    "nothing": decide(desired(), observed(live(), applied=True), HOLDINGS),
    "recreate": update("Recreate", addressing=FIXED),
    "recreate-waits": update("WhenIdle", labels={"team": "web"}),
    "network-removed": decide(desired(), observed(applied=True, remembered=(WEB, DB)), HOLDINGS),
    "renumber": renumber(attachments=(WEB, DB, CRON)),
    "renumber-waits-its-turn": renumber(attachments=(WEB,), in_flight=("mail", "shop")),
    "renumber-pool-too-small": decide(
        desired(None, pool(prefix="2001:db8:7::/72", allocationLength=80), addressing={"prefixLength": 64}),
        observed(live(), applied=True, attachments=(WEB,)),
        HOLDINGS,
    ),
    "renumber-refused": renumber(attachments=(WEB,), refused=REFUSED, refusal="it was brought back as it was"),
    "renumber-rolled-back": plan_rollback(
        RENUMBERED,
        observed(live(RENUMBERED, MOVED), applied=True, attachments=(WEB,), remembered=(DB,)),
        holdings(allocation(MOVED)),
        PreviousNetwork(spec_of(live()), SUBNET, "default"),
    ),
    "prefix-withdrawn": decide(
        desired(None, pool(fromInterface={"name": "eth0"})),
        observed(live(), applied=True, attachments=(WEB,)),
        holding(allocation(), following=replace(tracked("fd12:3456:789a::/48"), withdrawn=True)),
    ),
    "prefix-pending": decide(TRANSLATED, observed(), HOLDINGS),
    "prefix-translated": decide(
        TRANSLATED,
        observed(live(TRANSLATED), applied=True, attachments=(WEB,), rules=TRANSLATION_CHANGED),
        holding(allocation(), following=tracked("2001:db8:200::/48", "2001:db8:100::/48")),
    ),
    "proxy-neighbours": on_link(ProxyNeighbour("eth0", PART[9], ours=True)),
    "macvlan": decide(desired(driver="macvlan", options={"parent": "eth0"}), observed()),
    "rules-flushed": decide(desired(), observed(live(), applied=True, rules=FLUSHED), HOLDINGS),
    "foreign-network": decide(desired(), observed(foreign("blog")), HOLDINGS),
    "engine-away": decide(
        desired(),
        observed(live(), engine=None, engine_problem="connection refused", applied=True, rules=FLUSHED),
        HOLDINGS,
    ),
    "members": decide(
        STACK,
        observed(live(STACK), applied=True, containers=(SHOP, BLOG), attachments=(DETACHED_SHOP,), members=MEMBERS),
        HOLDINGS,
    ),
    "port-conflict": decide(desired(), observed(live(), applied=True, rules=PUBLISHED), HOLDINGS),
    "hairpin": decide(desired(), observed(live(), applied=True, host=HAIRPIN_OFF, rules=PUBLISHED), HOLDINGS),
    "icc-off": decide(ICC_OFF, observed(live(ICC_OFF), applied=True, host=BRIDGE_NETFILTER_OFF), HOLDINGS),
    "policy": plan_policy(policy(), observed(foreign("shop"), rules=MISSING_RULES), (foreign("shop"),), Holdings()),
    "policy-engine-away": plan_policy(
        policy(),
        observed(foreign("shop"), engine=None, engine_problem="connection refused"),
        (foreign("shop"),),
        Holdings(),
    ),
    "delete": delete(),
    "delete-members": delete(attachments=(container("shop"),), members=MEMBERS),
    "delete-waits": delete(attachments=(WEB, CRON)),
}


@pytest.mark.parametrize("name", PLANS)
def test_the_plan_of_a_scenario(name: str) -> None:
    check(FOLDER / f"{name}.json", json.dumps(PLANS[name].as_mapping(), indent=2) + "\n")


def test_every_golden_file_is_used() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(PLANS)
