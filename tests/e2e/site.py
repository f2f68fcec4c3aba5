"""A host that several tests of a module share: an engine, an operator, and the network namespaces of clients."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.cluster import condition, eventually, resource
from tests.lab.lab import Lab
from tests.lab.net import HOST_ADDRESS
from tests.lab.probe import Port, ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.engine import Engine
    from tests.lab.lab import EnginePool
    from tests.lab.operator import Operator
    from tests.lab.probe import Place
    from tests.lab.settings import Settings

_ATTEMPT = 0.3
RESPONDER = ("responder", "tcp/80-84", "udp/80")


@dataclass(frozen=True, slots=True)
class Site:
    """The engine, the operator and the clients of a test. A `Place` is the network namespace of a client."""

    lab: Lab
    operator: Operator

    @property
    def engine(self) -> Engine:
        return self.lab.engine

    @property
    def neighbour(self) -> Place:
        return self.lab.neighbour.namespace.path

    @property
    def host(self) -> Place:
        return self.engine.namespace.path

    def inside(self, container: str) -> Place:
        """A container as a client."""
        return Path(self.engine.container_netns(container))

    def address(self, container: str, network: str) -> str:
        """A container's IPv6 address."""
        return self.engine.container_addresses(container, network)["6"]

    def run(self, name: str, network: str | None, **options: Any) -> str:
        """Start a container with the responder."""
        return self.engine.run(name, network, command=RESPONDER, **options)

    def remove(self, *containers: str) -> None:
        """Remove containers, running or not."""
        for container in containers:
            self.engine.client().remove_container(container, force=True)

    def start(self) -> None:
        """Start the operator and wait until it answers, so that a failed start fails here and not in each test.

        Raises:
            AssertionError: it ended or does not answer.
        """
        self.operator.start()

        def working() -> bool:
            assert self.operator.running, self.operator.log_tail()
            return self.operator.read("get", "v6net", check=False).returncode == 0

        eventually(working, "the operator answers")

    def create_network(self, name: str, subnet: str = "", *options: str) -> None:
        """Create a Docker network with the docker client; with a subnet it has IPv6."""
        ipv6 = ("--ipv6", "--subnet", subnet) if subnet else ()
        self.engine.docker("network", "create", *ipv6, *options, name)

    def status(self, name: str, kind: str = "ipv6policy") -> dict[str, Any]:
        """The status of a resource."""
        reported: dict[str, Any] = resource(self.operator, name, kind).get("status", {})
        return reported

    def wait_for_reason(self, name: str, type_: str, reason: str, kind: str = "ipv6network") -> dict[str, Any]:
        """Wait until a condition has a reason, and return it."""

        def look() -> dict[str, Any] | None:
            found = condition(self.operator, name, type_, kind)
            return found if found is not None and found["reason"] == reason else None

        found: dict[str, Any] = eventually(look, f"{kind}/{name} {type_}: {reason}")
        return found

    def wait_while_reason(self, name: str, type_: str, reason: str, kind: str = "ipv6network") -> None:
        """Wait as long as a condition has a reason."""
        eventually(
            lambda: (condition(self.operator, name, type_, kind) or {}).get("reason") != reason,
            f"{kind}/{name} {type_} is no longer {reason}",
        )


@contextmanager
def exclusive_site(engine_pool: EnginePool, settings: Settings, directory: Path) -> Iterator[Site]:
    """Provide a clean engine with these settings for exclusive use, with an operator that is not started yet."""
    station = engine_pool.acquire(settings)
    lab = Lab(station.engine, station.neighbour, directory)
    try:
        yield Site(lab, lab.operator())
    except BaseException as error:
        for title, log in lab.logs():
            error.add_note(f"--- {title}\n{log}")
        raise
    finally:
        try:
            lab.close()
        finally:
            engine_pool.release(station)


def published(number: int, protocol: str = "tcp", address: str = HOST_ADDRESS) -> Port:
    """A port of the host, by default on its uplink's address."""
    return Port(protocol, address, number)


def reach_as(place: Place, port: Port, name: str, client: str, *, source: str | None = None) -> None:
    """Wait until the container sees the client's own address. An engine's proxy may answer before that."""

    def seen() -> bool:
        answer = ask(place, port, source=source, patience=_ATTEMPT)
        return answer is not None and (answer.name, str(answer.client)) == (name, client)

    eventually(seen, f"{name} answers at {port} and sees {client}")


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long the block took. No test depends on it."""
    started = time.monotonic()
    yield
    print(f"{what}: {(time.monotonic() - started) * 1000:.0f} ms")  # noqa: T201 - for the reader of the output
