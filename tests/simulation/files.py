"""Resource files in memory."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from dockerv6.api.scheme import Resource
from dockerv6.lib.tasks import CancellationToken
from dockerv6.source.model import InvalidResource, Position, Snapshot, SourcedResource, SourceRoot
from tests.simulation.resources import ROOT


@dataclass
class Files:
    """The files of one source root, in memory."""

    contents: dict[str, list[Resource | InvalidResource]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    root: SourceRoot = field(default_factory=lambda: SourceRoot(ROOT, listed=True, identity="1:1"))
    readers: list[asyncio.Event] = field(default_factory=list)

    def write(self, *resources: Resource | InvalidResource, file: str = "") -> None:
        """Write each resource to a file of its name, or all of them to ``file``."""
        for each in resources:
            name = each.name if isinstance(each, InvalidResource) else each.metadata.name
            self.contents[file or f"{ROOT}/{name}.yaml"] = []
        for each in resources:
            name = each.name if isinstance(each, InvalidResource) else each.metadata.name
            self.contents[file or f"{ROOT}/{name}.yaml"].append(each)
        self.touch()

    def delete(self, *names: str) -> None:
        for name in names:
            del self.contents[f"{ROOT}/{name}.yaml"]
        self.touch()

    def touch(self) -> None:
        for reader in self.readers:
            reader.set()

    def read(self, _: CancellationToken | None = None) -> Snapshot:
        resources, invalid = [], []
        for path, entries in sorted(self.contents.items()):
            if not self.root.listed:
                continue
            for line, entry in enumerate(entries, 1):
                if isinstance(entry, InvalidResource):
                    invalid.append(replace(entry, position=Position(path, line)))
                elif path not in self.broken:
                    resources.append(SourcedResource(entry, Position(path, line)))
        return Snapshot(
            roots=(replace(self.root, files=len(self.contents) if self.root.listed else 0),),
            resources=tuple(resources),
            invalid=tuple(invalid),
            broken_files=tuple(sorted(self.broken)),
            diagnostics=tuple(d for i in invalid for d in i.diagnostics),
        )

    async def watch(self) -> AsyncIterator[object]:
        changed = asyncio.Event()
        self.readers.append(changed)
        try:
            yield None
            while True:
                await changed.wait()
                changed.clear()
                yield None
        finally:
            self.readers.remove(changed)
