"""Git repositories for tests, made with the git program."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from dockerv6.lib.clock import SystemClock
from dockerv6.lib.tasks import CancellationToken
from dockerv6.source.files import FileOwnership
from dockerv6.source.git.checkout import CheckoutState, GitCheckout, with_commits
from dockerv6.source.git.location import GitLocation, GitSource, git_sources, parse_git_location
from dockerv6.source.load import Loader
from dockerv6.source.model import Snapshot

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def git(*arguments: str, cwd: Path) -> str:
    command = ("git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *arguments)
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def resource(name: str) -> str:
    return f"apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {{name: {name}}}\n"


def resources(*names: str) -> dict[str, str]:
    return {f"{name}.yaml": resource(name) for name in names}


class Remote:
    """A bare repository, and a work tree that pushes to it."""

    def __init__(self, directory: Path) -> None:
        self.bare, self.work = directory / "networks.git", directory / "work"
        directory.mkdir(exist_ok=True)
        git("init", "--quiet", "--bare", str(self.bare), cwd=directory)
        git("init", "--quiet", str(self.work), cwd=directory)
        git("remote", "add", "origin", str(self.bare), cwd=self.work)

    def commit(self, files: Mapping[str, str | bytes | None], *, branch: str = "main", force: bool = False) -> str:
        """Write these files, remove those that are None, and push; returns the commit."""
        for name, content in files.items():
            path = self.work / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self.push(branch=branch, force=force)

    def push(self, *, branch: str = "main", force: bool = False) -> str:
        """Commit the work tree as it is, and push."""
        git("add", "--all", cwd=self.work)
        git("commit", "--quiet", "--allow-empty", "-m", "change", cwd=self.work)
        git("push", "--quiet", *(["--force"] if force else []), "origin", f"HEAD:refs/heads/{branch}", cwd=self.work)
        return git("rev-parse", "HEAD", cwd=self.work)


class Site:
    """A source of a remote, and what its readers see."""

    def __init__(self, directory: Path, location: str, **options: str) -> None:
        self.source = source_of(directory, location, **options)
        self.restart()

    def restart(self) -> None:
        """A new process."""
        self.checkout = GitCheckout(self.source)
        owner = FileOwnership.of_this_process()
        self._loader = Loader([self.source.root], clock=SystemClock(), ownership=owner, settle=0)

    def sync(self) -> CheckoutState:
        return self.checkout.sync(CancellationToken())

    def read(self) -> Snapshot:
        return with_commits(self._loader.load(), {self.source.root: self.checkout})

    def names(self) -> set[str]:
        return {each.resource.metadata.name for each in self.read().resources}


def source_of(directory: Path, location: str, *, ref: str = "", path: str = "", known_hosts: str = "") -> GitSource:
    default = GitLocation("", ref, path)
    (source,) = git_sources([parse_git_location(location)], directory / "state", default, known_hosts=known_hosts)
    return source
