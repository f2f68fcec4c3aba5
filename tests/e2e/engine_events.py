"""How long recreated networks were without their containers, according to the engine's events."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.lab.engine import Engine


@dataclass(frozen=True, slots=True)
class Absence:
    """From the first detachment of a container to the last attachment. Times are in nanoseconds."""

    network: str
    start: int
    end: int


def absences(engine: Engine, since: str, homes: Mapping[str, str]) -> dict[str, Absence]:
    """Return the absence of each network whose containers were detached since a time (see `now`).

    `homes` maps each container name to its network.
    """
    names = {engine.client().inspect_container(name)["Id"]: name for name in homes}
    found: dict[str, Absence] = {}
    for event in _network_events(engine, since):
        attributes = event["Actor"]["Attributes"]
        name, network = names.get(attributes.get("container", "")), attributes["name"]
        if name is None or homes[name] != network or event["Action"] not in {"connect", "disconnect"}:
            continue
        at = int(event["timeNano"])
        before = found.get(network)
        found[network] = Absence(network, before.start if before else at, at)
    return found


def overlapping(found: Mapping[str, Absence]) -> list[tuple[str, str]]:
    """Pairs of networks that were without containers at the same time."""
    return [
        (one.network, other.network)
        for one, other in combinations(found.values(), 2)
        if one.start < other.end and other.start < one.end
    ]


def now(engine: Engine) -> str:
    """The engine's time, for `absences`."""
    return str(engine.client().info()["SystemTime"])


@contextmanager
def await_detachment(engine: Engine, network: str) -> Iterator[Callable[[], None]]:
    """Watch a network for the block; the yielded function waits until the first container has been detached."""
    watched = ("--filter", "type=network", "--filter", "event=disconnect", "--filter", f"network={network}")
    argv = engine.enter(["docker", "events", "--format", "{{.Action}}", "--since", now(engine), *watched])
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as watcher:
        output = watcher.stdout
        assert output is not None

        def wait() -> None:
            assert output.readline().strip() == "disconnect"

        try:
            yield wait
        finally:
            watcher.kill()


def _network_events(engine: Engine, since: str) -> Iterator[dict[str, Any]]:
    asked = ("--since", since, "--until", now(engine), "--filter", "type=network", "--format", "{{json .}}")
    for line in engine.docker("events", *asked).stdout.splitlines():
        yield json.loads(line)
