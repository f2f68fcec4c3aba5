"""Remedies of findings about the host, pasted into a shell of a real kernel."""

import io
import os
import re
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from dockerv6.api.traffic import Egress, Firewall
from dockerv6.controller.world import World
from dockerv6.dockerd.model import BRIDGE_NAME
from dockerv6.dockerd.refusals import CATALOGUE
from dockerv6.hostnet.linux import LinuxHostNet
from dockerv6.planning.host.bridge_ports import source_findings
from dockerv6.planning.host.uplinks import snat_findings, uplink_findings
from dockerv6.planning.plan import Finding
from dockerv6.source.files import FileOwnership
from dockerv6.source.load import load_paths
from tests.fakes.clock import FakeClock
from tests.fakes.dockerd.engine import FakeEngine
from tests.host.network import ip, set_sysctl
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


ONE = re.compile(r"ip (?:-6 )?(?:link|address) [^;,)]*")


async def test_a_link_that_is_down_is_set_up(world: World) -> None:
    egress = Egress.model_validate({"interfaces": ["u0"]})
    ip("link", "set", "u0", "down")
    world.host_changed()
    (found,) = uplink_findings(await world.host_view.get(), egress, (NETWORK,), managed=False)
    paste(ONE.findall(found.message)[0].removesuffix("or correct the name").strip())
    world.host_changed()
    assert uplink_findings(await world.host_view.get(), egress, (NETWORK,), managed=False) == ()


async def test_what_ends_the_source_validation_is_removed(world: World) -> None:
    ip(batch="link add br-x type bridge\nlink set br-x up\n")
    ip(*["link", "add", "link", "u1", "name", "t0", "type", "macvlan", "mode", "passthru"])
    ip("link", "set", "t0", "master", "br-x")
    ip("address", "add", "2001:db8:66::1/64", "dev", "br-x", "nodad")
    network = replace(foreign("legacy", "fd99::/64", 8), options={BRIDGE_NAME: "br-x"})
    for reason in ("SourcesNotValidated", "SourcesDropped"):
        world.host_changed()
        (found,) = source_findings(await world.host_view.get(), Firewall(), (network,))
        assert found.reason == reason
        paste(ONE.findall(found.message)[0])
    world.host_changed()
    assert source_findings(await world.host_view.get(), Firewall(), (network,)) == ()


SYSCTLS = sorted({c for each in CATALOGUE for c in re.findall(r"`(sysctl -w [^`]*)`", each.remedy)})


@pytest.mark.parametrize("command", SYSCTLS)
async def test_sysctls_of_refusals_have_the_other_value_after_the_command(world: World, command: str) -> None:
    """What the engine refuses because of them can't be provoked in a namespace: it sets them itself when it starts."""
    wanted = dict(each.split("=") for each in command.removeprefix("sysctl -w ").split())
    for name, value in wanted.items():
        set_sysctl(name.replace(".", "/"), "0" if value == "1" else "1")
    paste(command)
    assert {name: await world.host.sysctl(name) for name in wanted} == wanted


def test_sources_that_are_refused_are_accepted_after_the_commands(tmp_path: Path) -> None:
    """Missing, writable by everybody, and of another user."""
    missing, mine = tmp_path / "later", FileOwnership(frozenset({0}))
    root = tmp_path / "there"
    root.mkdir(mode=0o777)
    root.chmod(0o777)
    file = root / "blog.yaml"
    file.write_text("apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {name: blog}\n")
    file.chmod(0o666)
    os.chown(file, 65534, 65534)
    pasted = []
    for _ in range(6):
        snapshot = load_paths([str(missing), str(root)], io.BytesIO(), mine)
        commands = [c for d in snapshot.diagnostics for c in re.findall(r"(?:mkdir -p|chmod|chown) [^;,\n]*", str(d))]
        if not commands:
            break
        paste(commands[0])
        pasted.append(commands[0].split()[0])
    assert [each.resource.metadata.name for each in snapshot.resources] == ["blog"]
    assert snapshot.diagnostics == ()
    assert {*pasted} == {"mkdir", "chmod", "chown"}
