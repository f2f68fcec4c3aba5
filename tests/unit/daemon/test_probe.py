"""What a probe concludes from what came back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from dockerv6.daemon.findings import FindingId
from dockerv6.daemon.probe import _Outside, _Probe
from dockerv6.daemon.probe_ports import ProbedNetwork
from dockerv6.probe.attempts import ProbeOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dockerv6.firewall.model import FlowProblem

_NETWORK = ProbedNetwork("blog", {"egress": "Routed", "subnet": "2001:db8:5::/64"})


def _probe(*, chosen: bool, walks: list[str]) -> _Probe:
    async def walk() -> Mapping[str, Sequence[FlowProblem]]:
        await asyncio.sleep(0)
        walks.append("walk")
        return {}

    return _Probe(cast("Any", None), _Outside((), chosen, None, frozenset()), walk)


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
