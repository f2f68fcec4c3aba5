"""Keeps the tree of one Git source: asks the remote, fetches, exports, and swaps the new tree in at once.

Whatever fails, the tree that was swapped in last stays as it is. Below the directory of a source are:

    clone                          a bare, shallow repository
    trees/COMMIT.NUMBER.FILES      the resource files of a commit, and how many; never changed once it is complete
    current -> trees/…             the one in effect; replaced by rename(2)

The number of files is kept outside of the tree, so that files which are missing from it are no deletion, also after a
restart, and without the clone and the remote.
"""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from dockerv6.lib.tasks import CancellationToken
from dockerv6.lib.text import escaped
from dockerv6.source.git.location import HEAD, GitSource
from dockerv6.source.git.program import (
    FETCH_LIMIT,
    REMOTE_LIMIT,
    CloneTooLargeError,
    GitCommandError,
    GitError,
    GitProgram,
)
from dockerv6.source.git.tree import CommitError, ExportedTree, export_tree, flush
from dockerv6.source.model import Diagnostic, Position, Severity, Snapshot

HISTORY = 50
"""Commits of a branch that are fetched, to tell whether a commit follows the previous one."""

_NO_SUCH_REF = 2  # exit code of `git ls-remote --exit-code`
_FETCHED, _IN_EFFECT = "refs/dockerv6/fetched", "refs/dockerv6/in-effect"
_NOT_FETCHED = "it was not fetched yet"
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class CheckoutState:
    """What a source has in effect, and what is wrong with it."""

    commit: str = ""  # "": nothing was checked out yet
    problem: str = ""  # why the remote's newest commit is not in effect, and the remedy; "": it is
    rewritten: str = ""  # the previous commit, if the newest one does not follow it
    skipped: tuple[str, ...] = ()  # files of the commit that are not read, and why
    files: int = 0  # that were exported; 0: not known


class GitCheckout:
    """The tree of one source. `sync` blocks: call it on a thread, one call at a time."""

    def __init__(self, source: GitSource) -> None:
        self.source = source
        self._git = GitProgram(source)
        self._clone = source.directory / "clone"
        self._trees = source.directory / "trees"
        self._prepared = False
        self._sound = False  # the tree in effect was exported by this process, and nothing is missing from it
        self._useless: tuple[str, GitError] | None = None  # a commit that a new clone did not help, and why
        commit, files = self._in_effect()
        self.state = CheckoutState(commit, "" if commit else _NOT_FETCHED, files=files)

    @property
    def root(self) -> str:
        """The path at which the resource files are read."""
        return self.source.root

    def sync(self, token: CancellationToken) -> CheckoutState:
        """Bring the tree to the remote's newest commit. An error becomes the problem of the state.

        Raises:
            OperationCancelled: the token was cancelled.
        """
        try:
            self._prepare(token)
            self.state = self._synced(token)
        except GitError as error:
            self.state = self._unchanged(escaped(str(error)))
        except OSError as error:
            cause = f"{error.strerror or error} ({error.filename or self.source.directory})"
            self.state = self._unchanged(escaped(f"{cause}; check the disk"))
        return self.state

    def _unchanged(self, problem: str) -> CheckoutState:
        commit, files = self._in_effect()
        return replace(self.state, commit=commit, files=files, problem=problem)

    def note_files(self, identity: str, files: int) -> str:
        """Compare the number of files that a reader found in a tree; returns what is wrong, "": nothing.

        A tree from which files are missing is exported again by the next `sync`.
        """
        if files >= self.state.files or self.commits().get(identity) != self.state.commit:
            return ""
        self._sound = False
        return (
            f"{self.state.files - files} of {self.state.files} files are missing from {self.root}; it is exported again"
        )

    def commits(self) -> Mapping[str, str]:
        """The commit of each tree, by the tree's ``device:inode``."""
        found = {}
        try:
            with os.scandir(self._trees) as scan:
                for entry in scan:
                    status = entry.stat()
                    found[f"{status.st_dev}:{status.st_ino}"] = entry.name.partition(".")[0]
        except OSError:
            return {}
        return found

    def _in_effect(self) -> tuple[str, int]:
        """The commit in effect and the number of its files; "": none."""
        try:
            target = Path(self.root).readlink()
        except OSError:
            return "", 0
        if not (self.source.directory / target).is_dir():
            return "", 0
        commit, _, rest = target.name.partition(".")
        files = rest.rpartition(".")[2]
        return commit, int(files) if files.isdecimal() else 0

    def _prepare(self, token: CancellationToken) -> None:
        """Make the directories. Once, export the commit in effect again: a power failure may have damaged its tree."""
        for directory in (*reversed(self._trees.parents), self._trees):
            directory.mkdir(mode=0o700, exist_ok=True)  # `parents=True` would make the others as the umask says
        if self._prepared:
            return
        for name in (".credentials-*", "clone.*", "trees/.*"):
            for left in self.source.directory.glob(name):
                _remove(left)
        if commit := self._in_effect()[0]:
            with suppress(GitError):  # then it is fetched again
                self._export(self._clone, commit, token)
        self._prepared = True

    def _synced(self, token: CancellationToken) -> CheckoutState:
        location, before = self.source.location, self._in_effect()[0]
        wanted, ref = (location.ref, location.ref) if location.is_commit else self._remote_commit(token)
        if wanted == before and self._sound:
            return replace(self.state, commit=before, files=self._in_effect()[1], problem="", rewritten="")
        if self._useless and self._useless[0] == wanted:
            raise self._useless[1]  # not downloaded at every interval
        try:
            commit = self._fetch(self._clone, ref, wanted, token)
            exported = self._export(self._clone, commit, token)
        except CommitError:
            raise
        except GitCommandError:
            commit, exported = self._replace_clone(ref, wanted, token)
        rewritten = before if before and not self._follows(before, commit, token) else ""
        self._git.run("update-ref", _IN_EFFECT, commit, clone=self._clone, token=token)
        return CheckoutState(commit, rewritten=rewritten, skipped=exported.skipped, files=exported.files)

    def _remote_commit(self, token: CancellationToken) -> tuple[str, str]:
        """The commit and the full name of the remote's ref. A branch precedes a tag of the same name, as in clones.

        Raises:
            GitError: the remote can't be read, or has no such ref.
        """
        location = self.source.location
        ref = location.ref
        names = [ref] if ref == HEAD or ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        peeled = [f"{name}^{{}}" for name in names if name.startswith("refs/tags/")]
        try:
            output = self._git.run(
                "ls-remote",
                "--exit-code",
                "--",
                location.url,
                *names,
                *peeled,
                token=token,
                limit=REMOTE_LIMIT,
                remote=True,
            )
        except GitCommandError as error:
            if error.code != _NO_SUCH_REF:
                raise
            raise GitError(
                f"the repository has no {'commit' if ref == HEAD else f'branch or tag {ref}'}",
                "push it, or correct the ref in --git URL#REF, or --git-ref",
            ) from error
        lines = (line.split("\t") for line in output.decode(errors="replace").splitlines())
        found = {line[1]: line[0] for line in lines if len(line) > 1}
        for name in names:
            if name in found:
                return found.get(f"{name}^{{}}", found[name]), name
        raise GitError(f"the repository has no {ref}", "push it, or correct the ref in --git URL#REF, or --git-ref")

    def _fetch(self, clone: Path, ref: str, wanted: str, token: CancellationToken) -> str:
        """Fetch the ref, and return its commit, which may be newer than the wanted one.

        Raises:
            GitCommandError: the remote or the clone is broken.
        """
        run = self._git.run
        if not clone.is_dir():
            kind = "sha256" if len(wanted) > 40 else "sha1"  # noqa: PLR2004 - hexadecimal digits of SHA-1
            run("init", "--quiet", "--bare", "--template=", f"--object-format={kind}", str(clone), token=token)
        for left in (*clone.glob("objects/pack/tmp_*"), *clone.glob("*.lock")):  # by a git that was killed
            _remove(left)
        run(
            *("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--force", f"--depth={HISTORY}", "--"),
            self.source.location.url,
            f"{ref}:{_FETCHED}",
            clone=clone,
            token=token,
            limit=FETCH_LIMIT,
            remote=True,
        )
        commit = run("rev-parse", "--verify", "--quiet", f"{_FETCHED}^{{commit}}", clone=clone, token=token)
        return commit.decode().strip()

    def _replace_clone(self, ref: str, wanted: str, token: CancellationToken) -> tuple[str, ExportedTree]:
        """Fetch into a new clone beside the old one, which it replaces once its tree is in effect.

        Raises:
            GitError: that does not help.
        """
        new = self.source.directory / "clone.new"
        _remove(new)
        try:
            commit = self._fetch_whole(new, ref, wanted, token)
            try:
                exported = self._export(new, commit, token)
            except GitError as error:
                self._useless = (wanted, error)
                raise
            old = self.source.directory / "clone.old"
            if self._clone.exists():
                self._clone.rename(old)
            new.rename(self._clone)
            _remove(old)
        finally:
            _remove(new)
        return commit, exported

    def _fetch_whole(self, new: Path, ref: str, wanted: str, token: CancellationToken) -> str:
        """Fetch into a new clone. Raises as `_fetch`."""
        try:
            return self._fetch(new, ref, wanted, token)
        except CloneTooLargeError as error:
            self._useless = (wanted, error)
            raise

    def _export(self, clone: Path, commit: str, token: CancellationToken) -> ExportedTree:
        """Export a commit, and put its tree into effect once it is on the disk. Raises as `export_tree`."""
        new = self._trees / ".new"
        kept = set()
        _remove(new)
        try:
            exported = export_tree(self._git, clone, commit, self.source.location.path, new, token)
            number = 0
            while any(self._trees.glob(f"{commit}.{number}.*")):
                number += 1
            tree = self._trees / f"{commit}.{number}.{exported.files}"
            new.rename(tree)
        finally:
            _remove(new)
        flush(self._trees)
        with suppress(OSError):
            kept.add(Path(self.root).readlink().name)  # the previous one may still be read
        kept.add(tree.name)
        link = self._trees / ".current"
        _remove(link)
        link.symlink_to(f"trees/{tree.name}")
        link.replace(self.root)
        flush(self.source.directory)
        for other in self._trees.iterdir():
            if other.name not in kept:
                _remove(other)
        self._sound = True
        return exported

    def _follows(self, before: str, commit: str, token: CancellationToken) -> bool:
        """Whether a commit has another one among its ancestors. False also if that is not known."""
        try:
            self._git.run("merge-base", "--is-ancestor", before, commit, clone=self._clone, token=token)
        except GitCommandError:
            return False
        return True


def with_commits(snapshot: Snapshot, checkouts: Mapping[str, GitCheckout]) -> Snapshot:
    """The snapshot with the commit of each Git root, and with what is wrong with its source.

    Args:
        snapshot: as read.
        checkouts: by the path of their root.
    """
    roots, problems = [], []
    for root in snapshot.roots:
        checkout = checkouts.get(root.path)
        if checkout is None:
            roots.append(root)
            continue
        state = checkout.state
        commit = checkout.commits().get(root.identity, "")
        damage = checkout.note_files(root.identity, root.files) if root.listed else ""
        problem = "; ".join(filter(None, (state.problem, damage)))
        if problem:
            problem = f"{checkout.source.location}: {problem}"
            problem += f"; commit {commit[:12]} stays in effect" if commit else ""
            problems.append(Diagnostic(Position(root.path), Severity.ERROR, (), problem))
        listed = root.listed and not damage
        roots.append(replace(root, commit=commit, listed=listed, problem="" if listed else problem or root.problem))
        if state.skipped:
            more = f" and {len(state.skipped) - _SHOWN} more" if len(state.skipped) > _SHOWN else ""
            message = f"{'; '.join(state.skipped[:_SHOWN])}{more}"
            problems.append(Diagnostic(Position(root.path), Severity.WARNING, (), message, "write regular files"))
    replaced = {found.position.file for found in problems if found.severity is Severity.ERROR}
    others = [d for d in snapshot.diagnostics if not (d.position.file in replaced and not d.path)]
    return replace(snapshot, roots=tuple(roots), diagnostics=(*problems, *others))


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
