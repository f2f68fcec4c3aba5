"""passteque/gluetun#2412: the address of a service behind a VPN container must be known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import condition, eventually, has_condition, network_yaml
from tests.lab.engine import IMAGE

if TYPE_CHECKING:
    from tests.lab.engine import Engine
    from tests.lab.lab import Lab

_STACK = {"stack": "torrent"}


def run_behind(engine: Engine, owner: str) -> None:
    """As Compose does with `network_mode: service:...`."""
    options = ("--pull", "never", "--label", "stack=torrent", "--network", f"container:{owner}")
    engine.docker("run", "-d", "--name", "app", *options, IMAGE, "sleep", "3600")


@pytest.mark.core_cells("28.5")
def test_a_service_in_the_network_of_a_member_is_no_finding(lab: Lab) -> None:
    lab.engine.run("vpn", None)
    run_behind(lab.engine, "vpn")
    operator = lab.operator()
    operator.apply_yaml("six.yaml", network_yaml("six", {"members": {"matchLabels": _STACK}}))
    operator.start()
    eventually(has_condition(operator, "six", "NetworkReady", "Unknown", "MemberRefused"), "the owner is no member")
    found = condition(operator, "six", "NetworkReady")
    assert found is not None
    assert "app shares the network of container vpn, which is not a member" in found["message"]
    lab.engine.docker("rm", "-f", "app", "vpn")
    lab.engine.run("vpn", None, labels=_STACK)
    run_behind(lab.engine, "vpn")
    eventually(has_condition(operator, "six", "NetworkReady", "True", "InSync"), "there is no finding")
    address = lab.engine.container_addresses("vpn", "six")["6"]
    assert address in lab.engine.container_exec("app", "ip", "-6", "addr").stdout
