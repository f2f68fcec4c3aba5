"""Plans as `dockerv6 plan -o json` prints them. `DOCKERV6_UPDATE_GOLDEN=1` writes them again; read the difference."""

import json
import os
from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network
from pathlib import Path

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

FOLDER = Path(__file__).parent / "plans"
HELD = holdings(allocation())
FIXED = {"subnet": "fd00:5::/64"}
WEB, CRON = container("web"), container("cron", running=False)
DB = container("db", ipv6=str(SUBNET[5]))
FLUSHED = lacking("", "blog")


STACK = desired(members={"matchLabels": {"stack": "blog"}})
BLOG, SHOP, LEFT = running("blog", stack="blog"), running("shop", stack="shop"), container("shop")
OURS = frozenset({"shop-id"})
APART = desired(bridge={"icc": False})
PLUGGED = host(
    bridge(live()),
    Interface(20, "veth1", "veth", up=True, mtu=1500, master=9, bridge_port=BridgePort()),
    bridge_netfilter=True,
)
UNSEEN = host(bridge(live(APART)), bridge_netfilter=False)
CONFLICT = port_finding(
    Reason.PORT_CONFLICT,
    "tcp port 8080 on [::] for container db is already forwarded to container web (of shop); choose another port",
)
PUBLISHED = RulesView(
    ports={"blog": (PortIntent("blog", TransportProtocol.TCP, 80, SUBNET[5], 80),)}, port_problems={"blog": (CONFLICT,)}
)
NEW = lacking("", "policy/all", filter=HostFilterState((FORWARD,)))


RENUMBERED = desired(None, pool(prefix="2001:db8:7::/48"), updateStrategy="Recreate")
MOVED = IPv6Network("2001:db8:7:1::/64")
REFUSED = fingerprint(network_spec(RENUMBERED.resource, MOVED, RENUMBERED.identity))
TRANSLATED = desired(egress={"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}})
EXCHANGED = lacking("blog", intended=True)
PART = IPv6Network("2001:db8:1:0:5::/80")


def first_use() -> Plan:
    fresh = host(forwarding="0", accept_ra={"eth0": "1"})
    state = observed(host=fresh, rules=RulesView(filter=HostFilterState((FORWARD,))), entropy=bytes(range(1, 6)))
    return decide(desired(None, pool()), state)


def update(strategy: str, held: Holdings = HELD, **spec: object) -> Plan:
    state = observed(live(), applied=True, attachments=(WEB, DB, CRON))
    return decide(desired(updateStrategy=strategy, **spec), state, held)


def renumber(**state: object) -> Plan:
    return decide(RENUMBERED, observed(live(RENUMBERED), applied=True, **state), HELD)


def on_link(*proxies: ProxyNeighbour) -> Plan:
    """A part of the uplink's own prefix, in which one container came and another one went."""
    want = desired(addressing={"subnet": str(PART)}, egress={"mode": "Routed"}, ndpProxy={"enabled": True})
    there = created(with_spec_hash(network_spec(want.resource, PART, want.identity, ENGINE_28)))
    eth0 = Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8:1::2/64"),))
    state = observed(
        there,
        applied=True,
        host=host(bridge(there), eth0, proxies=frozenset(proxies), proxy_ndp={"eth0": "0"}),
        proxied_subnets=(ProxiedSubnet("blog", PART),),
        containers=(running("web", end(there, PART[5])),),
    )
    return decide(want, state, holdings(allocation(PART, pool="")))


def delete(**state: object) -> Plan:
    there: Observed = observed(live(), applied=True, **state)
    return plan_deletion(desired(), there, HELD)


PLANS = {
    "first-use": first_use(),
    "nothing": decide(desired(), observed(live(), applied=True), HELD),
    "recreate": update("Recreate", addressing=FIXED),
    "recreate-waits": update("WhenIdle", labels={"team": "web"}),
    "network-removed": decide(desired(), observed(applied=True, remembered=(WEB, DB)), HELD),
    "renumber": renumber(attachments=(WEB, DB, CRON)),
    "renumber-waits-its-turn": renumber(attachments=(WEB,), in_flight=("mail", "shop")),
    "renumber-pool-too-small": decide(
        desired(None, pool(prefix="2001:db8:7::/72", allocationLength=80), addressing={"prefixLength": 64}),
        observed(live(), applied=True, attachments=(WEB,)),
        HELD,
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
    "prefix-pending": decide(TRANSLATED, observed(), HELD),
    "prefix-translated": decide(
        TRANSLATED,
        observed(live(TRANSLATED), applied=True, attachments=(WEB,), rules=EXCHANGED),
        holding(allocation(), following=tracked("2001:db8:200::/48", "2001:db8:100::/48")),
    ),
    "proxy-neighbours": on_link(ProxyNeighbour("eth0", PART[9], ours=True)),
    "macvlan": decide(desired(driver="macvlan", options={"parent": "eth0"}), observed()),
    "rules-flushed": decide(desired(), observed(live(), applied=True, rules=FLUSHED), HELD),
    "foreign-network": decide(desired(), observed(foreign("blog")), HELD),
    "engine-away": decide(
        desired(), observed(live(), engine=None, engine_problem="connection refused", applied=True, rules=FLUSHED), HELD
    ),
    "members": decide(
        STACK, observed(live(STACK), applied=True, containers=(SHOP, BLOG), attachments=(LEFT,), members=OURS), HELD
    ),
    "port-conflict": decide(desired(), observed(live(), applied=True, rules=PUBLISHED), HELD),
    "hairpin": decide(desired(), observed(live(), applied=True, host=PLUGGED, rules=PUBLISHED), HELD),
    "icc-off": decide(APART, observed(live(APART), applied=True, host=UNSEEN), HELD),
    "policy": plan_policy(policy(), observed(foreign("shop"), rules=NEW), (foreign("shop"),), Holdings()),
    "policy-engine-away": plan_policy(
        policy(),
        observed(foreign("shop"), engine=None, engine_problem="connection refused"),
        (foreign("shop"),),
        Holdings(),
    ),
    "delete": delete(),
    "delete-members": delete(attachments=(container("shop"),), members=OURS),
    "delete-waits": delete(attachments=(WEB, CRON)),
}


def compare(name: str, text: str) -> None:
    path = FOLDER / f"{name}.json"
    if os.environ.get("DOCKERV6_UPDATE_GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs: if that is meant, run with DOCKERV6_UPDATE_GOLDEN=1"


@pytest.mark.parametrize("name", PLANS)
def test_the_plan_of_a_scenario(name: str) -> None:
    compare(name, json.dumps(PLANS[name].as_mapping(), indent=2) + "\n")


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(PLANS)
