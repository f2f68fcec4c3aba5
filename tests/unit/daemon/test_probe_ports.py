"""Published ports that a probe tries: who accepts, what can't be tried, and how many at once."""

from __future__ import annotations

import asyncio
import errno
import os
from ipaddress import IPv6Address
from typing import Any, ClassVar

import pytest

from dockerv6.daemon import probe_ports
from dockerv6.daemon.findings import FindingId, HostCheck, fail
from dockerv6.daemon.probe_networks import ProbedNetwork
from dockerv6.daemon.probe_ports import published
from dockerv6.probe.attempts import ProbeOutcome

_HOST = IPv6Address("2001:db8::1")


class _Namespace:
    refusal: ClassVar[int] = 0
    open_socket = None

    @classmethod
    def create(cls) -> _Namespace:
        if cls.refusal:
            raise OSError(cls.refusal, os.strerror(cls.refusal))
        return cls()

    def join(self) -> tuple[str, IPv6Address, IPv6Address]:
        return "d6p0", IPv6Address("fd00::1"), IPv6Address("fd00::2")

    def close(self) -> None:
        """As the real one."""


class _Prober:
    """A host that itself accepts on 8080, leads 8081 to a container that serves it, and 8082 to one that does not."""

    running: ClassVar[int] = 0
    most: ClassVar[int] = 0

    def __init__(self, *_: object) -> None:
        """Take what the real one takes."""

    async def connect(self, target: IPv6Address, port: int, hops: int = 64) -> ProbeOutcome:
        _Prober.running += 1
        _Prober.most = max(_Prober.most, _Prober.running)
        await asyncio.sleep(0)
        _Prober.running -= 1
        passed = port == 8080 or (port == 8081 and hops > 1)
        return ProbeOutcome(passed, f"to [{target}]:{port}", reset=port == 8082)


@pytest.fixture(autouse=True)
def _simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_ports, "NetworkNamespace", _Namespace)
    monkeypatch.setattr(probe_ports, "Prober", _Prober)
    monkeypatch.setattr(_Namespace, "refusal", 0)
    monkeypatch.setattr(_Prober, "most", 0)


def _tried(*ports: dict[str, Any]) -> list[HostCheck]:
    async def explain(name: str, message: str, _: ProbedNetwork, finding: FindingId) -> HostCheck:
        return fail(finding, name, message)

    common = {"protocol": "tcp", "hostAddress": "::", "container": "web", "address": "fd00:1::2", "targetPort": 80}
    status = {"publishedPorts": [{**common, **port} for port in ports]}
    return asyncio.run(published([ProbedNetwork("blog", status)], _HOST, explain))


def test_a_port_that_the_host_itself_accepts_does_not_count_as_the_containers() -> None:
    by_host, by_container = _tried({"port": 8080}, {"port": 8081})
    assert by_host.id == FindingId.PROBE_PORT_UNREACHABLE
    assert "docker-proxy" in by_host.message
    assert by_container.id is None


@pytest.mark.parametrize(
    "port", [{"hostAddress": "::1"}, {"hostAddress": "fe80::1"}, {"protocol": "udp"}, {"from": ["2001:db8::/32"]}]
)
def test_what_no_other_host_can_try_is_not_tried(port: dict[str, Any]) -> None:
    (found,) = _tried({"port": 9999, **port})
    assert found.id is None
    assert "not tested" in found.message


def test_a_port_of_one_address_is_tried_there() -> None:
    (found,) = _tried({"port": 8081, "hostAddress": "2001:db8::7"})
    assert "[2001:db8::7]:8081" in found.message


def test_a_remedy_names_a_container_or_there_is_none() -> None:
    named, unnamed = _tried({"port": 8082}, {"port": 8082, "container": ""})
    assert named.remedy == ("docker exec web ss -lnt",)
    assert unnamed.remedy == ()
    assert "fd00:1::2" in unnamed.message


def test_a_range_of_ports_does_not_use_up_the_files_of_the_process() -> None:
    assert len(_tried(*({"port": number} for number in range(20000, 21000)))) == 1000
    assert _Prober.most == 64


def test_without_the_privilege_ports_are_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Namespace, "refusal", errno.EPERM)
    (found,) = _tried({"port": 8081})
    assert found.id == FindingId.PROBE_IMPOSSIBLE
    assert "Operation not permitted" in found.message
    assert found.remedy == ("run it as root, on the host of the engine",)
    monkeypatch.setattr(_Namespace, "refusal", errno.ENOSPC)
    (full,) = _tried({"port": 8081})
    assert full.remedy == ()
