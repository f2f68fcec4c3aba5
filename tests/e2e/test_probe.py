"""`dockerv6 doctor --probe` with real containers and packets: what works, what is broken, and what is left behind."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.cluster import condition, eventually, network_yaml, resource, subnet_of
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, NEIGHBOUR_ADDRESS, NEIGHBOUR_ADDRESS_V4, UPLINK
from tests.lab.process import end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.engine import Engine
    from tests.lab.lab import Lab
    from tests.lab.operator import Operator

pytestmark = pytest.mark.core_cells("28.5")

_PORT = 7000
_DNS_SERVER = str(Path(__file__).with_name("dns_server.py"))
_NARROW, _NO_ROUTE = "2001:db8:0:2::2", "2001:db8:eeee::1"
_FOREIGN = "table inet other {{ chain forward {{ type filter hook forward priority 10; {rule} drop; }}; }}"


def _started(lab: Lab, spec: dict[str, Any] | None = None) -> Operator:
    operator = lab.operator()
    operator.apply_yaml("blog.yaml", network_yaml("blog", {"bridge": {"name": "blog0"}, **(spec or {})}))
    operator.start()
    operator.wait_ready("ipv6network/blog")
    return operator


def _probe(operator: Operator, *arguments: str) -> list[dict[str, Any]]:
    """The findings of the probes; those of the other checks are left out."""
    done = operator.cli("doctor", "--probe", "-o", "json", *arguments, check=False)
    assert done.returncode in (0, 1), done.stderr
    found = [each for each in json.loads(done.stdout)["checks"] if each["name"].startswith(("blog: ", "probe"))]
    assert found
    return found


def _findings(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in found if each["id"] is not None}


def _leftovers(engine: Engine) -> list[str]:
    client = engine.client()
    containers = client.containers(all=True, filters={"label": "dockerv6.io/probe"})
    images = [tag for image in client.images() for tag in image.get("RepoTags") or () if "probe" in tag]
    links = [line for line in engine.netexec("ip", "-o", "link").stdout.splitlines() if ": d6p" in line]
    return [*(each["Id"] for each in containers), *images, *links]


def _await_nothing_left(engine: Engine) -> None:
    """Soon, long before containers end by themselves: the kernel removes a namespace some time after its process."""
    eventually(lambda: not _leftovers(engine), "nothing is left", patience=60)


@contextmanager
def _resolver(lab: Lab, *, answering: bool = True) -> Iterator[None]:
    """Let the engine's containers use a resolver at the neighbour, which knows every name, or does not answer."""
    before = lab.engine.exec("cat", "/etc/resolv.conf").stdout
    lab.engine.exec("tee", "/etc/resolv.conf", stdin=f"nameserver {NEIGHBOUR_ADDRESS_V4}\n")
    server = lab.neighbour.namespace.popen([sys.executable, "-I", "-S", _DNS_SERVER, FAR_ADDRESS])
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        if not answering:
            server.send_signal(signal.SIGSTOP)  # it has the port, so that nothing is refused
        yield
    finally:
        server.kill()
        end(server)
        lab.engine.exec("tee", "/etc/resolv.conf", stdin=before)


@contextmanager
def _foreign_rule(lab: Lab, rule: str) -> Iterator[None]:
    lab.engine.netexec("nft", "-f", "-", stdin=_FOREIGN.format(rule=rule))
    try:
        yield
    finally:
        lab.engine.netexec("nft", "delete", "table", "inet", "other", check=False)


@contextmanager
def _router(lab: Lab) -> Iterator[None]:
    """Let the neighbour forward, to a host behind a link with an MTU of 1280."""
    neighbour = lab.neighbour.namespace
    beyond = lab.engine.session.namespace("b")
    try:
        neighbour.exec("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
        link = f"link add far0 mtu 1280 type veth peer name far0 mtu 1280 netns {beyond.name}"
        commands = (link, "address add 2001:db8:0:2::1/64 dev far0 nodad", "link set far0 up")
        neighbour.exec("ip", "-batch", "-", stdin="\n".join(commands))
        commands = (
            f"address add {_NARROW}/64 dev far0 nodad",
            "link set far0 up",
            "route add default via 2001:db8:0:2::1",
        )
        beyond.exec("ip", "-batch", "-", stdin="\n".join(commands))
        neighbour.exec("ping", "-n", "-c", "1", "-w", "20", _NARROW)
        yield
    finally:
        neighbour.exec("ip", "link", "del", "far0", check=False)
        neighbour.exec("nft", "flush", "ruleset")
        beyond.remove()
        neighbour.exec("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=0")


def test_a_network_with_nat66_passes_every_probe_and_nothing_is_left(lab: Lab) -> None:
    operator = _started(lab)
    lab.engine.run("web", "blog", ports={"80/tcp": 8080, "53/udp": 5353}, command=("responder", "tcp/80"))
    eventually(lambda: len(resource(operator, "blog")["status"]["publishedPorts"]) == 2, "the ports are published")
    with _resolver(lab), lab.neighbour.tcp_server(_PORT):
        found = _probe(operator, "blog", "--probe-target", f"www.example.org:{_PORT}")
    assert _findings(found) == {}
    assert {each["name"].removeprefix("blog: ") for each in found} == {
        *("address", "gateway", "DNS", "outside", "path MTU", "published"),
    }
    shown = " ".join(each["message"] for each in found)
    assert f"[{FAR_ADDRESS}]:{_PORT}: accepted" in shown
    assert "like a client outside, but not through the uplink" in shown
    assert "udp port 5353 of web: not tested" in shown
    _await_nothing_left(lab.engine)
    ready = condition(operator, "blog", "Ready")
    assert ready is not None
    assert ready["status"] == "True"


def test_a_routed_network_passes_once_the_router_has_a_route_to_it(lab: Lab) -> None:
    operator = _started(lab, {"addressing": {"subnet": "2001:db8:100::/64"}, "egress": {"mode": "Routed"}})
    found = _findings(_probe(operator, "--probe-target", FAR_ADDRESS))["ProbeEgressBlocked"]
    assert "does the router of this host have a route to 2001:db8:100::/64" in found["message"]
    lab.neighbour.add_route(subnet_of(lab.engine, "blog"))
    try:
        assert "ProbeEgressBlocked" not in _findings(_probe(operator, "--probe-target", FAR_ADDRESS))
    finally:
        lab.neighbour.remove_route(subnet_of(lab.engine, "blog"))


def test_without_targets_the_next_hop_is_pinged_and_nobody_else(lab: Lab) -> None:
    operator = _started(lab)
    messages = [each["message"] for each in _probe(operator) if each["name"] == "blog: outside"]
    assert any(f" to {NEIGHBOUR_ADDRESS}: answered" in each for each in messages)
    assert not any(FAR_ADDRESS in each for each in messages)


def test_a_next_hop_with_a_link_local_address_answers_where_the_hop_limit_ends(lab: Lab) -> None:
    operator = _started(lab)
    shown = lab.neighbour.exec("ip", "-json", "-6", "address", "show", "dev", UPLINK, "scope", "link").stdout
    router = next(each["local"] for link in json.loads(shown) for each in link.get("addr_info", ()) if "local" in each)
    lab.engine.netexec("ip", "-6", "route", "replace", "default", "via", router, "dev", UPLINK)
    try:
        with _router(lab):
            (found,) = (each for each in _probe(operator) if each["name"] == "blog: outside")
    finally:
        lab.engine.netexec("ip", "-6", "route", "replace", "default", "via", NEIGHBOUR_ADDRESS, "dev", UPLINK)
    assert found["status"] == "ok"
    assert f"hop limit 2: {NEIGHBOUR_ADDRESS} answers" in found["message"]


def test_a_network_that_the_host_does_not_route_is_probed_too(lab: Lab) -> None:
    addressing = {"subnet": "2001:db8:0:1::/64", "gateway": NEIGHBOUR_ADDRESS, "reserved": [f"{HOST_ADDRESS}/128"]}
    spec = {"driver": "macvlan", "options": {"parent": UPLINK}, "addressing": addressing, "bridge": {}}
    found = _probe(_started(lab, spec), "--probe-target", FAR_ADDRESS)
    assert {each["name"]: each["status"] for each in found if each["name"] != "blog: DNS"} == {
        **dict.fromkeys(("blog: address", "blog: gateway", "blog: outside", "blog: path MTU"), "ok"),
    }


def test_an_internal_network_is_not_expected_to_reach_the_outside(lab: Lab) -> None:
    found = _probe(_started(lab, {"internal": True}), "--probe-target", FAR_ADDRESS)
    assert _findings(found) == {}
    assert {each["name"] for each in found} == {"blog: address", "blog: gateway", "blog: DNS"}


def test_a_foreign_rule_that_drops_is_named_and_its_remedy_works(lab: Lab) -> None:
    operator = _started(lab)
    with _foreign_rule(lab, "iifname blog0"):
        found = _findings(_probe(operator, "--probe-target", FAR_ADDRESS))["ProbeEgressBlocked"]
        assert "nothing came back; the host itself reaches it" in found["message"]
        assert "inet table other, chain forward" in found["message"]
        command = next(each for each in found["remedy"] if each.startswith("nft "))
        lab.engine.netexec("sh", "-c", command)
        assert "ProbeEgressBlocked" not in _findings(_probe(operator, "--probe-target", FAR_ADDRESS))


def test_a_router_without_a_route_says_so(lab: Lab) -> None:
    operator = _started(lab)
    with _router(lab):
        found = _findings(_probe(operator, "--probe-target", _NO_ROUTE))["ProbeOutsideUnreachable"]
    assert f"{NEIGHBOUR_ADDRESS} answers: no route to destination" in found["message"]
    assert "the host itself does not reach it either" in found["message"]
    assert found["status"] == "fail"


def test_a_resolver_that_does_not_answer_is_found(lab: Lab) -> None:
    operator = _started(lab)
    with _resolver(lab, answering=False):
        found = _findings(_probe(operator))["ProbeDNSFailed"]
        asked = _findings(_probe(operator, "--probe-target", "www.example.org"))["ProbeDNSFailed"]
    assert found["status"] == "warn"  # the host's own query is not answered either
    assert "ipv4only.arpa AAAA" in found["message"]
    assert asked["status"] == "fail"


def test_a_path_mtu_black_hole_is_distinguished_from_a_narrow_path(lab: Lab) -> None:
    operator = _started(lab)
    with _router(lab):
        found = _probe(operator, "--probe-target", _NARROW)
        (narrow,) = (each for each in found if each["name"] == "blog: path MTU")
        assert narrow["status"] == "ok"
        assert f"{NEIGHBOUR_ADDRESS} answers: packet too big, its MTU is 1280" in narrow["message"]
        rules = "table ip6 hole { chain out { type filter hook output priority 0; icmpv6 type packet-too-big drop; }; }"
        lab.neighbour.namespace.exec("nft", "-f", "-", stdin=rules)
        hole = _findings(_probe(operator, "--probe-target", _NARROW))["ProbePathMTUBlackHole"]
    assert "lost, and no packet-too-big message came" in hole["message"]
    assert "spec.bridge.mtu: 1280" in hole["remedy"][0]


def test_published_ports_that_are_blocked_or_not_served_are_found(lab: Lab) -> None:
    operator = _started(lab)
    lab.engine.run("web", "blog", ports={"80/tcp": 8080, "81/tcp": 8081}, command=("responder", "tcp/80"))
    eventually(lambda: len(resource(operator, "blog")["status"]["publishedPorts"]) == 2, "the ports are published")
    refused = _findings(_probe(operator))["ProbePortRefused"]
    assert "tcp port 8081 of web" in refused["message"]
    assert refused["status"] == "warn"
    with _foreign_rule(lab, "oifname blog0 tcp dport 80"):
        blocked = _findings(_probe(operator))["ProbePortUnreachable"]
    assert "tcp port 8080 of web" in blocked["message"]
    assert "nothing came back" in blocked["message"]
    assert "inet table other, chain forward" in blocked["message"]


def test_an_image_may_be_given(lab: Lab) -> None:
    operator = _started(lab)
    assert any(each["name"] == "blog: address" for each in _probe(operator, "--probe-image", "busybox:test"))
    missing = _findings(_probe(operator, "--probe-image", "missing:latest"))["ProbeImpossible"]
    assert "missing:latest" in missing["message"]
    _await_nothing_left(lab.engine)


def test_a_network_that_does_not_exist_is_named_with_those_that_do(lab: Lab) -> None:
    found = _findings(_probe_named(_started(lab), "shop"))["ProbeImpossible"]
    assert "known: blog" in found["message"]


def _probe_named(operator: Operator, name: str) -> list[dict[str, Any]]:
    done = operator.cli("doctor", "--probe", name, "-o", "json", check=False)
    assert done.returncode == 1
    return [each for each in json.loads(done.stdout)["checks"] if each["name"] == f"{name}: probe"]


def test_an_engine_whose_processes_are_elsewhere_is_refused(lab: Lab) -> None:
    """As with an engine on another host: what it starts is in no /proc of this one."""
    operator = _started(lab)
    operator.launcher = ("unshare", "--pid", "--fork", "--mount-proc")
    found = _findings(_probe(operator))["ProbeImpossible"]
    assert "the engine is on another host" in found["message"]
    _await_nothing_left(lab.engine)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_was_started_is_removed_however_the_command_ends(lab: Lab, how: signal.Signals) -> None:
    operator = _started(lab)
    with _foreign_rule(lab, "iifname blog0"):  # its probes then last for seconds
        process = operator.popen("doctor", "--probe", "--probe-target", FAR_ADDRESS)
        try:
            label = {"label": "dockerv6.io/probe"}
            eventually(lambda: lab.engine.client().containers(filters=label), "the container runs")
            os.kill(process.pid, how)
            process.wait(60)
        finally:
            end(process)
    if how == signal.SIGKILL:
        assert _leftovers(lab.engine) != []
        _probe(operator)
    _await_nothing_left(lab.engine)
