"""Remedies of findings about the host, pasted into a shell of a real kernel."""

import re
import subprocess
from collections.abc import AsyncIterator
from ipaddress import IPv6Address

import pytest

from dockerv6.api.traffic import Egress
from dockerv6.controller.world import World
from dockerv6.hostnet.linux import LinuxHostNet
from dockerv6.planning.host.uplinks import snat_findings, uplink_findings
from dockerv6.planning.plan import Finding
from tests.fakes.clock import FakeClock
from tests.fakes.dockerd.engine import FakeEngine
from tests.host.network import ip
from tests.unit.planning.scene import foreign

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("private_netns")]

OWN, EXTRA, FAR = (IPv6Address(f"2001:db8:{part}::2") for part in (1, 2, 3))
NETWORK = foreign("legacy", "fd99::/64", 8)


@pytest.fixture
async def world(private_netns: None) -> AsyncIterator[World]:
    """A host with one uplink, u0."""
    assert private_netns is None
    ip(batch="link add u0 type veth peer name u1\nlink set u0 up\nlink set u1 up\n")
    ip(batch=f"addr add {OWN}/64 dev u0 nodad\nroute add default via 2001:db8:1::1 dev u0\n")
    host = LinuxHostNet()
    yield World(FakeEngine(), host, FakeClock())
    await host.close()


async def findings(world: World) -> tuple[Finding, ...]:
    world.host_changed()
    return uplink_findings(await world.host_view.get(), Egress(), (NETWORK,), managed=False)


def paste(command: str) -> None:
    subprocess.run(["sh", "-ec", command], check=True, capture_output=True)


async def test_a_missing_snat_address_is_added_and_the_host_keeps_its_source_address(world: World) -> None:
    (found,) = snat_findings(EXTRA, await world.host_view.get())
    command = re.search(r"ip -6 addr add .* preferred_lft 0", found.message)
    assert command is not None
    paste(f"{command[0]} nodad")  # no wait for duplicate address detection
    world.host_changed()
    assert snat_findings(EXTRA, await world.host_view.get()) == ()
    assert f"src {OWN} " in ip("route", "get", str(FAR))


@pytest.mark.parametrize(("name", "reason"), [("all", "HostNotReady"), ("u0", "NoDefaultRoute")])
async def test_ipv6_that_is_off_is_named_and_turned_on_again(world: World, name: str, reason: str) -> None:
    assert await findings(world) == ()
    await world.host.set_sysctl(f"net/ipv6/conf/{name}/disable_ipv6", "1")
    (found,) = await findings(world)
    assert found.reason == reason
    assert f"net/ipv6/conf/{name}/disable_ipv6" in found.message
    command = re.search(r"sysctl -w [^,]*", found.message)
    assert command is not None
    paste(command[0])
    world.host_changed()
    assert (await world.host_view.get()).ipv6_off == frozenset()
    assert await world.host.sysctl("net/ipv6/conf/u0/disable_ipv6") == "0"
