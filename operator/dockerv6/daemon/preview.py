"""``dockerv6 plan``: what a run would do. It changes nothing."""

import fcntl
import os
import shutil
import socket
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from errno import EINVAL, EISDIR
from functools import partial
from importlib.metadata import version
from pathlib import Path
from stat import S_IFREG, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISREG
from tempfile import TemporaryDirectory, gettempdir, mkstemp

from dockerv6.controller.endpoints import ENDPOINTS, MEMBERS
from dockerv6.controller.engine_chains import ENGINE_CHAINS
from dockerv6.controller.garbage import ORPHANS, PRUNE
from dockerv6.controller.inventory import CREATED, INSTALLATION, TRACKED_PREFIXES, UNCONFIRMED
from dockerv6.controller.preview import plan_everything
from dockerv6.controller.recreations import RECREATIONS
from dockerv6.controller.sources import ROOTS
from dockerv6.daemon.settings import Settings
from dockerv6.daemon.wiring import State, open_context, open_state
from dockerv6.ipam.ledger import AllocationState, Ledger
from dockerv6.ipam.memory import MemoryLedger
from dockerv6.lib.clock import Clock
from dockerv6.lib.tasks import CancellationToken, run_until_signal, to_cancellable_thread
from dockerv6.lib.text import printable_path
from dockerv6.planning.plan import Plan
from dockerv6.planning.saved_plan import PlanOrigin, PlanRefused, SavedPlan
from dockerv6.source.files import FileOwnership
from dockerv6.source.git.checkout import GitCheckout, with_commits
from dockerv6.source.git.location import GitSource
from dockerv6.source.load import Loader
from dockerv6.source.model import Diagnostic, Snapshot, SourcedResource
from dockerv6.store.memory import MemoryStore
from dockerv6.store.model import SUSPENDED
from dockerv6.store.port import Store

_MAX_PLAN = 64 * 1024 * 1024
"""Bytes of a plan file."""

_TEMPORARY = "dockerv6-git-"
"""Beginning of the name of a temporary directory for clones."""

_REMOTES_AT_ONCE = 8

_MAX_PREFIX = 200
"""Characters of the name that a temporary file begins with: a name has at most 255 bytes."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The plan of every resource, of garbage last; and the problems of the sources."""

    plans: tuple[Plan, ...]
    diagnostics: tuple[Diagnostic, ...]
    origin: PlanOrigin = field(default_factory=lambda: PlanOrigin("", "", "", ""))
    unread: tuple[str, ...] = ()  # roots and files that could not be read, and why: the plans may lack their resources

    @property
    def saved(self) -> SavedPlan:
        """The plan for a file.

        Raises:
            PlanRefused: not everything was read. The message has the problems of the sources.
        """
        if self.unread:
            problems = "; ".join(self.unread)
            raise PlanRefused(
                f"a plan file needs all resources, but not every source could be read: {problems}; correct that, and"
                " make the plan again"
            )
        return SavedPlan.of(self.plans, self.origin)


def plan_now(settings: Settings, given: Collection[SourcedResource] = ()) -> Preview:
    """`preview`, for callers that run no event loop. Raises as `preview` does."""
    return run_until_signal(preview(settings, given))


async def preview(settings: Settings, given: Collection[SourcedResource] = ()) -> Preview:
    """Plan everything. Nothing is changed: not on the host, and not in the state directory.

    Args:
        settings: of the command.
        given: resources that are planned as if the sources had them, in place of those with the same names.

    Raises:
        StoreError, LedgerError, FirewallUnavailable, DockerHostError: it can't be planned; the message says why.
    """
    copy = State(MemoryStore(), MemoryLedger())
    if settings.database.exists():
        async with open_state(settings) as kept:
            await copy_store(kept.store, copy.store)
            await copy_ledger(kept.ledger, copy.ledger)
    async with open_context(settings, copy, chains_grace=0) as context:
        await context.inventory.load()
        await context.engine_chains.load()
        await context.recreations.load()
        snapshot = await to_cancellable_thread(partial(read_sources, settings, context.clock))
        snapshot = snapshot.with_resources(given)
        identity = context.settings.identity
        origin = PlanOrigin(version("dockerv6"), identity.installation, identity.instance, socket.gethostname())
        return Preview(await plan_everything(snapshot, context), snapshot.diagnostics, origin, _unread(snapshot))


def _unread(snapshot: Snapshot) -> tuple[str, ...]:
    roots = (f"{root.path}: {root.problem or 'it could not be read'}" for root in snapshot.roots if not root.listed)
    files = (f"{file}: a document has no readable kind and name" for file in snapshot.broken_files)
    return (*roots, *files)


def fetch_missing(sources: Iterable[GitSource], token: CancellationToken) -> None:
    """Check out the Git sources that never were. The others keep the commit that plans are made of.

    Raises:
        OperationCancelled: the token was cancelled.
    """
    checkouts = [GitCheckout(source) for source in sources]
    _sync([checkout for checkout in checkouts if not checkout.state.commit], token)


def _sync(checkouts: Iterable[GitCheckout], token: CancellationToken) -> None:
    """Ask all remotes at the same time, because one that hangs takes a minute. Raises `OperationCancelled`."""
    with ThreadPoolExecutor(_REMOTES_AT_ONCE) as pool:
        for _ in pool.map(lambda checkout: checkout.sync(token), checkouts):
            pass


def write_plan(saved: SavedPlan, file: Path) -> None:
    """Write a plan file, which only its owner can read, in one step.

    Links are followed. A pipe or a terminal is written into, such as that of ``--out /dev/stdout``.

    Raises:
        OSError: it can't be written, or is a directory, a disk or a socket.
    """
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:  # perhaps a link to a file that does not exist yet
        mode = S_IFREG
    if S_ISFIFO(mode) or S_ISCHR(mode):
        file.write_text(saved.encode(), encoding="utf-8")
        return
    target = Path(os.path.realpath(file))
    if not S_ISREG(mode):
        cause = "a plan can't be written to a directory, a disk or a socket; name a file"
        raise OSError(EISDIR if S_ISDIR(mode) else EINVAL, cause, str(target))
    descriptor, name = mkstemp(dir=target.parent, prefix=f".{target.name[:_MAX_PREFIX]}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            written.write(saved.encode())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_plan(file: Path) -> SavedPlan:
    """Read a plan file. Raises `OSError`, `PlanRefused`."""
    with file.open("rb") as opened:
        content = opened.read(_MAX_PLAN + 1)
    text = content.decode(errors="replace") if len(content) <= _MAX_PLAN else ""
    return SavedPlan.decode(text, printable_path(str(file)))


def read_sources(settings: Settings, clock: Clock, token: CancellationToken) -> Snapshot:
    """Read all sources once.

    Of a Git source, the commit that the daemon has in effect is read. One that was never fetched is fetched into a
    temporary directory, so that a plan shows what a first run would do.

    Raises:
        OperationCancelled: the token was cancelled. No git process and no file is left.
    """
    with _temporary_directory() as temporary:
        present = [GitCheckout(source) for source in settings.git_sources]
        fetched = {
            source.root: GitCheckout(replace(source, directory=temporary / source.directory.name))
            for source in (checkout.source for checkout in present if not checkout.state.commit)
        }
        _sync(fetched.values(), token)
        checkouts = [fetched.get(checkout.root, checkout) for checkout in present]
        loader = Loader(
            (*settings.config_dirs, *(checkout.root for checkout in checkouts)),
            clock=clock,
            ownership=FileOwnership.of_this_process(settings.trusted_uids),
            settle=0,
        )
        return with_commits(loader.load(token), {checkout.root: checkout for checkout in checkouts})


@contextmanager
def _temporary_directory() -> Iterator[Path]:
    """A directory for the block. Those of processes that were killed are removed: they may have a token.

    A directory is locked while it is in use (flock(2)). One without content is perhaps not locked yet.
    """
    for left in Path(gettempdir()).glob(f"{_TEMPORARY}*"):
        with suppress(OSError), _opened(left) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_uid == os.geteuid() and any(left.iterdir()):
                shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=_TEMPORARY) as made, _opened(Path(made)) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield Path(made)


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


_SCOPES = (
    CREATED,
    UNCONFIRMED,
    ENGINE_CHAINS,
    ENDPOINTS,
    TRACKED_PREFIXES,
    RECREATIONS,
    INSTALLATION,
    MEMBERS,
    ORPHANS,
    PRUNE,
    ROOTS,
    SUSPENDED,
)


async def copy_store(source: Store, target: Store) -> None:
    """Copy objects, statuses and the records that plans depend on."""
    objects = await source.objects()
    await target.put(*(replace(o, revision=0) for o in objects))
    for stored in objects:
        await target.put_status(stored.kind, stored.name, stored.status)
    for scope in _SCOPES:
        for name, value in (await source.records(scope)).items():
            await target.put_record(scope, name, value)


async def copy_ledger(source: Ledger, target: Ledger) -> None:
    """Copy allocations and pool prefixes."""
    # an owner has one subnet in use at a time, so its earlier ones are bound and released first
    for allocation in sorted(await source.allocations(), key=lambda a: a.state is AllocationState.BOUND):
        copy = await target.bind(allocation.owner, allocation.pool, allocation.prefix, allocation.since, revision=None)
        if allocation.state is AllocationState.COOLING:
            await target.release(copy, allocation.since)
    for pool in await source.pool_prefixes():
        await target.keep_pool_prefix(pool.pool, pool.prefix)
