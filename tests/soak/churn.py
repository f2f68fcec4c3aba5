"""Churn: networks and containers come and go, and rules are flushed, one operation after the other."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from docker.errors import DockerException

from dockerv6.planning.docker.engine import TRUSTED_INTERFACES
from tests.e2e.cluster import TABLE, eventually, network_yaml
from tests.lab.net import UPLINK
from tests.lab.process import CommandFailedError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from tests.lab.lab import Lab
    from tests.lab.operator import Operator

_NETWORKS = tuple(f"churn{number}" for number in range(10))
_MOST_CONTAINERS = 6
_SPECS: tuple[Mapping[str, object], ...] = (
    {},
    {"egress": {"mode": "Routed"}},
    {"egress": {"mode": "None"}},
    {
        "firewall": {"ingress": [{"from": ["2001:db8::/32"], "ports": [{"port": 80}]}]},
        "options": {TRUSTED_INTERFACES: UPLINK},
    },
)
_PATIENCE = 240.0


class Churn:
    """The operations, chosen by `rng`. `counts` has how often each was made."""

    def __init__(self, lab: Lab, operator: Operator, rng: random.Random) -> None:
        self._engine = lab.engine
        self._operator = operator
        self._rng = rng
        self._present: set[str] = set()
        self._containers: list[str] = []
        self._serial = 0
        self.counts: Counter[str] = Counter()
        self._operations: Mapping[str, tuple[int, Callable[[], None]]] = {
            "resource created or changed": (4, self._apply),
            "resource deleted": (2, self._delete),
            "container started": (5, self._run),
            "container restarted": (2, self._restart),
            "container removed": (4, self._remove),
            "table deleted": (1, self._delete_table),
            "status read": (2, self._read),
        }

    def step(self) -> None:
        """Make one operation. What can't be done at the moment, such as starting a container, is not counted."""
        names = list(self._operations)
        name = self._rng.choices(names, [weight for weight, _ in self._operations.values()])[0]
        # a network may not exist yet, or no longer
        with suppress(DockerException, CommandFailedError):
            self._operations[name][1]()
            self.counts[name] += 1

    def settle(self) -> None:
        """Wait until all resources are ready.

        Raises:
            AssertionError: they are not.
        """
        for name in self._present:
            self._apply(name, {})
        for name in self._present:
            eventually(
                lambda name=name: self._operator.cli("wait", f"ipv6network/{name}", "--timeout=5s"),  # type: ignore[misc]
                f"{name} is ready",
                _PATIENCE,
            )

    def _apply(self, name: str = "", spec: Mapping[str, object] | None = None) -> None:
        name = name or self._rng.choice(_NETWORKS)
        self._operator.apply_yaml(
            f"{name}.yaml", network_yaml(name, self._rng.choice(_SPECS) if spec is None else spec)
        )
        self._present.add(name)

    def _delete(self) -> None:
        if self._present:
            name = self._rng.choice(sorted(self._present))
            self._operator.remove_yaml(f"{name}.yaml")
            self._present.remove(name)

    def _run(self) -> None:
        if len(self._containers) >= _MOST_CONTAINERS:
            self._remove()
        # names are never used again, as with `docker run --rm`
        self._serial += 1
        name = f"container{self._serial}"
        self._containers.append(name)
        self._engine.run(name, self._rng.choice(_NETWORKS), ports={"80/tcp": 8000 + self._serial % 100})

    def _restart(self) -> None:
        if self._containers:
            self._engine.client().restart(self._rng.choice(self._containers), timeout=0)

    def _remove(self) -> None:
        if self._containers:
            name = self._containers.pop(self._rng.randrange(len(self._containers)))
            self._engine.client().remove_container(name, force=True)

    def _delete_table(self) -> None:
        self._engine.netexec("nft", "delete", "table", *TABLE, check=False)

    def _read(self) -> None:
        self._operator.cli("get", "v6net")
