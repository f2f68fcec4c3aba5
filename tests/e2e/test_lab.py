"""The lab itself, tested with real packets, because the other end-to-end tests depend on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.baseline import Baseline
from tests.lab.net import (
    FAR_ADDRESS,
    HOST_ADDRESS,
    NEIGHBOUR_ADDRESS,
    UPLINK,
    Neighbour,
    deadline_for,
    ping,
    ping_stream,
    receive,
    tcp_stream,
)
from tests.lab.packets import count_packets
from tests.lab.probe import PATIENCE, Port, ProbeError, ask, assert_closed, download, reach, upload, wait_closed
from tests.lab.process import CommandFailedError, run
from tests.lab.session import sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.cells import Cell
    from tests.lab.engine import Engine
    from tests.lab.lab import EnginePool, Lab
    from tests.lab.session import Session

_SUBNET = "fd12:3456:789a:1::/64"
_GATEWAY = "fd12:3456:789a:1::1"
_BRIDGE = "br-guide"
_MASQUERADE = ["POSTROUTING", "-s", _SUBNET, "!", "-o", _BRIDGE, "-j", "MASQUERADE"]
_CUT = """
table inet cut {
    chain everything {
        type filter hook input priority 0; policy drop;
    }
}
"""
_ROOT = Path(__file__).parents[2]


def _network(engine: Engine, name: str = "guide") -> None:
    bridge = ("--opt", f"com.docker.network.bridge.name={_BRIDGE}")
    engine.docker("network", "create", "--ipv6", "--subnet", _SUBNET, "--gateway", _GATEWAY, *bridge, name)


def _container(engine: Engine, name: str = "busy") -> str:
    """Start a container and wait until it can send: its addresses have passed duplicate detection."""
    container = engine.run(name, "guide")
    assert ping(engine, container, _GATEWAY)
    return container


def test_engine_has_the_version_and_the_ipv6_rules_of_its_cell(cell: Cell, engine: Engine) -> None:
    assert engine.client().version()["Version"].startswith(f"{cell.settings.version}.")
    assert ("DOCKER" in engine.exec("ip6tables-save").stdout) == cell.ipv6_rules


def test_guide_by_hand_from_network_to_cleanup(cell: Cell, lab: Lab) -> None:
    engine = lab.engine
    _network(engine)
    container = _container(engine)
    # without masquerading there is no route back to a unique local address
    assert ping(engine, container, FAR_ADDRESS, deadline=deadline_for(expected=cell.ipv6_rules)) == cell.ipv6_rules
    engine.exec("ip6tables", "-t", "nat", "-A", *_MASQUERADE)
    assert ping(engine, container, NEIGHBOUR_ADDRESS)
    assert ping(engine, container, FAR_ADDRESS)
    assert engine.container_exec(container, "ping6", "-c", "1", "-w", "20", FAR_ADDRESS).returncode == 0
    assert lab.neighbour.seen_as(engine, container) == HOST_ADDRESS
    engine.exec("ip6tables", "-t", "nat", "-D", *_MASQUERADE)
    assert ping(engine, container, FAR_ADDRESS, deadline=deadline_for(expected=cell.ipv6_rules)) == cell.ipv6_rules


def test_neighbour_reaches_a_container_that_it_has_a_route_to(cell: Cell, lab: Lab) -> None:
    _network(lab.engine)
    container = _container(lab.engine)
    address = lab.engine.container_addresses(container, "guide")["6"]
    lab.neighbour.add_route(_SUBNET)
    open_by_default = not cell.ipv6_rules
    assert lab.neighbour.ping(address, deadline=deadline_for(expected=open_by_default)) == open_by_default
    lab.neighbour.remove_route(_SUBNET)
    assert not lab.neighbour.ping(address, deadline=1)


@pytest.mark.cells("28.5")
def test_streams_lose_nothing_without_an_interruption(lab: Lab) -> None:
    engine, neighbour = lab.engine, lab.neighbour
    _network(engine)
    container = _container(engine)
    inside = partial(engine.container_netns_exec, container)
    with (
        count_packets(inside, neighbour.exec, 7001) as packets,
        neighbour.tcp_server(7001),
        ping_stream(engine, container, FAR_ADDRESS) as pings,
        tcp_stream(engine, container, FAR_ADDRESS, 7001) as stream,
    ):
        assert ping(engine, container, FAR_ADDRESS)
        for tally in (pings.stop(), stream.stop()):
            assert tally.error == ""
            assert tally.received > 0
            assert tally.lost == 0
        assert packets.dropped() == 0


@pytest.mark.cells("28.5")
def test_streams_count_the_packets_that_an_interruption_drops(lab: Lab) -> None:
    engine, neighbour = lab.engine, lab.neighbour
    _network(engine)
    container = _container(engine)
    inside = partial(engine.container_netns_exec, container)
    with (
        count_packets(inside, neighbour.exec, 7001) as packets,
        neighbour.tcp_server(7001),
        ping_stream(engine, container, FAR_ADDRESS) as pings,
        tcp_stream(engine, container, FAR_ADDRESS, 7001) as stream,
    ):
        neighbour.namespace.exec("nft", "-f", "-", stdin=_CUT)
        assert not ping(engine, container, FAR_ADDRESS, deadline=1)
        neighbour.exec("nft", "delete", "table", "inet", "cut")
        assert ping(engine, container, FAR_ADDRESS)
        pinged, streamed = pings.stop(), stream.stop()
        assert pinged.lost > 0
        # TCP sends again what was dropped
        assert streamed.lost == 0
        assert packets.dropped() > 0


@pytest.mark.cells("28.5")
def test_connection_to_a_closed_port_says_so(lab: Lab) -> None:
    _network(lab.engine)
    container = _container(lab.engine)
    with pytest.raises(CommandFailedError, match="refused"):
        receive(lab.engine, container, FAR_ADDRESS, 7002)


def test_next_test_finds_the_engine_as_it_was(lab: Lab) -> None:
    engine = lab.engine
    before = Baseline.capture(engine)
    _network(engine)
    _container(engine)
    engine.exec("ip6tables", "-t", "nat", "-A", *_MASQUERADE)
    engine.exec("ip6tables", "-P", "FORWARD", "DROP")
    engine.netexec("nft", "add", "table", "inet", "left-behind")
    engine.netexec("sysctl", "-q", "-w", f"net.ipv6.conf.{UPLINK}.accept_ra=2", "net.ipv6.conf.all.forwarding=1")
    engine.netexec("ip", "-6", "neigh", "add", "proxy", "2001:db8::5", "dev", UPLINK)
    engine.netexec("ip", "link", "add", "left0", "type", "bridge")
    before.restore(engine)
    assert Baseline.capture(engine) == before
    assert engine.client().containers(all=True) == []
    assert engine.netexec("ip", "-6", "neigh", "show", "proxy").stdout == ""


@pytest.mark.cells("28.5")
def test_a_neighbour_that_is_plugged_in_again_restores_the_baseline(lab: Lab) -> None:
    engine, neighbour = lab.engine, lab.neighbour
    before = Baseline.capture(engine)
    neighbour.unplug()
    assert UPLINK not in engine.netexec("ip", "-br", "link").stdout
    neighbour.plug()
    assert Baseline.capture(engine) == before
    _network(engine)
    assert neighbour.seen_as(engine, _container(engine)) == HOST_ADDRESS


def test_killed_engine_recovers_its_networks(make_lab: Callable[..., Lab]) -> None:
    engine = make_lab().engine
    _network(engine)
    _container(engine)
    engine.kill()
    assert not engine.alive
    engine.start()
    assert [network["Name"] for network in engine.client().networks(names=["guide"])] == ["guide"]
    assert not engine.client().inspect_container("busy")["State"]["Running"]


@pytest.mark.cells("28.5-legacy-proxy")
def test_engine_finds_the_xtables_variant_that_was_asked_for(engine: Engine) -> None:
    assert "legacy" in engine.exec("ip6tables", "--version").stdout
    assert "DOCKER" in engine.exec("ip6tables-save").stdout
    assert engine.netexec("nft", "list", "tables").stdout == ""


@pytest.mark.cells("28.5-legacy-proxy")
def test_programs_beside_an_engine_share_its_xtables_lock(engine: Engine) -> None:
    listing = engine.enter(["ip6tables", "--wait", "1", "--list", "INPUT"])
    assert run(listing).returncode == 0
    held = run(engine.beside(["flock", "/run/xtables.lock", *listing]), check=False)
    assert "Another app is currently holding the xtables lock" in held.stderr


def test_responder_answers_with_its_name_and_the_client_it_saw(lab: Lab) -> None:
    engine = lab.engine
    _network(engine)
    engine.run("srv", "guide", command=("responder", "tcp/80", "udp/80-81", "sctp/80"))
    client = Path(engine.container_netns(_container(engine)))
    server, own = (engine.container_addresses(name, "guide")["6"] for name in ("srv", "busy"))
    for protocol in ("tcp", "udp", "sctp"):
        answer = reach(client, Port(protocol, server, 80))
        assert (answer.name, str(answer.client)) == ("srv", own)
    assert ask(client, Port("udp", server, 81)) is not None
    assert_closed(client, Port("tcp", server, 81), Port("udp", server, 82), Port("sctp", server, 81))
    with pytest.raises(ProbeError, match="answers"):
        assert_closed(client, Port("tcp", server, 80), silence=PATIENCE)
    engine.docker("rm", "-f", "srv")
    wait_closed(client, Port("tcp", server, 80))
    with pytest.raises(ProbeError, match="doesn't answer"):
        reach(client, Port("tcp", server, 80), patience=0.1)


@pytest.mark.cells("28.5")
def test_responder_sends_and_takes_as_much_as_it_is_asked_to(lab: Lab) -> None:
    engine = lab.engine
    _network(engine)
    engine.run("srv", "guide", command=("responder", "tcp/80"))
    client = Path(engine.container_netns(_container(engine)))
    port = Port("tcp", engine.container_addresses("srv", "guide")["6"], 80)
    assert reach(client, port)
    assert download(client, port, 200_000) == 200_000
    answer = upload(client, port, 200_000)
    assert answer is not None
    assert answer.name == "srv"


_VICTIM = """
import sys
from tests.lab.lab import Station
from tests.lab.session import Session
from tests.lab.settings import Settings
session = Session.create()
station = Station.build(session, Settings("28.5"))
station.engine.run("orphan", None)
server = station.neighbour.namespace.popen(["sleep", "600"])
print(session.id, station.engine.netns, station.engine.pid, flush=True)
sys.stdin.read()
"""


def _runs(pid: str) -> bool:
    # the arguments of a zombie are empty
    arguments = Path(f"/proc/{pid}/cmdline")
    return arguments.exists() and bool(arguments.read_bytes())


def test_only_a_killed_test_run_is_swept(lab_session: Session, engine_pool: EnginePool) -> None:
    assert engine_pool
    with subprocess.Popen(
        [sys.executable, "-c", _VICTIM], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as victim:
        assert victim.stdout is not None
        identifier, netns, pid = victim.stdout.readline().split()
        assert identifier not in sweep()
        assert _runs(pid)
        victim.send_signal(signal.SIGKILL)
    sweep()
    assert not _runs(pid)
    assert not Path(f"/run/netns/{netns}").exists()
    assert not any(Path("/sys/fs/cgroup").glob(f"**/d6-{identifier}-*"))
    assert not (lab_session.directory.parent / identifier).exists()
    assert lab_session.directory.exists()


def test_engine_by_hand_outlives_its_command_and_goes_when_stopped() -> None:
    def lab(*arguments: str) -> str:
        argv = [sys.executable, "-m", "tests.lab", *arguments]
        return subprocess.run(argv, cwd=_ROOT, check=True, capture_output=True, text=True).stdout

    name = f"hand{os.getpid()}"
    try:
        lab("start", name, "--cell", "28.5")
        assert name in lab("list")
        sweep()
        assert lab("docker", name, "version", "--format", "{{.Server.Version}}").startswith("28.5.")
        assert "dockerd" in lab("exec", name, "ps")
        assert HOST_ADDRESS in lab("netexec", name, "ip", "-6", "address")
    finally:
        lab("stop", name)
    assert name not in lab("list")


def test_neighbours_of_one_run_have_different_names(lab_session: Session) -> None:
    host = lab_session.namespace("n")
    first, second = Neighbour.join(lab_session, host), lab_session.namespace("w")
    assert len({host.name, first.namespace.name, second.name}) == 3
    for namespace in (first.namespace, second, host):
        namespace.remove()
