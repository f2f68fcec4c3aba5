"""Where the demonstration runs: on this machine's engine, or on a private one in its own network namespace."""  # noqa: INP001

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from docker import DockerClient
from docker.errors import DockerException, ImageNotFound

from tests.lab import image
from tests.lab.cells import CELLS
from tests.lab.engine import IMAGE
from tests.lab.lab import Station
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, UPLINK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import ExitStack

    from tests.lab.namespace import Namespace
    from tests.lab.session import Session

PRIVATE_CELL = "28.5"
_MACHINE_SOCKET = "unix:///var/run/docker.sock"
_LINK_PREFIX = "2001:db8:d6::"
# the operator of the machine and that of the demonstration would overwrite each other's table
_TABLE = ("inet", "dockerv6")


@dataclass(frozen=True, slots=True)
class Place:
    """An engine, its network namespace, and a neighbour that containers can reach.

    Attributes:
        title: for the narration.
        docker_host: the engine's address.
        host: the engine's network namespace; None is the machine's own.
        neighbour: the namespace that represents the Internet.
        far_address: the neighbour's address, which has no route back to any container network.
        host_address: the host's address as seen by the neighbour.
        uplink: the host's interface towards the neighbour.
        docker: argument vector that starts the engine's docker client.
        private: whether the whole engine is removed when the demonstration ends.
    """

    title: str
    docker_host: str
    host: Namespace | None
    neighbour: Namespace
    far_address: str
    host_address: str
    uplink: str
    docker: tuple[str, ...]
    private: bool

    def enter(self, argv: Sequence[str]) -> list[str]:
        """Return the argument vector that runs one of this machine's programs in the engine's network namespace."""
        return self.host.enter(argv) if self.host is not None else list(argv)


def machine_engine() -> str:
    """Return the address of a usable engine on this machine; "" with the reason on standard error if there is none."""
    reasons = list(_against_the_machines())
    return "" if reasons else _MACHINE_SOCKET


def _against_the_machines() -> Iterator[str]:
    if shutil.which("docker") is None:
        yield "no docker client"
        return
    try:
        with_timeout = DockerClient(base_url=_MACHINE_SOCKET, timeout=5)
        try:
            info = with_timeout.info()
        finally:
            with_timeout.close()
    except DockerException:
        yield "no engine answers"
        return
    # the bridges of Docker Desktop are in a virtual machine, those of a rootless engine in another namespace
    if info["KernelVersion"] != platform.release() or info["Name"] != socket.gethostname():
        yield "the engine is not on this host"
    if any("rootless" in option for option in info.get("SecurityOptions") or ()):
        yield "the engine is rootless"
    if _has_table():
        yield "dockerv6 is at work here"


def _has_table() -> bool:
    return subprocess.run(["nft", "list", "table", *_TABLE], check=False, capture_output=True).returncode == 0


def private(session: Session) -> Place:
    """Start a private engine with a neighbour; both are removed with the session."""
    station = Station.build(session, CELLS[PRIVATE_CELL].settings)
    engine = station.engine
    version = engine.client().version()["Version"]
    return Place(
        title=f"a private Docker Engine {version} in network namespace {engine.netns}",
        docker_host=engine.docker_host,
        host=engine.namespace,
        neighbour=station.neighbour.namespace,
        far_address=FAR_ADDRESS,
        host_address=HOST_ADDRESS,
        uplink=UPLINK,
        docker=tuple(engine.enter(["docker"])),
        private=True,
    )


def machine(session: Session, docker_host: str, cleanup: ExitStack) -> Place:
    """Use the machine's engine, and connect a neighbour to the machine's network namespace by a temporary link."""
    client = DockerClient(base_url=docker_host)
    cleanup.callback(client.close)
    _lend_image(client, cleanup)
    neighbour = session.namespace("w")
    link = f"d6{session.id}"
    here, there = f"{_LINK_PREFIX}2", f"{_LINK_PREFIX}1"
    cleanup.callback(neighbour.remove)
    neighbour.exec(*f"ip link add {UPLINK} type veth peer name {link} netns {os.getpid()}".split())
    neighbour.exec(
        "ip", "-batch", "-", stdin=_addresses(there, UPLINK) + f"address add {FAR_ADDRESS}/128 dev lo nodad\n"
    )
    commands = _addresses(here, link) + f"route add {FAR_ADDRESS}/128 via {there} dev {link}\n"
    subprocess.run(["ip", "-6", "-batch", "-"], input=commands, check=True, text=True)
    return Place(
        title=f"this machine's Docker Engine {client.version()['Version']}",
        docker_host=docker_host,
        host=None,
        neighbour=neighbour,
        far_address=FAR_ADDRESS,
        host_address=here,
        uplink=link,
        docker=("docker", "--host", docker_host),
        private=False,
    )


def _addresses(address: str, link: str) -> str:
    return f"address add {address}/64 dev {link} nodad\nlink set {link} up\n"


def _lend_image(client: DockerClient, cleanup: ExitStack) -> None:
    """Load the test image, and remove it afterwards unless it existed before."""
    try:
        client.images.get(IMAGE)
    except ImageNotFound:
        with image.busybox().open("rb") as file:
            client.images.load(file)
        cleanup.callback(client.images.remove, IMAGE, force=True)
