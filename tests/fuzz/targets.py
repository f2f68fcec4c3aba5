"""What is fuzzed: every decoder of bytes that others write. A target raises only if it has found something.

Inputs of netlink and of xtables are damaged beyond what a kernel sends: the content of foreign tables is free, and the
framing costs little to check.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tracemalloc
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from ipaddress import IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import click

from dockerv6.api.errors import InvalidObject
from dockerv6.api.network import ManagementPolicy
from dockerv6.api.scheme import decode as decode_resource
from dockerv6.api.scheme import digest, to_document
from dockerv6.cli.printers.imported import import_text, summary
from dockerv6.cli.selection import parse_references, parse_selector
from dockerv6.daemon import settings
from dockerv6.daemon.importing import ComposeFileError, compose_project
from dockerv6.dockerd import address, attachments, decode, events
from dockerv6.dockerd.port import EngineApiError, EngineError
from dockerv6.firewall.nftables import foreign, reader
from dockerv6.firewall.nftables.commands import TABLE
from dockerv6.firewall.nftables.kernel import attributes_of
from dockerv6.firewall.port import FirewallRejected
from dockerv6.firewall.xtables import legacy, nft
from dockerv6.hostnet.changes import ChangeQueue, FirewallDecoder, RouteDecoder
from dockerv6.ipam import sqlite as ipam_sqlite
from dockerv6.ipam import tables as ipam_tables
from dockerv6.ipam.ledger import Allocation, AllocationState
from dockerv6.ipam.sqlite import SqliteLedger
from dockerv6.lib import rows, statefile
from dockerv6.lib.netlink import attribute, attributes, find, messages, pick
from dockerv6.lib.text import json_value
from dockerv6.lib.timeformat import format_duration, parse_rfc3339
from dockerv6.planning.importing.model import Import, ImportContext
from dockerv6.planning.importing.networks import import_networks
from dockerv6.source.documents import assemble, load_text
from dockerv6.store import sqlite as store_sqlite
from dockerv6.store import tables as store_tables
from dockerv6.store.sqlite import SqliteStore
from tests.fuzz import seeds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dockerv6.firewall.nftables.session import NftSession
    from dockerv6.ipam.ledger import PoolPrefix
    from dockerv6.lib.database import Database
    from dockerv6.store.model import JsonObject, StoredObject

T = TypeVar("T")

CORPUS = Path(__file__).with_name("corpus")
"""Inputs that have found something, or stand for a class of nasty ones: a directory for each target."""

LONGEST_INPUT = 64 << 10
MEMORY_BOUND = 64 << 20
"""Bytes, of an input and of what Python allocates to decode it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A decoder.

    Attributes:
        run: decodes; and encodes what was decoded, as printing and storing it does.
        refusals: the errors that its documentation names.
        seeds: valid inputs, from which others are made.
    """

    run: Callable[[bytes], None]
    refusals: tuple[type[Exception], ...] = ()
    seeds: tuple[bytes, ...] = ()

    def check(self, data: bytes) -> None:
        """Decode; an error that is not a refusal is a finding."""
        with suppress(*self.refusals):
            self.run(data[:LONGEST_INPUT])


def peak_memory(target: Target, data: bytes) -> int:
    """Decode, and return the bytes that Python allocated for it at a time. `tracemalloc` is on."""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    target.check(data)
    return tracemalloc.get_traced_memory()[1] - before


def _encode(values: Iterable[object], errors: str = "strict") -> None:
    for value in values:
        str(value).encode(errors=errors)


def _yaml(file: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        contents = load_text(file, data)
        snapshot = assemble((), {file: contents}, problems=())
        _encode((*snapshot.diagnostics, *(each.name for each in snapshot.invalid)))
        for each in snapshot.resources:
            decode_resource(to_document(each.resource))

    return run


def _resource(data: bytes) -> None:
    """Any JSON value as a resource, as a stored row may hold it."""
    try:
        document = json_value(data)
    except ValueError:
        return
    try:
        resource = decode_resource(cast("dict[str, object]", document)).resource
    except InvalidObject as error:
        _encode(error.errors)
        return
    assert digest(decode_resource(to_document(resource)).resource) == digest(resource)


def _engine(data: bytes) -> None:
    """Any JSON value as every response of the engine."""
    value = json_value(data)
    listed = value if isinstance(value, list) else [value]
    labels = {image: {"a": "b"} for image in decode.image_ids(listed)}
    unknown = dict.fromkeys(labels, EngineApiError("no such image"))
    decoded: list[object] = [decode.event(value), decode.error_message(value), decode.created(value)]
    decoded += [decode.networks(listed), decode.networks_in_use(listed)]
    decoded += [decode.containers(listed, labels), decode.containers(listed, unknown), decode.container_ids(listed)]
    decoded += [*_of_one(decode.network, value), *_of_one(decode.created_id, value), *_of_one(_engine_info, value)]
    for each in listed:
        for of_image in _of_one(decode.image_labels, each):
            decoded += [of_image, decode.labels_at_creation(of_image, of_image)]
        decoded += [attachments.attachment(each, name, name) for name in ("", "net")]
        decoded.append(attachments.orphaned_attachment(each, "net", frozenset()))
    decoded += [attachments.attachment(each, "", "net") for each in attachments.listed_containers(listed).values()]
    _encode(decoded)


def _engine_info(value: object) -> object:
    return decode.engine_info(value, value)


def _of_one(decoder: Callable[[object], T], value: object) -> Iterator[T]:
    """What a decoder of a single object makes of a value; nothing if it is another object."""
    with suppress(EngineError):
        yield decoder(value)


class _Unheard:
    """The side of a connection to which requests are written."""

    def write(self, _: bytes) -> None:
        return

    async def drain(self) -> None:
        return


def _event_stream(data: bytes) -> None:
    async def read() -> None:
        connection = asyncio.StreamReader(limit=events._LONGEST_LINE)
        connection.feed_data(data)
        connection.feed_eof()
        stream = await events._subscribe(connection, cast("asyncio.StreamWriter", _Unheard()))
        while True:
            _encode([decode.event(await stream.read())])

    asyncio.run(read())


def _notifications(data: bytes) -> None:
    """A datagram as a notification, and its framing."""
    queue = ChangeQueue()
    RouteDecoder(queue).feed(data)
    FirewallDecoder(queue).feed(data)
    for _, start, end in messages(data):
        spans = list(attributes(data, start, end))
        assert all(start <= first <= last <= end for _, first, last in spans)
        assert dict.fromkeys(kind for kind, *_ in spans).keys() == pick(data, start, end, range(1 << 14)).keys()
        for kind, first, last in reversed(spans):
            assert find(data, start, end, kind) is not None
            assert pick(data, start, end, {kind})[kind] >= (first, last)


def _payloads(data: bytes) -> Iterator[tuple[int, dict[int, bytes]]]:
    """The low byte of the type, and the attributes behind the nfgenmsg, of every message."""
    for kind, start, end in messages(data):
        yield kind & 0xFF, dict(attributes_of(data[start + 4 : end]))


def _foreign_table(data: bytes) -> None:
    for _, found in _payloads(data):
        _encode([foreign.decode_chain(10, found)], "surrogateescape")
        rule = foreign.decode_rule(found)
        _encode((nft.decode(rule, family) for family in ("ip", "ip6", "inet", "bridge")), "surrogateescape")


def _own_table(data: bytes) -> None:
    """Our table after others have edited it. Each object has the attributes that the kernel always sends."""
    chains, rules, sets = [], [], []
    for kind, found in _payloads(data):
        named = {1: TABLE.encode() + b"\0", 2: b"x\0", 3: b"x\0"} | found
        match kind:
            case 3:
                chains.append(named | _base_chain(found))
            case 6:
                rules.append(named)
            case 9:
                sets.append(named | {3: found.get(3, b""), 4: found.get(4, b"\0\0\0\x08")})
    elements = [data[start + 4 : end] for kind, start, end in messages(data) if kind & 0xFF == 12]
    dump = reader._Dump(1, exists=True, chains=chains, rules=rules, sets=[(each, elements) for each in sets])
    _encode(reader.TableReader(cast("NftSession", None))._ruleset(dump).lines(), "surrogateescape")


def _base_chain(found: dict[int, bytes]) -> dict[int, bytes]:
    """What a base chain has at least: one of six hooks, a priority, one of two policies, a type."""
    if 4 not in found:
        return {}
    hook = dict(attributes_of(found[4]))
    number = bytes((int.from_bytes(hook.get(1, b"")[-1:]) % 6,))
    return {
        4: attribute(1, number) + attribute(2, hook.get(2, b"")[:4]),
        5: bytes((int.from_bytes(found.get(5, b"")[-1:]) % 2,)),
        7: found.get(7, b"filter\0"),
    }


def _legacy_table(data: bytes) -> None:
    """The first four bytes are the offsets of a built-in chain's first rule and of its policy."""
    start, policy = int.from_bytes(data[:2]), int.from_bytes(data[2:4])
    table = legacy._table((("FORWARD", start, policy),), data[4:])
    for name, chain in table.chains("filter").items():
        _encode([name, chain], "surrogateescape")
    assert table.equals(data[4:])


_REVISIONS = {"store_revision": ("value",), "ipam_revision": ("value",)}
_STORED = {
    "store_objects": store_tables._OBJECT_COLUMNS,
    "store_events": ("id", "kind", "name", "type", "reason", "message", "count", "first_seen", "last_seen"),
    "store_records": ("scope", "name", "value"),
    "ipam_allocations": ("owner", "pool", "first", "last", "state", "since", "revision"),
    "ipam_pools": ("pool", "first", "last"),
    **_REVISIONS,
}


_FREE = IPv6Network("2001:db8:f:f:f:f:f:f/128")


def _state_rows(data: bytes) -> None:
    """Each line as a row of every table, with any type of value in any column, and without the schema's constraints."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.text_factory = statefile._text
        for table, columns in _STORED.items():
            connection.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            for line in data.split(b"\n", 100)[:100]:
                values = [*map(_column, line.split(b"\t")), *[None] * len(columns)][: len(columns)]
                # SQLite stores text of any bytes, but takes it only as a cast blob
                places = ", ".join("CAST(? AS TEXT)" if isinstance(each, _Text) else "?" for each in values)
                connection.execute(f"INSERT INTO {table} VALUES ({places})", values)  # noqa: S608 - no input in it
        objects, found = store_tables.select_objects(connection), store_tables.select_events(connection)
        records, allocations = store_tables.select_records(connection), ipam_tables.all_allocations(connection)
        prefixes = ipam_tables.all_pool_prefixes(connection)
        for counter, table in zip(_REVISIONS, ("store_objects", "ipam_allocations"), strict=True):
            first = rows.take_revisions(connection, counter.removesuffix("_revision"), table)
            assert rows.take_revisions(connection, counter.removesuffix("_revision"), table) == first + 1
    for problems in (objects.problems, found.problems, records.problems, allocations.problems, prefixes.problems):
        _encode(problems)
    _encode((*objects.values, *found.values, *records.values, *allocations.values, *prefixes.values))
    _write_again(objects.values, records.values, allocations.values, prefixes.values)


def _write_again(
    objects: tuple[StoredObject, ...],
    records: tuple[tuple[str, str, JsonObject], ...],
    allocations: tuple[Allocation, ...],
    prefixes: tuple[PoolPrefix, ...],
) -> None:
    """Whatever was read can be written to a new file, and written and read there again."""
    store, ledger = SqliteStore(cast("Database", None), events_kept=1), SqliteLedger(cast("Database", None))
    store._cache.load(objects, records)
    ledger._cache(allocations)
    ledger._cache_pool_prefixes(prefixes)
    cached = store._cache.objects(None)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for migration in (*store_tables.SCHEMA.migrations, *ipam_tables.SCHEMA.migrations):
            for statement in migration:
                connection.execute(statement)
        store._write_all(connection)
        ledger._write_all(connection)
        changed = [replace(each, generation=each.generation + 1) for each in cached]
        store._cache.put(store_sqlite._put(changed, connection))
        ipam_sqlite._bind(connection, Allocation("fuzz", "", _FREE, AllocationState.BOUND, 1.0, 0), None)
        found = store_tables.select_objects(connection), ipam_tables.all_allocations(connection)
    assert [each.problems for each in found] == [(), ()]
    assert found[0].values == store._cache.objects(None)
    assert len(found[1].values) == len(ledger._held) + 1


class _Text(bytes):
    """A column that is text."""


def _column(raw: bytes) -> object:
    """The value of a column: its first byte is its type."""
    kind, value = raw[:1], raw[1:]
    match kind:
        case b"i":
            return int.from_bytes(value[:8], signed=True)
        case b"b":
            return value
        case b"t":
            return _Text(value)
        case b"f":
            with suppress(ValueError):
                return float(value)
    return None


def _command_line(data: bytes) -> None:
    text = data.decode(errors="surrogateescape").replace("\0", "")
    words = text.split()
    parsers: list[Callable[[], object]] = [
        lambda: parse_references(words or ["all"]),
        lambda: parse_selector(text)({}),
        lambda: format_duration(settings.parse_duration(text)),
        lambda: settings.parse_mark(text),
        lambda: settings.parse_uid(text),
        lambda: settings.parse_directory(text),
        lambda: parse_rfc3339(text),
    ]
    for parse in parsers:
        with suppress(click.UsageError, ValueError):
            parse()


def _compose(data: bytes) -> None:
    """A Compose file, and all that is printed about its networks, which is a resource file again."""
    project = compose_project("compose.yaml", data, "shop", "")
    for policy in ManagementPolicy:
        found = Import(import_networks(project.networks, (), ImportContext(policy)))
        _encode(summary(found, examples=True))
        printed = [each.resource for each in load_text("f.yaml", import_text(found, "yaml")).resources]
        assert printed == [decode_resource(each.document).resource for each in found.resources]


def _engine_address(data: bytes) -> None:
    address.resolve(data.decode(errors="surrogateescape"), {})


TARGETS = {
    "yaml": Target(_yaml("f.yaml"), seeds=seeds.YAML),
    "json-file": Target(_yaml("f.json"), seeds=seeds.RESOURCES),
    "resource": Target(_resource, seeds=seeds.RESOURCES),
    "engine": Target(_engine, (ValueError,), seeds.ENGINE),
    "event-stream": Target(
        # those of `EventStreams.open`
        _event_stream,
        (OSError, EOFError, ValueError, RecursionError, asyncio.LimitOverrunError, EngineError),
        seeds.EVENT_STREAMS,
    ),
    "notifications": Target(_notifications, seeds=seeds.NETLINK),
    "foreign-table": Target(_foreign_table, seeds=seeds.NETLINK),
    "own-table": Target(_own_table, seeds=seeds.NETLINK),
    "legacy-table": Target(_legacy_table, (FirewallRejected,), seeds.LEGACY),
    "state-rows": Target(_state_rows, seeds=seeds.ROWS),
    "command-line": Target(_command_line, seeds=seeds.WORDS),
    "compose": Target(_compose, (ComposeFileError,), seeds.COMPOSE),
    "engine-address": Target(_engine_address, (address.DockerHostError,), seeds.ADDRESSES),
}


def kept(name: str) -> list[Path]:
    """The kept inputs of a target."""
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())
