"""One host of the matrix: an engine, an operator with the networks of every scenario, and the containers that answer.

It is built once for each cell. Scenarios that change nothing share it. The others use containers and ports of their
own.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from docker.errors import NotFound

from tests.e2e.cluster import network_yaml
from tests.e2e.site import Site
from tests.lab.net import HOST_ADDRESS, HOST_ADDRESS_V4, UPLINK
from tests.lab.probe import Port, assert_closed, reach

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.cells import Cell

ALL_SUBNETS = "fd12:3456:789a::/48"
SECOND_ADDRESS = "2001:db8:0:1::3"
PROTOCOLS = ("tcp", "udp", "sctp")
LOOPBACK = "::1"

# engines can't publish SCTP on a kernel without SCTP sockets, because they bind one; the resource can
_FRONT_PORTS = [
    {"protocol": "sctp", "port": 8080, "targetPort": 80, "containers": {"name": "web"}},
    {"port": 8070, "targetPort": 80, "containers": {"name": "web"}, "from": ["2001:db8:0:1::/64"]},
    {"port": 8071, "targetPort": 80, "containers": {"name": "worker"}},
    {"port": 8072, "targetPort": 80, "containers": {"name": "late"}},
]
_NETWORKS: dict[str, dict[str, Any]] = {
    "front": {"publish": {"ports": _FRONT_PORTS}},
    "back": {},
    "vault": {"internal": True},
    "quiet": {"bridge": {"icc": False}},
    "opena": {"firewall": {"isolation": False}},
    "openb": {"firewall": {"isolation": False}},
}
SUBNETS = {name: f"fd12:3456:789a:{number}::/64" for number, name in enumerate(_NETWORKS, start=1)}
_RESPONDER = ("responder", "tcp/80-84", "udp/80-84", "sctp/80")


@dataclass(frozen=True, slots=True)
class World(Site):
    """The host of a cell with everything that the scenarios share."""

    cell: Cell
    _own: list[str] = field(default_factory=list)

    @property
    def version(self) -> str:
        """The engine's version, from its API."""
        return str(self.engine.client().version()["Version"])

    def from_loopback(self, port: Port, name: str) -> None:
        """Check that the host reaches the container through [::1], except where neither rules nor a proxy support it.

        xtables can't rewrite ::1 (docs/adr/0011). An engine's proxy supports tcp and udp, if it is on.
        """
        if self.cell.backend == "nftables" or (self.cell.proxy and port.protocol != "sctp"):
            reach(self.host, port, name=name)
        else:
            assert_closed(self.host, port)

    def run(self, name: str, network: str | None, **options: Any) -> str:
        """Start a container with the responder for one scenario; `forget` removes it."""
        self._own.append(name)
        return self.engine.run(name, network, command=_RESPONDER, **options)

    def forget(self) -> None:
        """Remove the containers of a scenario."""
        for name in self._own:
            with suppress(NotFound):  # a scenario may have removed it
                self.engine.client().remove_container(name, force=True)
        self._own.clear()

    def build(self) -> None:
        """Start the operator, and create everything that the scenarios share."""
        # deprecated, so that the host and its NAT keep using the other address
        lifetimes = ("valid_lft", "forever", "preferred_lft", "0")
        self.engine.netexec("ip", "address", "add", f"{SECOND_ADDRESS}/64", "dev", UPLINK, "nodad", *lifetimes)
        self.lab.neighbour.add_route(ALL_SUBNETS)
        self.operator.start("--firewall-backend", self.cell.backend)
        for name, spec in _NETWORKS.items():
            self.operator.apply_yaml(
                f"{name}.yaml", network_yaml(name, {**spec, "addressing": {"subnet": SUBNETS[name]}})
            )
        for name in _NETWORKS:
            self.operator.wait_ready(f"ipv6network/{name}", condition="NetworkReady")
        for name, network, options in _containers():
            self.engine.run(name, network, command=_RESPONDER, **options)  # type: ignore[arg-type]
        for name, network, _ in _containers():
            # a new container is reachable only after duplicate detection and neighbour discovery
            reach(self.host, Port("tcp", self.address(name, network), 80), name=name)


def _containers() -> Iterator[tuple[str, str, dict[str, object]]]:
    single = {"80/tcp": 8080, "80/udp": 8080}
    yield "web", "front", {"ports": single}
    pairs = {f"{80 + number}/tcp": 9000 + number for number in range(4)}
    yield "range", "front", {"ports": {**pairs, "84/tcp": "9100-9109"}}
    yield (
        "random",
        "front",
        {"ports": {"82/tcp": 0}, "expose": ["80/tcp", "80/udp"], "host_config": {"PublishAllPorts": True}},
    )
    bound: dict[str, object] = {
        "80/tcp": (LOOPBACK, 8085),
        "81/tcp": (HOST_ADDRESS, 8086),
        "82/tcp": (HOST_ADDRESS_V4, 8087),
        "83/tcp": ("0.0.0.0", 8088),
        "84/tcp": [(HOST_ADDRESS, 8089), (SECOND_ADDRESS, 8090)],
        "80/udp": (LOOPBACK, 8085),
        "81/udp": (HOST_ADDRESS, 8086),
        "82/udp": (HOST_ADDRESS_V4, 8087),
        "83/udp": ("0.0.0.0", 8088),
    }
    yield "bound", "front", {"ports": bound}
    yield "peer", "front", {}
    yield "other", "back", {}
    yield "both", "front", {"ports": {"80/tcp": 8091, "80/udp": 8091}, "more_networks": ["back"]}
    yield "safe", "vault", {"ports": {"80/tcp": 8092}}
    yield "deposit", "vault", {}
    yield "hush", "quiet", {"ports": {"80/tcp": 8093}}
    yield "hermit", "quiet", {}
    yield "lefty", "opena", {}
    yield "righty", "openb", {}
