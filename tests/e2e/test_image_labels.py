"""Labels that an image brings along select nothing: neither membership, nor a service's name, nor a published port."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import eventually, network_yaml, resource
from tests.e2e.site import Site, exclusive_site, published, reach_as
from tests.lab.engine import IMAGE
from tests.lab.net import NEIGHBOUR_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.lab.cells import Cell
    from tests.lab.lab import EnginePool, Lab

pytestmark = pytest.mark.core_cells("28.5")

_PROJECT, _SERVICE = "com.docker.compose.project", "com.docker.compose.service"
_CLAIMED = {_PROJECT: "wordpress", _SERVICE: "db", "app": "shop"}
_MEMBERS = {"members": {"matchLabels": {_PROJECT: "wordpress"}}}
_PORT = {"publish": {"ports": [{"port": 8080, "targetPort": 80, "containers": {"matchLabels": {"app": "shop"}}}]}}


@pytest.fixture(scope="module")
def site(cell: Cell, engine_pool: EnginePool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with exclusive_site(engine_pool, cell.settings, tmp_path_factory.mktemp("site")) as site:
        site.start()
        yield site


@pytest.fixture(autouse=True)
def _logs(site: Site, report_logs_of: Callable[[Lab], None]) -> None:
    report_logs_of(site.lab)


@pytest.fixture(scope="module")
def evil_image(site: Site) -> str:
    return image_with(site, "evil:test", _CLAIMED)


def image_with(site: Site, tag: str, labels: Mapping[str, str]) -> str:
    """The test image with labels, as a Dockerfile with FROM and LABEL makes it."""
    site.engine.docker("create", "--pull", "never", "--name", "model", IMAGE)
    changes = (part for key, value in labels.items() for part in ("--change", f"LABEL {key}={json.dumps(value)}"))
    site.engine.docker("commit", *changes, "model", tag)
    site.engine.docker("rm", "model")
    return tag


def _on(site: Site, network: str) -> dict[str, list[str]]:
    """The containers on a network, each with its aliases."""
    client = site.engine.client()
    names = [each["Name"] for each in client.inspect_network(network)["Containers"].values()]
    return {
        name: client.inspect_container(name)["NetworkSettings"]["Networks"][network]["Aliases"] or [] for name in names
    }


def test_an_image_with_the_labels_of_a_compose_service_is_not_attached(site: Site, evil_image: str) -> None:
    site.operator.apply_yaml("wordpress.yaml", network_yaml("wordpress", _MEMBERS))
    site.run("evil", "bridge", image=evil_image)
    reported = site.wait_for_reason("wordpress", "NetworkReady", "NoMember")
    eventually(
        lambda: "container evil has the labels from its image only" in _message(site, "wordpress", "NetworkReady"),
        f"the container is named: {reported}",
    )
    site.run("wordpress-db-1", "bridge", labels={_PROJECT: "wordpress", _SERVICE: "db"})
    eventually(lambda: "wordpress-db-1" in _on(site, "wordpress"), "the service is attached")
    assert "db" in _on(site, "wordpress").pop("wordpress-db-1")
    assert set(_on(site, "wordpress")) == {"wordpress-db-1"}
    site.remove("evil", "wordpress-db-1")
    site.operator.remove_yaml("wordpress.yaml")


def test_a_service_whose_image_compose_built_is_attached_with_its_name(site: Site) -> None:
    built = {_PROJECT: "wordpress", _SERVICE: "web"}
    image = image_with(site, "wordpress-web:test", built)
    site.operator.apply_yaml("built.yaml", network_yaml("built", _MEMBERS))
    site.run("copy", "bridge", image=image)
    site.run("wordpress-web-1", "bridge", image=image, labels={**built, "com.docker.compose.config-hash": "4f2a"})
    eventually(lambda: "wordpress-web-1" in _on(site, "built"), "the service is attached")
    assert "web" in _on(site, "built").pop("wordpress-web-1")
    assert set(_on(site, "built")) == {"wordpress-web-1"}
    site.remove("copy", "wordpress-web-1")
    site.operator.remove_yaml("built.yaml")


def test_an_image_does_not_get_a_published_port(site: Site, evil_image: str) -> None:
    site.operator.apply_yaml("shop.yaml", network_yaml("shop", _PORT))
    site.operator.cli("wait", "ipv6network/shop", "--for=condition=NetworkReady", "--timeout=60s")
    site.run("evil", "shop", image=evil_image)  # the oldest container would get the port
    eventually(
        lambda: "container evil has the labels from its image only" in _message(site, "shop", "PortsPublished"),
        "the container is named",
    )
    site.run("shop-1", "shop", labels={"app": "shop"})
    site.operator.wait_ready("ipv6network/shop")
    reach_as(site.neighbour, published(8080), "shop-1", NEIGHBOUR_ADDRESS)
    site.remove("evil", "shop-1")
    site.operator.remove_yaml("shop.yaml")


def _message(site: Site, name: str, condition: str) -> str:
    conditions = resource(site.operator, name)["status"]["conditions"]
    return next((str(each["message"]) for each in conditions if each["type"] == condition), "")
