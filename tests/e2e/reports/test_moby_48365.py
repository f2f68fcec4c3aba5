"""moby/moby#48365: Docker's IPv6 must not cut off virtual machines on a bridge that is none of Docker's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.net import FAR_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.reports.host import Host
    from tests.lab.namespace import Namespace
    from tests.lab.session import Session

_PREFIX = "2001:db8:4836:5"


def _start_machine(host: Host, machine: Namespace) -> None:
    """A virtual machine on libvirt's bridge, with an address that the provider routes to the host."""
    host.engine.netexec("ip", "link", "add", "virbr0", "type", "bridge")
    host.engine.netexec(*f"ip link add vnet0 type veth peer name eth0 netns {machine.name}".split())
    host.engine.netexec("ip", "link", "set", "vnet0", "master", "virbr0", "up")
    host.engine.netexec("ip", "link", "set", "virbr0", "up")
    host.engine.netexec("ip", "address", "add", f"{_PREFIX}::1/64", "dev", "virbr0", "nodad")
    machine.exec("ip", "address", "add", f"{_PREFIX}::2/64", "dev", "eth0", "nodad")
    machine.exec("ip", "link", "set", "eth0", "up")
    machine.exec("ip", "-6", "route", "add", "default", "via", f"{_PREFIX}::1")


@pytest.mark.cells("28.5")
def test_a_virtual_machine_keeps_its_connections(fresh_host: Callable[..., Host], lab_session: Session) -> None:
    host, machine = fresh_host(), lab_session.namespace("v")
    _start_machine(host, machine)
    host.start()
    with host.routed(f"{_PREFIX}::/64"):
        host.network("blog")
        host.create_network("another", "fd00:4836:5::/64")
        host.run("blog-48365", "blog")

        assert host.lab.neighbour.ping(f"{_PREFIX}::2")
        assert machine.exec("ping", "-n", "-c", "1", "-w", "20", FAR_ADDRESS).returncode == 0
        assert host.pings("blog-48365")
    machine.remove()
