"""Renumbering that fails half-way is completed or rolled back, and no container stays detached."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from ipaddress import IPv6Network
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.cluster import eventually, network_id, subnet_of
from tests.e2e.engine_events import await_detachment
from tests.e2e.provider import suffix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.provider import Premises

pytestmark = pytest.mark.cells("28.5")

_OLD, _NEW = "2001:db8:a00::/56", "2001:db8:b00::/56"
_SPEC: dict[str, Any] = {
    "addressing": {"poolRef": {"name": "office"}},
    "egress": {"mode": "Routed"},
    "firewall": {"ingress": [{"ports": [{"port": 80}]}]},
    "updateStrategy": "Recreate",
}
_CONTAINERS = ("www", "api", "cache", "shop")
_STATIC = 0x80


def _populated(premises: Premises, pool: str = _OLD) -> dict[str, str]:
    """Create a network with running containers, one with a static address and a gap; return their addresses."""
    premises.configure_static_uplink("2001:db8:1::/64")
    for prefix in (_OLD, _NEW):
        premises.provider.delegate(prefix)
    premises.start()
    premises.apply_pool("office", {"prefix": pool})
    premises.network("web", _SPEC)
    subnet = IPv6Network(subnet_of(premises.engine, "web"))
    premises.run("shop", "web", address=str(subnet[_STATIC]), aliases=["buy"])
    premises.run("former", "web")
    for name in _CONTAINERS[:-1]:
        premises.run(name, "web")
    premises.remove("former")
    return _addresses(premises)


def _addresses(premises: Premises) -> dict[str, str]:
    return {name: premises.address(name, "web") for name in _CONTAINERS}


def _moved(addresses: dict[str, str]) -> dict[str, str]:
    return {name: str(IPv6Network(_NEW)[suffix(address, 56)]) for name, address in addresses.items()}


def _all_answer(premises: Premises, addresses: dict[str, str]) -> None:
    for name, address in addresses.items():
        premises.assert_reachable(premises.internet, address, name)
    aliases = premises.engine.client().inspect_container("shop")["NetworkSettings"]["Networks"]["web"]["Aliases"]
    assert "buy" in aliases


@contextmanager
def _halted_after_the_first_detachment(premises: Premises, pool: str = _NEW) -> Iterator[None]:
    """Renumber, and run the block when the network's first container has just been detached."""
    with await_detachment(premises.engine, "web") as detached:
        premises.apply_pool("office", {"prefix": pool})
        detached()
        pid = premises.operator.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_a_network_that_the_engine_refuses_is_rolled_back(premises: Premises) -> None:
    engine = premises.engine
    # pools with one subnet: there is no alternative
    old, new = "2001:db8:a00:40::/64", "2001:db8:b00:40::/64"
    before = _populated(premises, old)
    assert subnet_of(engine, "web") == old
    with _halted_after_the_first_detachment(premises, new):
        engine.docker("network", "create", "--ipv6", "--subnet", new, "usurper")
    eventually(lambda: "RolledBack" in premises.events("web"), "it is reported")
    assert subnet_of(engine, "web") == old
    assert _addresses(premises) == before
    _all_answer(premises, before)
    assert subnet_of(engine, "usurper") == new
    brought_back = network_id(engine, "web")

    # a refused change is not tried again, even if it would work now
    engine.docker("network", "rm", "usurper")
    reported = premises.wait_for_reason("web", "NetworkReady", "RolledBack")
    assert old in reported["message"]
    assert network_id(engine, "web") == brought_back
    premises.operator.stop()
    premises.start()
    eventually(lambda: subnet_of(engine, "web") == new, "a restart tries again")
    premises.ready("web")
    assert _addresses(premises) == _moved(before)
    _all_answer(premises, _moved(before))


def test_an_operator_that_is_killed_during_a_recreation_finishes_it_after_a_restart(premises: Premises) -> None:
    before = _populated(premises)
    with _halted_after_the_first_detachment(premises):
        premises.operator.kill()
    premises.start()
    premises.ready("web")
    eventually(lambda: _addresses(premises) == _moved(before), "all are attached at their previous addresses")
    _all_answer(premises, _moved(before))


def test_an_engine_that_is_killed_during_a_recreation_loses_no_container(premises: Premises) -> None:
    before = _populated(premises)
    with _halted_after_the_first_detachment(premises):
        premises.engine.kill()
    premises.engine.start()
    eventually(lambda: IPv6Network(subnet_of(premises.engine, "web")).subnet_of(IPv6Network(_NEW)), "it is renumbered")
    premises.ready("web")
    premises.engine.docker("start", *_CONTAINERS)
    # the containers stopped with the engine, which assigns free addresses at their start, except for static ones
    after = _addresses(premises)
    assert after["shop"] == _moved(before)["shop"]
    _all_answer(premises, after)
