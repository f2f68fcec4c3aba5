"""A state directory as a daemon writes it, a fake clock, and a runner of the command line."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dockerv6.api.kinds import API_VERSION, NETWORK
from dockerv6.cli.main import main
from dockerv6.ipam.sqlite import SqliteLedger
from dockerv6.lib.statefile import STATE_FILE
from dockerv6.lib.timeformat import rfc3339
from dockerv6.store.model import PROBLEMS, RUNNING, SOURCES, SUSPENDED, EventType, JsonObject, StoredObject
from dockerv6.store.sqlite import SqliteStore

NOW = 1_700_000_000.0
"""2023-11-14T22:13:20Z."""


BLOG = "apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {name: blog}\nspec: {}\n"
OTHER = BLOG.replace("blog", "shop").replace("spec: {}", "spec: {internal: true}")
POOL = "apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Pool\nmetadata: {name: blog}\nspec: {generate: ULA}\n"
BLOG_NAME = "ipv6network.dockerv6.io/blog"

Patch = pytest.MonkeyPatch


def returning(monkeypatch: Patch, where: object, name: str, result: object) -> list[tuple[object, ...]]:
    """Replace a function by one that returns or raises the result. Returns the arguments of its calls."""
    calls: list[tuple[object, ...]] = []

    def called(*positional: object, **named: object) -> object:
        calls.append((*positional, *named.values()))
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(where, name, called)
    return calls


class FakeTime:
    """Stands still. Each sleep moves it and runs the next action."""

    def __init__(self, *actions: Callable[[], None]) -> None:
        """Run one action with each sleep. After the last one, Ctrl-C is simulated if ``interrupt`` is set."""
        self.elapsed = 0.0
        self.interrupt = False
        self._actions = list(actions)

    def now(self) -> float:
        return NOW + self.elapsed

    def monotonic(self) -> float:
        return self.elapsed

    def sleep(self, seconds: float) -> None:
        self.elapsed += seconds
        if self._actions:
            self._actions.pop(0)()
        elif self.interrupt:
            raise KeyboardInterrupt


class Daemon:
    """Writes the state file like a daemon."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def file(self) -> Path:
        return self.directory / STATE_FILE

    def accept(self, *objects: StoredObject) -> None:
        """Store objects and their statuses."""

        async def write(store: SqliteStore) -> None:
            for wanted in objects:
                present = await store.object(wanted.kind, wanted.name)
                await store.put(replace(wanted, revision=present.revision if present else 0))
                await store.put_status(wanted.kind, wanted.name, wanted.status)

        self._with_store(write)

    def remove(self, kind: str, name: str) -> None:
        self._with_store(lambda store: store.remove(kind, name))

    def event(self, type_: EventType, reason: str, message: str, *ages: float, about: tuple[str, str]) -> None:
        """An event seen once for each age, in seconds before `NOW`."""

        async def write(store: SqliteStore) -> None:
            for age in sorted(ages, reverse=True):
                await store.record_event(*about, type_, reason, message, NOW - age)

        self._with_store(write)

    def hold(self, what: str, *names: str) -> None:
        """Hold a prune, as the daemon does. ``what``: "resources" or "networks"."""

        async def write(store: SqliteStore) -> None:
            await store.put_record("prune", what, {"names": list(names)})

        self._with_store(write)

    def reads(self, *roots: Path, prune: bool = True, identity: str = "0:0") -> None:
        """Record the sources, as the daemon does."""

        async def write(store: SqliteStore) -> None:
            await store.put_record(RUNNING, SOURCES, {"roots": {str(root): identity for root in roots}, "prune": prune})

        self._with_store(write)

    def suspend(self, name: str, **more: float) -> None:
        """Record a suspension, as the command does."""

        async def write(store: SqliteStore) -> None:
            await store.put_record(SUSPENDED, f"{NETWORK}/{name}", {"since": NOW, **more})

        self._with_store(write)

    def report(self, *messages: str, scope: str = PROBLEMS) -> None:
        """Report problems that belong to no resource, as the daemon does; or warnings."""

        async def write(store: SqliteStore) -> None:
            await store.put_record(scope, "files", {"messages": list(messages)})

        self._with_store(write)

    def record(self, scope: str, name: str) -> JsonObject | None:
        found: list[JsonObject | None] = []

        async def read(store: SqliteStore) -> None:
            found.append(await store.record(scope, name))

        self._with_store(read)
        return found[0]

    def ledger(self, write: Callable[[SqliteLedger], Awaitable[object]]) -> None:
        async def work() -> None:
            ledger = await SqliteLedger.open(self.file)
            try:
                await write(ledger)
            finally:
                await ledger.close()

        asyncio.run(work())

    def _with_store(self, work: Callable[[SqliteStore], Awaitable[object]]) -> None:
        async def opened() -> None:
            store = await SqliteStore.open(self.file)
            try:
                await work(store)
            finally:
                await store.close()

        asyncio.run(opened())


def stored(
    name: str = "blog", kind: str = NETWORK, *, status: JsonObject | None = None, **fields: object
) -> StoredObject:
    """A resource that was accepted two hours ago."""
    metadata: dict[str, object] = {"name": name}
    labels = fields.pop("labels", None)
    if labels:
        metadata["labels"] = labels
    document = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": fields.pop("spec", {})}
    plain = StoredObject(
        kind=kind,
        name=name,
        document=document,
        digest="d",
        generation=1,
        file=f"/etc/dockerv6.d/{name}.yaml",
        line=1,
        created=NOW - 7200,
        status=status if status is not None else ready(),
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


def condition(type_: str, status: str, reason: str, message: str = "so it is", age: float = 300) -> dict[str, object]:
    """A condition with a transition ``age`` seconds before `NOW`."""
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": rfc3339(NOW - age),
        "observedGeneration": 1,
    }


def ready(status: str = "True", *, observed: int = 1, reason: str = "ReconcileSucceeded", **more: object) -> JsonObject:
    """A status with the condition Ready."""
    return {"observedGeneration": observed, "conditions": [condition("Ready", status, reason)], **more}


def run(arguments: Sequence[str], time: FakeTime | None = None, **more: object) -> Result:
    """Run the command line. An unexpected exception fails the test."""
    result = CliRunner().invoke(main, list(arguments), obj=time or FakeTime(), **more)  # type: ignore[arg-type]
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def given(tmp_path: Path, text: str, name: str = "given.yaml") -> str:
    """A file for ``-f``."""
    file = tmp_path / name
    file.write_text(text)
    return str(file)


def defined(config: Path, text: str, name: str = "own.yaml") -> Path:
    """A file that a person wrote into the configuration directory."""
    config.mkdir(exist_ok=True)
    file = config / name
    file.write_text(text)
    return file
