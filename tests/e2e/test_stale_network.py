"""An engine that is killed between its two records of a network keeps the network without listing it."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from docker.errors import APIError, DockerException
from docker.types import IPAMConfig, IPAMPool
from requests import RequestException

from tests.e2e.cluster import condition, eventually, has_condition, network_yaml, subnet_of, wait_no_changes
from tests.lab.net import FAR_ADDRESS, ping

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.engine import Engine
    from tests.lab.lab import Lab

_SUBNET, _FOREIGN = "fd12:3456:789a:1::/64", "fd12:3456:789b:1::/64"
_BRIDGE = "v6-blog"
_KILLS = 40
"""About every fourth kill hits the moment between the records, beside two busy loops."""
_MOMENT = 0.0002  # seconds

# 20.10-on differs from 20.10-off in its IPv6 rules only, and these tests do not depend on them
pytestmark = pytest.mark.core_cells("20.10-off", "28.5")


def _create(engine: Engine) -> None:
    ipam = IPAMConfig(pool_configs=[IPAMPool(subnet=_SUBNET)])
    options = {"com.docker.network.bridge.name": _BRIDGE}
    engine.client().create_network("blog", driver="bridge", options=options, ipam=ipam, enable_ipv6=True)


def _create_and_be_killed(engine: Engine) -> None:
    """Kill the engine as soon as its bridge driver's record is in its database.

    It runs for moments only, and is stopped while the database is read: it can't write the next record meanwhile.
    """
    database = engine.directory / "data" / "network" / "files" / "local-kv.db"
    record = f'"BridgeName":"{_BRIDGE}"'.encode()

    def create() -> None:
        with suppress(DockerException, RequestException):
            _create(engine)

    creation = threading.Thread(target=create)
    pid = engine.pid
    creation.start()
    while creation.is_alive():
        os.kill(pid, signal.SIGSTOP)
        if record in database.read_bytes():
            break
        os.kill(pid, signal.SIGCONT)
        time.sleep(_MOMENT)
    os.kill(pid, signal.SIGKILL)
    creation.join()
    engine.kill()


def _refuses(engine: Engine) -> bool:
    try:
        _create(engine)
    except APIError as refused:
        return "networks have same bridge name" in str(refused)
    return False


@pytest.fixture
def stale(make_lab: Callable[..., Lab]) -> Lab:
    """A host whose engine keeps a network with the bridge of the resource blog, which it does not list."""
    lab = make_lab()
    engine = lab.engine
    for _ in range(_KILLS):
        _create_and_be_killed(engine)
        engine.start()
        if engine.client().networks(names=["blog"]):
            engine.client().remove_network("blog")
            continue
        if _refuses(engine):
            return lab
        engine.client().remove_network("blog")
    raise AssertionError(f"{_KILLS} kills did not hit the moment between the records")


def test_it_is_reported_and_the_remedy_of_the_message_works(stale: Lab) -> None:
    engine, operator = stale.engine, stale.operator()
    operator.apply_yaml("blog.yaml", network_yaml("blog", {"addressing": {"subnet": _SUBNET}}))
    operator.apply_yaml("shop.yaml", network_yaml("shop"))
    operator.start()
    eventually(has_condition(operator, "blog", "Ready", "False", "StaleNetwork"), "it is reported")
    operator.wait_ready("ipv6network/shop")
    reported = condition(operator, "blog", "Ready")
    assert reported is not None
    assert "choose another spec.bridge.name and spec.addressing.subnet" in reported["message"]
    engine.restart()
    eventually(has_condition(operator, "blog", "Ready", "False", "StaleNetwork"), "a restart does not help")
    changed = {"bridge": {"name": "v6-blog-2"}, "addressing": {"subnet": "fd12:3456:789a:2::/64"}}
    operator.apply_yaml("blog.yaml", network_yaml("blog", changed))
    operator.wait_ready("ipv6network/blog")
    assert ping(engine, engine.run("web", "blog"), FAR_ADDRESS)
    engine.kill()
    engine.start()
    operator.wait_ready("ipv6network/blog")
    assert subnet_of(engine, "blog") == "fd12:3456:789a:2::/64"
    wait_no_changes(operator)


def test_without_its_database_the_engine_gets_the_network_with_its_subnet(stale: Lab) -> None:
    """The other way, of docs/troubleshooting.md: networks of others have to be created again."""
    engine, operator = stale.engine, stale.operator()
    engine.docker("network", "create", "--ipv6", "--subnet", _FOREIGN, "guest")
    operator.apply_yaml("blog.yaml", network_yaml("blog", {"addressing": {"subnet": _SUBNET}}))
    operator.apply_yaml("shop.yaml", network_yaml("shop"))
    operator.start()
    operator.wait_ready("ipv6network/shop")
    web = engine.run("web", "shop", host_config={"RestartPolicy": {"Name": "always"}})
    eventually(has_condition(operator, "blog", "Ready", "False", "StaleNetwork"), "it is reported")
    shop = subnet_of(engine, "shop")
    engine.stop()
    database = engine.directory / "data" / "network" / "files" / "local-kv.db"
    database.rename(database.with_suffix(".old"))
    engine.start()
    operator.wait_ready("ipv6network/blog")
    operator.wait_ready("ipv6network/shop")
    assert (subnet_of(engine, "blog"), subnet_of(engine, "shop")) == (_SUBNET, shop)
    assert not engine.client().networks(names=["guest"])
    engine.docker("restart", "web", check=False)
    eventually(lambda: ping(engine, web, FAR_ADDRESS), "the container is attached again")
