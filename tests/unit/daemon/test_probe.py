"""What a probe concludes from what came back."""

from __future__ import annotations

import asyncio
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any, cast

import pytest

from dockerv6.daemon.findings import FindingId
from dockerv6.daemon.probe import EMBEDDED_DNS, _Inside, _Outside, _Probe
from dockerv6.daemon.probe_networks import ProbedNetwork
from dockerv6.hostnet.model import Interface
from dockerv6.probe.attempts import ProbeOutcome
from dockerv6.probe.targets import parse_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dockerv6.daemon.findings import HostCheck
    from dockerv6.firewall.model import FlowProblem

_NETWORK = ProbedNetwork("blog", {"egress": "Routed", "subnet": "2001:db8:5::/64"})


def _probe(*, chosen: bool, walks: list[str]) -> _Probe:
    async def walk() -> Mapping[str, Sequence[FlowProblem]]:
        await asyncio.sleep(0)
        walks.append("walk")
        return {}

    return _Probe(cast("Any", None), _Outside((), chosen, None, frozenset()), walk)


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
        passed = what not in self._lost
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
