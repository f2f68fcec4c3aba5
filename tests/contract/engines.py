"""Engines for the contract suite: the fake in three versions, and real ones; all driven in the same way."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Protocol

from dockerv6.dockerd.client import DockerEngine
from dockerv6.dockerd.fake import FakeEngine
from dockerv6.dockerd.model import Attachment
from tests.lab import image
from tests.lab.engine import IMAGE
from tests.lab.engine import Engine as LabEngine
from tests.lab.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockerv6.dockerd.port import Engine
    from dockerv6.dockerd.profiles import Profile
    from tests.lab.session import Session


class Bench(Protocol):
    """An engine under test, and what its users do to it behind the port's back."""

    engine: Engine
    release: tuple[int, int]

    def create_container(
        self, name: str, network: str, *, aliases: Sequence[str] = (), address: str | None = None
    ) -> str: ...

    def start_container(self, container: str) -> None:
        """Raises an exception of any kind when the engine can't."""

    def stop_container(self, container: str) -> None: ...

    def remove_container(self, container: str) -> None: ...

    def down(self) -> None:
        """Crash the engine."""

    def up(self) -> None: ...

    async def clear(self) -> None:
        """Remove all that a test made."""


class FakeBench:
    """The fake as one version of the engine."""

    def __init__(self, profile: Profile) -> None:
        self.fake = FakeEngine(profile)
        self.engine: Engine = self.fake
        self.release = profile.release

    def create_container(
        self, name: str, network: str, *, aliases: Sequence[str] = (), address: str | None = None
    ) -> str:
        wish = Attachment("", name, running=False, aliases=tuple(aliases))
        if address is not None:
            wish = replace(wish, static_ipv6=IPv6Address(address))
        return self.fake.create_container(name, network, wish)

    def start_container(self, container: str) -> None:
        self.fake.start_container(container)

    def stop_container(self, container: str) -> None:
        self.fake.stop_container(container)

    def remove_container(self, container: str) -> None:
        self.fake.remove_container(container)

    def down(self) -> None:
        self.fake.down()

    def up(self) -> None:
        self.fake.up()

    async def clear(self) -> None:
        await self.engine.close()


class RealBench:
    """A real engine, shared by a module's tests; each test has a client of its own."""

    def __init__(self, lab: LabEngine) -> None:
        self.lab = lab
        major, minor = lab.version.split(".")
        self.release = (int(major), int(minor))
        self.engine: Engine = DockerEngine(lab.docker_host, environment={})

    @staticmethod
    def start(session: Session, version: str) -> LabEngine:
        """Start an engine that leaves the firewall alone: creating networks is then much faster."""
        settings = Settings(version=version, config={"iptables": False, "ip6tables": False})
        lab = LabEngine.create(session, settings)
        lab.start()
        lab.load_image(image.busybox())
        return lab

    def create_container(
        self, name: str, network: str, *, aliases: Sequence[str] = (), address: str | None = None
    ) -> str:
        endpoint: dict[str, object] = {"Aliases": list(aliases)}
        if address is not None:
            endpoint["IPAMConfig"] = {"IPv6Address": address}
        body = {
            "Image": IMAGE,
            "Cmd": ["sleep", "3600"],
            "HostConfig": {"NetworkMode": network},
            "NetworkingConfig": {"EndpointsConfig": {network: endpoint}},
        }
        return str(self.lab.client().create_container_from_config(body, name=name)["Id"])  # type: ignore[no-untyped-call]

    def start_container(self, container: str) -> None:
        self.lab.client().start(container)

    def stop_container(self, container: str) -> None:
        self.lab.client().stop(container, timeout=0)

    def remove_container(self, container: str) -> None:
        self.lab.client().remove_container(container, force=True)

    def down(self) -> None:
        self.lab.kill()

    def up(self) -> None:
        self.lab.start()

    async def clear(self) -> None:
        for container in self.lab.client().containers(all=True):
            self.remove_container(container["Id"])
        for network in await self.engine.networks():
            if network.name not in {"bridge", "host", "none"}:
                await self.engine.remove_network(network.id)
        await self.engine.close()
