"""Subnets that are larger than a /64, for which older engines compute other addresses (moby/moby#45402)."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest

from dockerv6.dockerd.model import Attachment, EngineInfo
from dockerv6.planning.docker.network_spec import address_findings, differences, network_spec
from dockerv6.planning.plan import Finding
from tests.unit.planning.scene import ENGINE_20_10, ENGINE_28, IDENTITY, container, created, desired, observed

LARGE = "fd00:45::/48"
NEW = (27, 2)


def findings(engine: EngineInfo = ENGINE_20_10, *attachments: Attachment, **addressing: Any) -> tuple[Finding, ...]:
    want = desired(addressing={"subnet": LARGE, **addressing}).resource
    subnet = want.spec.addressing.subnet
    assert subnet is not None
    state = observed(engine=engine, attachments=attachments)
    return address_findings(want.spec.addressing, network_spec(want, subnet, IDENTITY), state)


def test_a_large_subnet_is_a_warning_with_the_way_out() -> None:
    (found,) = findings()
    assert (found.reason, found.blocks, found.unknown) == ("EngineTooOld", False, True)
    assert "handles only fd00:45::/64" in found.message
    assert "upgrade to Docker Engine 28" in found.message


@pytest.mark.parametrize("engine", [ENGINE_28, replace(ENGINE_28, release=(0, 0))])
def test_newer_engines_can_do_it(engine: EngineInfo) -> None:
    assert findings(engine) == ()


def test_a_subnet_of_64_bits_is_as_good_as_any() -> None:
    assert findings(subnet="fd00:45::/64") == ()


def test_a_container_with_another_address_than_it_asked_for_is_named() -> None:
    wrong = replace(container("web", ipv6="fd00:45:0:5::9"), ipv6=IPv6Address("fd00:45::9"))
    (found,) = findings(ENGINE_20_10, wrong)
    assert (found.blocks, found.unknown) == (False, False)
    assert "web asked for fd00:45:0:5::9 and has fd00:45::9" in found.message


@pytest.mark.parametrize(
    "written",
    [{"gateway": "fd00:45:0:5::1"}, {"reserved": ["fd00:45:0:5::/126"]}, {"ipRange": "fd00:45:0:5::/80"}],
    ids=str,
)
def test_what_the_resource_itself_writes_there_is_refused(written: dict[str, object]) -> None:
    (found,) = findings(ENGINE_20_10, **written)
    assert (found.reason, found.blocks) == ("EngineTooOld", True)
    assert "fd00:45:0:5::" in found.message


def test_a_large_range_is_refused_by_engines_before_27_2() -> None:
    (found,) = findings(subnet="fd00:45::/64", ipRange="fd00:45::/64")
    assert (found.reason, found.blocks) == ("EngineTooOld", True)
    assert findings(replace(ENGINE_28, release=NEW), subnet="fd00:45::/64", ipRange="fd00:45::/64") == ()


def test_a_changed_range_is_a_difference() -> None:
    want = desired(addressing={"subnet": "fd00:45::/64", "ipRange": "fd00:45::8000/113"}).resource
    spec = network_spec(want, IPv6Network("fd00:45::/64"), IDENTITY)
    assert differences(spec, created(spec), ENGINE_28) == ()
    without = replace(spec, ipam=(replace(spec.ipam[0], ip_range=None),))
    assert differences(spec, created(without), ENGINE_28) == ("range of addresses is all, should be fd00:45::8000/113",)
    assert differences(without, created(spec), ENGINE_28) == ("range of addresses is fd00:45::8000/113, should be all",)
