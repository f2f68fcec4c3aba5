"""`dockerv6 doctor --probe` with real containers and packets: what works, what is broken, and what is left afterwards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.cluster import eventually, network_yaml, resource
from tests.lab.net import FAR_ADDRESS

if TYPE_CHECKING:
    from tests.lab.engine import Engine
    from tests.lab.lab import Lab
    from tests.lab.operator import Operator

pytestmark = pytest.mark.core_cells("28.5")


def _started(lab: Lab, spec: dict[str, Any] | None = None) -> Operator:
    operator = lab.operator()
    operator.apply_yaml("blog.yaml", network_yaml("blog", spec))
    operator.start()
    operator.wait_ready("ipv6network/blog")
    return operator


def _probe(operator: Operator, *arguments: str) -> list[dict[str, Any]]:
    """The findings of the probes, those of the other checks left out."""
    done = operator.cli("doctor", "--probe", "-o", "json", *arguments, check=False)
    assert done.returncode in (0, 1), done.stderr
    checks = json.loads(done.stdout)["checks"]
    found = [each for each in checks if ": " in each["name"] or each["name"] == "probe"]
    print(json.dumps(found, indent=1))
    return found


def _ids(found: list[dict[str, Any]]) -> set[str]:
    return {each["id"] for each in found if each["id"] is not None}


def _leftovers(engine: Engine) -> list[str]:
    client = engine.client()
    containers = client.containers(all=True, filters={"label": "dockerv6.io/probe"})
    images = [tag for image in client.images() for tag in image.get("RepoTags") or () if "probe" in tag]
    links = [line for line in engine.netexec("ip", "-o", "link").stdout.splitlines() if ": d6p" in line]
    return [*(each["Id"] for each in containers), *images, *links]


def test_a_network_that_works_passes_every_probe_and_nothing_is_left(lab: Lab) -> None:
    operator = _started(lab)
    lab.engine.run("web", "blog", ports={"80/tcp": 8080}, command=("responder", "tcp/80"))
    eventually(lambda: resource(operator, "blog")["status"]["publishedPorts"], "the port is published")
    with lab.neighbour.tcp_server(7000):
        found = _probe(operator, "--probe-target", f"[{FAR_ADDRESS}]:7000")
    assert _ids(found) <= {"ProbeDNSFailed"}
    assert {each["name"] for each in found} == {
        *("blog: address", "blog: gateway", "blog: DNS", "blog: outside", "blog: path MTU", "blog: published"),
    }
    assert _leftovers(lab.engine) == []
