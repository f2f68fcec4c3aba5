"""One interface to the fake engine and to real ones, for the contract suite."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any, Protocol

from dockerv6.dockerd.client import DockerEngine
from dockerv6.dockerd.model import Attachment, NetworkSpec, SubnetConfig
from tests.fakes.dockerd.containers import parse_publish
from tests.fakes.dockerd.engine import FakeEngine
from tests.lab import image
from tests.lab.engine import IMAGE
from tests.lab.engine import Engine as LabEngine
from tests.lab.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dockerv6.dockerd.port import Engine
    from tests.fakes.dockerd.versions import EngineVersion
    from tests.lab.session import Session

SUBNET6 = IPv6Network("2001:db8:1::/64")
HOST6 = IPv6Address("2001:db8:99::1")  # of the engine's host
SUBNET4 = IPv4Network("192.0.2.0/28")
DUAL = NetworkSpec("blog", ipam=(SubnetConfig(SUBNET4), SubnetConfig(SUBNET6)))


class Bench(Protocol):
    """An engine under test, and the user actions that the port does not offer."""

    engine: Engine
    release: tuple[int, int]

    def create_container(
        self,
        name: str,
        network: str | None,
        *,
        aliases: Sequence[str] = (),
        address: str | None = None,
        labels: Mapping[str, str] | None = None,
        image_labels: Mapping[str, str] | None = None,
        ports: Sequence[str] = (),
        network_mode: str | None = None,
    ) -> str:
        """Take `ports` as ``docker run -p`` does; `network` or `network_mode` is None. `labels` are set at creation."""

    def start_container(self, container: str) -> None:
        """Raise any exception if the engine can't start it."""

    def stop_container(self, container: str) -> None: ...

    def restart_container(self, container: str) -> None: ...

    def pause_container(self, container: str) -> None: ...

    def unpause_container(self, container: str) -> None: ...

    def rename_container(self, container: str, name: str) -> None: ...

    def remove_container(self, container: str) -> None: ...

    def run_linked(self, name: str, other: str, alias: str) -> None:
        """Run a container on the default bridge with a legacy link to another one."""

    def add_link(self, name: str) -> None:
        """Add an interface to the engine's host and set it up."""

    def remove_link(self, name: str) -> None:
        """Remove it, even if it is in use."""

    def down(self) -> None:
        """Crash the engine."""

    def up(self) -> None: ...

    async def clear(self) -> None:
        """Remove everything that a test created."""


class FakeBench:
    """The fake with the behaviour of one version."""

    def __init__(self, version: EngineVersion) -> None:
        self.fake = FakeEngine(version)
        self.engine: Engine = self.fake
        self.release = version.release

    def create_container(
        self,
        name: str,
        network: str | None,
        *,
        aliases: Sequence[str] = (),
        address: str | None = None,
        labels: Mapping[str, str] | None = None,
        image_labels: Mapping[str, str] | None = None,
        ports: Sequence[str] = (),
        network_mode: str | None = None,
    ) -> str:
        requested = Attachment("", name, running=False, aliases=tuple(aliases))
        if address is not None:
            requested = replace(requested, static_ipv6=IPv6Address(address))
        return self.fake.create_container(
            name,
            network,
            requested,
            labels=labels,
            image_labels=image_labels,
            ports=ports,
            network_mode=network_mode,
        )

    def start_container(self, container: str) -> None:
        self.fake.start_container(container)

    def stop_container(self, container: str) -> None:
        self.fake.stop_container(container)

    def restart_container(self, container: str) -> None:
        self.fake.restart_container(container)

    def pause_container(self, container: str) -> None:
        self.fake.pause_container(container)

    def unpause_container(self, container: str) -> None:
        self.fake.unpause_container(container)

    def rename_container(self, container: str, name: str) -> None:
        self.fake.rename_container(container, name)

    def remove_container(self, container: str) -> None:
        self.fake.remove_container(container)

    def run_linked(self, name: str, other: str, alias: str) -> None:  # noqa: ARG002 - a link's names are not shown
        self.fake.run_container(name, "bridge")

    def add_link(self, name: str) -> None:
        self.fake.add_link(name)

    def remove_link(self, name: str) -> None:
        self.fake.remove_link(name)

    def down(self) -> None:
        self.fake.down()

    def up(self) -> None:
        self.fake.up()

    async def clear(self) -> None:
        await self.engine.close()


class RealBench:
    """A real engine, shared by the tests of a module; each test has its own client."""

    def __init__(self, lab: LabEngine) -> None:
        self.lab = lab
        major, minor = lab.version.split(".")
        self.release = (int(major), int(minor))
        self.engine: Engine = DockerEngine(lab.docker_host, environment={})
        self._links: set[str] = set()
        self._images: set[str] = set()

    @staticmethod
    def start(session: Session, version: str) -> LabEngine:
        """Start an engine without firewall rules: creating networks is then much faster."""
        settings = Settings(version=version, config={"iptables": False, "ip6tables": False})
        lab = LabEngine.create(session, settings)
        lab.start()
        lab.load_image(image.busybox())
        lab.netexec("ip", "address", "add", f"{HOST6}/128", "dev", "lo")
        return lab

    def create_container(
        self,
        name: str,
        network: str | None,
        *,
        aliases: Sequence[str] = (),
        address: str | None = None,
        labels: Mapping[str, str] | None = None,
        image_labels: Mapping[str, str] | None = None,
        ports: Sequence[str] = (),
        network_mode: str | None = None,
    ) -> str:
        endpoint: dict[str, object] = {"Aliases": list(aliases)}
        if address is not None:
            endpoint["IPAMConfig"] = {"IPv6Address": address}
        published = [one for written in ports for one in parse_publish(written)]
        bindings: dict[str, list[dict[str, str]]] = {}
        for one in published:
            target = {"HostIp": str(one.host_address or ""), "HostPort": one.host_port}
            bindings.setdefault(one.key, []).append(target)
        body: dict[str, object] = {
            "Image": self._labelled_image(image_labels) if image_labels else IMAGE,
            "Cmd": ["sleep", "3600"],
            "Labels": dict(labels or {}),
            "ExposedPorts": {key: {} for key in bindings},
            "HostConfig": {"NetworkMode": network_mode or network, "PortBindings": bindings},
            "NetworkingConfig": {"EndpointsConfig": {network: endpoint} if network else {}},
        }
        return self._create(name, body)

    def _labelled_image(self, labels: Mapping[str, str]) -> str:
        """Return the id of an image with these labels. `clear` removes it."""
        client = self.lab.client()
        model = self._create("model", {"Image": IMAGE, "Cmd": ["sleep", "3600"]})
        made = str(
            client.commit(model, changes=[f"LABEL {json.dumps(k)}={json.dumps(v)}" for k, v in labels.items()])["Id"]
        )
        self.remove_container(model)
        self._images.add(made)
        return made

    def _create(self, name: str, body: dict[str, object]) -> str:
        return str(self.lab.client().create_container_from_config(body, name=name)["Id"])  # type: ignore[no-untyped-call]

    def start_container(self, container: str) -> None:
        self.lab.client().start(container)

    def stop_container(self, container: str) -> None:
        self.lab.client().stop(container, timeout=0)

    def restart_container(self, container: str) -> None:
        self.lab.client().restart(container, timeout=0)

    def pause_container(self, container: str) -> None:
        self.lab.client().pause(container)

    def unpause_container(self, container: str) -> None:
        self.lab.client().unpause(container)

    def rename_container(self, container: str, name: str) -> None:
        self.lab.client().rename(container, name)

    def remove_container(self, container: str) -> None:
        self.lab.client().remove_container(container, force=True)

    def run_linked(self, name: str, other: str, alias: str) -> None:
        body: dict[str, object] = {
            "Image": IMAGE,
            "Cmd": ["sleep", "3600"],
            "HostConfig": {"Links": [f"{other}:{alias}"]},
        }
        self.start_container(self._create(name, body))

    def add_link(self, name: str) -> None:
        self._links.add(name)
        # a veth needs a peer; it stays on the host, since only the near end is used
        self.lab.netexec(*f"ip link add {name} up type veth peer name {name}-far".split())
        self.lab.netexec(*f"ip link set {name}-far up".split())

    def remove_link(self, name: str) -> None:
        self._links.remove(name)
        self.lab.netexec("ip", "link", "delete", name)

    def down(self) -> None:
        self.lab.kill()

    def up(self) -> None:
        self.lab.start()

    async def clear(self) -> None:
        for container in self.lab.client().containers(all=True):
            self.remove_container(container["Id"])
        for made in self._images:
            self.lab.client().remove_image(made)
        for network in await self.engine.networks():
            if network.name not in {"bridge", "host", "none"}:
                await self.engine.remove_network(network.id)
        for link in tuple(self._links):
            self.remove_link(link)
        await self.engine.close()


def run(bench: Bench, name: str, network: str | None = "blog", **settings: Any) -> str:
    """Create and start a container; return its id. `settings` are those of `Bench.create_container`."""
    container = bench.create_container(name, network, **settings)
    bench.start_container(container)
    return container
