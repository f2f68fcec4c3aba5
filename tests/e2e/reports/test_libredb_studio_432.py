"""libredb/libredb-studio#432: a program listens on 0.0.0.0 only, and whose port is refused over IPv6 must be named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import condition, eventually, has_condition, network_yaml
from tests.e2e.site import published
from tests.lab.net import HOST_ADDRESS
from tests.lab.probe import ask

if TYPE_CHECKING:
    from tests.lab.lab import Lab

_STACK = {"stack": "studio"}


def answers(lab: Lab) -> bool:
    """Whether a neighbour gets an answer over IPv6."""
    url = f"http://[{HOST_ADDRESS}]:8080/"
    return lab.neighbour.namespace.exec("curl", "-s", "--max-time", "2", url, check=False).returncode == 0


@pytest.mark.core_cells("28.5")
def test_a_port_that_is_refused_over_ipv6_is_named_with_its_container(lab: Lab) -> None:
    lab.engine.docker("network", "create", "studio_default")
    command = ("httpd", "-f", "-p", "0.0.0.0:80", "-h", "/etc")
    lab.engine.run("studio", "studio_default", command=command, ports={"80/tcp": 8080}, labels=_STACK)
    eventually(lambda: answers(lab), "the engine's proxy answers")
    operator = lab.operator()
    operator.apply_yaml("studio.yaml", network_yaml("studio", {"members": {"matchLabels": _STACK}}))
    operator.start()
    eventually(has_condition(operator, "studio", "PortsPublished", "False", "IPv4Only"), "it is noticed")
    assert not answers(lab)
    found = condition(operator, "studio", "Ready")
    assert found is not None
    assert found["status"] == "False"
    assert "tcp port 8080 on [::] leads to port 80 of container studio" in found["message"]
    assert operator.cli("plan", check=False).stdout.count("IPv4 only") <= 1
    lab.engine.docker("rm", "-f", "studio")
    lab.engine.run("studio", "studio_default", command=("responder", "tcp/80"), ports={"80/tcp": 8080}, labels=_STACK)
    eventually(has_condition(operator, "studio", "Ready", "True", "ReconcileSucceeded"), "the remedy works")
    eventually(lambda: ask(lab.neighbour.namespace.path, published(8080), patience=0.3), "it answers")
