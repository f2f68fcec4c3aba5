"""docker/for-linux#599: what to write must be known when the engine has no free IPv4 subnet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import condition, eventually, has_condition, network_yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.lab import Lab

_POOLS = {"default-address-pools": [{"base": "10.9.0.0/23", "size": 24}]}  # the default bridge and one more


@pytest.mark.core_cells("20.10-off", "28.5")
def test_used_up_ipv4_pools_are_named_and_the_remedy_works(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(config=_POOLS)
    lab.engine.docker("network", "create", "other")
    operator = lab.operator()
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.start()
    eventually(has_condition(operator, "blog", "NetworkReady", "False", "IPv4PoolsExhausted"), "IPv4 is named")
    network, ready = condition(operator, "blog", "NetworkReady"), condition(operator, "blog", "Ready")
    assert network is not None
    assert ready is not None
    assert ready["reason"] == "IPv4PoolsExhausted"
    for words in ("IPv4", "spec.ipv4.subnet", "default-address-pools"):
        assert words in ready["message"]
    assert "Docker says:" not in ready["message"]
    assert network["message"].count("Docker says:") == 1
    operator.apply_yaml("blog.yaml", network_yaml("blog", {"ipv4": {"subnet": "10.200.0.0/24"}}))
    operator.wait_ready("ipv6network/blog")
