"""What a probe concludes from what came back."""

from __future__ import annotations

import asyncio
import errno
import os
from ipaddress import IPv6Address
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from dockerv6.daemon import probe as probes
from dockerv6.daemon.engine_process import EngineProcess
from dockerv6.daemon.findings import FindingId
from dockerv6.daemon.probe import EMBEDDED_DNS, _Inside, _Outside, _Probe
from dockerv6.daemon.probe_networks import ProbedNetwork
from dockerv6.dockerd.throwaway import StartedContainer
from dockerv6.hostnet.model import Interface
from dockerv6.hostnet.namespaces import NetworkNamespace
from dockerv6.hostnet.sockets import ContainerProcesses
from dockerv6.probe.attempts import ProbeOutcome
from dockerv6.probe.targets import ProbeRequest, parse_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dockerv6.daemon.findings import HostCheck
    from dockerv6.firewall.model import FlowProblem

_NETWORK = ProbedNetwork("blog", {"egress": "Routed", "subnet": "2001:db8:5::/64"})


def _probe(*, chosen: bool, walks: list[str], engine: EngineProcess | None = None) -> _Probe:
    async def walk() -> Mapping[str, Sequence[FlowProblem]]:
        await asyncio.sleep(0)
        walks.append("walk")
        return {}

    return _Probe(cast("Any", None), _Outside((), chosen, None, frozenset()), walk, engine)


class _Prober:
    """A prober at any place; what is asked for passes unless it is in ``lost``, and names have the addresses."""

    def __init__(self, *lost: str, addresses: tuple[str, ...] = ()) -> None:
        self._lost = lost
        self._addresses = tuple(map(IPv6Address, addresses))

    async def ping(self, target: IPv6Address, _: int = 64) -> ProbeOutcome:
        return self._outcome("ping", target)

    async def path_mtu(self, target: IPv6Address, _: int) -> ProbeOutcome:
        return self._outcome("path MTU", target)

    async def connect(self, target: IPv6Address, _: int) -> ProbeOutcome:
        return self._outcome("connect", target)

    async def resolve(self, _: object, name: str) -> tuple[ProbeOutcome, tuple[IPv6Address, ...]]:
        return self._outcome("resolve", name), self._addresses

    def _outcome(self, what: str, target: object) -> ProbeOutcome:
        passed = what not in self._lost and target not in self._lost
        return ProbeOutcome(passed, f"{what} {target}: {'answered' if passed else 'nothing came back'}")


_ETH0 = Interface(2, "eth0", "veth", up=True, mtu=1500)
_INSIDE = _Inside("probe", cast("Any", None), EMBEDDED_DNS, _ETH0, IPv6Address("fd00::2"))


def _reached(target: str, inside: _Prober, host: _Prober) -> list[HostCheck]:
    probe = _probe(chosen=True, walks=[])
    probe._host = cast("Any", host)
    return asyncio.run(probe._target(_NETWORK, cast("Any", inside), parse_target(target), _INSIDE))


def test_an_address_of_a_name_is_tried_only_if_it_may_be_outside() -> None:
    found = _reached("www.example.org", _Prober(addresses=("::", "2001:db8::1")), _Prober())
    assert {each.message for each in found} == {"ping 2001:db8::1: answered", "path MTU 2001:db8::1: answered"}
    (blocked,) = _reached("www.example.org", _Prober(addresses=("::", "::1")), _Prober())
    assert blocked.id == FindingId.PROBE_DNS_FAILED


def test_a_host_whose_port_answers_need_not_answer_pings() -> None:
    target = "[2001:db8::1]:443"
    pinged, connected = _reached(target, _Prober("ping"), _Prober("ping"))
    assert (pinged.id, pinged.message) == (None, "2001:db8::1 does not answer echo requests; its port 443 does")
    assert connected.id is None
    lost = _reached(target, _Prober("ping", "connect"), _Prober("ping", "connect"))
    assert [each.id for each in lost] == [FindingId.PROBE_OUTSIDE_UNREACHABLE] * 2
    blocked, _ = _reached(target, _Prober("ping"), _Prober())  # it answers the host
    assert blocked.id == FindingId.PROBE_EGRESS_BLOCKED


@pytest.mark.parametrize(
    ("engine", "log", "config"),
    [
        (EngineProcess(1, Path("/d"), (), {}, Path("/srv/d.json"), "d2.service"), "d2.service", "/srv/d.json"),
        (EngineProcess(1, Path("/d"), (), {}, Path("/srv/d.json"), ""), "log of the engine", "/srv/d.json"),
        (None, "log of the engine", "daemon.json"),
    ],
)
def test_the_remedies_of_a_resolver_name_the_unit_and_the_file_of_the_engine(
    engine: EngineProcess | None, log: str, config: str
) -> None:
    probe = _probe(chosen=True, walks=[], engine=engine)

    def asked(prober: _Prober) -> HostCheck:
        return asyncio.run(probe._dns(_NETWORK, cast("Any", prober), _INSIDE, "www.example.org"))[-1]

    assert asked(_Prober("resolve")).remedy[0].endswith(log)
    probe._host = cast("Any", _Prober("resolve"))
    (remedy,) = asked(_Prober("www.example.org", addresses=(str(_INSIDE.address),))).remedy
    assert remedy.endswith(f"`dns` in {config}")


@pytest.mark.parametrize(("chosen", "finding"), [(False, None), (True, FindingId.PROBE_OUTSIDE_UNREACHABLE)])
def test_a_resolver_that_refuses_tcp_is_reached_and_a_refused_target_is_a_failure(
    *, chosen: bool, finding: FindingId | None
) -> None:
    async def refused(_: object) -> ProbeOutcome:
        return ProbeOutcome(False, "refused", rejected=True, reset=True)

    probe = _probe(chosen=chosen, walks=[])
    assert asyncio.run(probe._tried(_NETWORK, cast("Any", None), refused)).id == finding


def test_the_packet_walk_is_made_once_for_all_that_fails() -> None:
    walks: list[str] = []

    async def several() -> None:
        probe = _probe(chosen=False, walks=walks)
        finding = FindingId.PROBE_PORT_UNREACHABLE
        await asyncio.gather(*(probe.explained("port", "lost", _NETWORK, finding) for _ in range(9)))

    asyncio.run(several())
    assert walks == ["walk"]


def test_a_walk_that_was_cancelled_with_what_waited_for_it_is_made_again() -> None:
    walks: list[str] = []

    async def twice() -> HostCheck:
        probe = _probe(chosen=False, walks=walks)
        arguments = ("outside", "lost", _NETWORK, FindingId.PROBE_EGRESS_BLOCKED)
        waiting = asyncio.ensure_future(probe.explained(*arguments))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        return await probe.explained(*arguments)

    assert asyncio.run(twice()).message == "lost"


class _Containers:
    """Starts nothing."""

    async def start(self, _: str) -> StartedContainer:
        return StartedContainer("id", "dockerv6-probe-0")

    async def remove_all(self) -> None:
        """Refuse nothing."""

    async def close(self) -> None:
        """Close nothing."""


class _Namespace:
    """A namespace that can't be entered, or in which something fails."""

    def __init__(self, *errors: OSError | None) -> None:
        self._errors = iter(errors)
        self.closed = False

    def run(self, _: object) -> tuple[()]:
        error = next(self._errors, None)
        if error is not None:
            raise error
        return ()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> list[_Namespace]:
    """The namespaces of the containers that are started, which come from this list."""
    namespaces: list[_Namespace] = []
    coming = iter(namespaces)
    monkeypatch.setattr(ContainerProcesses, "process", lambda *_: os.getpid())
    monkeypatch.setattr(NetworkNamespace, "of_process", lambda _: next(coming))
    monkeypatch.setattr(probes, "_ADDRESS_PATIENCE", 0)
    return namespaces


def _probed(monkeypatch: pytest.MonkeyPatch, state_dir: Path, *networks: str) -> list[HostCheck]:
    monkeypatch.setattr(probes, "ThrowawayContainers", lambda *_: _Containers())
    monkeypatch.setattr(probes, "external_addresses", lambda _: ())
    known = [ProbedNetwork(each, {"networkID": each}) for each in networks]
    settings = cast("Any", SimpleNamespace(state_dir=state_dir, docker_host=None))
    host = cast("Any", SimpleNamespace(routes=(), interfaces={}))
    request = ProbeRequest(targets=(parse_target("2001:db8::1"),))
    return asyncio.run(probes.probe(settings, request, known, host, cast("Any", None), None))


def test_an_error_of_the_host_ends_the_probe_of_its_network_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, entered: list[_Namespace]
) -> None:
    entered += (_Namespace(), _Namespace(None, OSError(errno.ENOBUFS, "no buffers")), _Namespace())
    assert [(each.name, each.id) for each in _probed(monkeypatch, tmp_path, "blog", "shop", "wiki")] == [
        ("blog: address", FindingId.PROBE_NO_ADDRESS),
        ("shop: probe", FindingId.PROBE_IMPOSSIBLE),
        ("wiki: address", FindingId.PROBE_NO_ADDRESS),
    ]
    assert [each.closed for each in entered] == [True] * 3


def test_a_namespace_that_can_not_be_entered_is_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, entered: list[_Namespace]
) -> None:
    entered.append(_Namespace(PermissionError(errno.EPERM, "Operation not permitted")))
    (found,) = _probed(monkeypatch, tmp_path, "blog")
    assert "can't be entered" in found.message
    assert entered[0].closed


def test_root_is_the_remedy_where_the_permission_is_missing_and_not_for_another_probe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    with probes._lock(tmp_path):
        (busy,) = _probed(monkeypatch, tmp_path, "blog")
    assert (busy.id, busy.remedy) == (FindingId.PROBE_IMPOSSIBLE, ())
    monkeypatch.setattr(os, "open", refused)
    (denied,) = _probed(monkeypatch, tmp_path, "blog")
    assert denied.message == f"Permission denied: {tmp_path}"
    assert denied.remedy == ("run it as root, on the host of the engine",)
