"""Stopping, crashing, upgrading and starting the operator interrupts no packet and rewrites no rule."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import network_id, network_yaml, our_table
from tests.lab.net import FAR_ADDRESS, ping, ping_stream, tcp_stream
from tests.lab.packets import count_packets

if TYPE_CHECKING:
    from tests.lab.lab import Lab
    from tests.lab.operator import Operator

_SOURCE = Path(__file__).parents[2] / "operator"
_PORT = 7002

# an engine without IPv6 rules, where all translation is ours, and one with them
pytestmark = pytest.mark.core_cells("20.10-off", "28.5")


def test_no_packet_is_lost_and_no_rule_rewritten_while_the_operator_restarts(lab: Lab, tmp_path: Path) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.wait_ready("ipv6network/blog")
    container = engine.run("web", "blog")
    assert ping(engine, container, FAR_ADDRESS)
    table, network = our_table(engine), network_id(engine, "blog")
    inside = partial(engine.container_netns_exec, container)
    with (
        count_packets(inside, lab.neighbour.exec, _PORT) as packets,
        lab.neighbour.tcp_server(_PORT),
        ping_stream(engine, container, FAR_ADDRESS) as pings,
        tcp_stream(engine, container, FAR_ADDRESS, _PORT) as stream,
    ):
        assert operator.stop() == 0
        operator.start()
        _wait_working(operator, "first")
        operator.kill()
        operator.start()
        _wait_working(operator, "second")
        assert operator.stop() == 0
        operator.start(environment=_another_version(tmp_path, "99.0.0"))
        _wait_working(operator, "third")
        assert "dockerv6 99.0.0" in operator.log_tail()
        pinged, streamed = pings.stop(), stream.stop()
        assert pinged.sent > 0
        assert (pinged.lost, pinged.error) == (0, "")
        assert (streamed.lost, streamed.error) == (0, "")
        assert packets.dropped() == 0
    assert network_id(engine, "blog") == network
    assert set(_rules(table)) <= set(_rules(our_table(engine)))


def _wait_working(operator: Operator, name: str) -> None:
    """Wait until the daemon has created another network: it has then read the sources and observed the host."""
    operator.apply_yaml(f"{name}.yaml", network_yaml(name))
    operator.wait_ready(f"ipv6network/{name}")


def _another_version(directory: Path, version: str) -> dict[str, str]:
    """Install the same program as another version; return the environment that runs it."""
    installed = directory / "upgrade"
    shutil.copytree(_SOURCE / "dockerv6", installed / "dockerv6")
    metadata = installed / f"dockerv6-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: dockerv6\nVersion: {version}\n")
    return {"PYTHONPATH": str(installed)}


def _rules(listing: str) -> list[str]:
    """The chains and rules, with their handles."""
    return [line.strip() for line in listing.splitlines() if "# handle" in line and "elements" not in line]
