"""Runs the git program: argument vectors, an environment of its own, time and size limits.

Nothing of a repository is ever executed: there are no hooks, no work tree (so no filters, LFS or submodules), and
neither the system's nor a user's configuration is read (git-config(1), githooks(5)).
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import IO
from urllib.parse import quote, unquote

from dockerv6.lib.tasks import CancellationToken
from dockerv6.lib.text import escaped
from dockerv6.source.files import FileOwnership
from dockerv6.source.git.location import GitSource

LOCAL_LIMIT = 300.0
"""Seconds of a command that works on the clone."""

REMOTE_LIMIT = 60.0
"""Seconds of a question to the remote repository."""

FETCH_LIMIT = 600.0
"""Seconds of a fetch."""

MAX_MEMORY = 128 * 1024**2
"""Bytes of memory of each process of git. The author of a file chooses what its decompression needs."""

MAX_CLONE = 2 * 1024**3
"""Bytes of a clone. A fetch that makes it larger is ended, so that a repository can't fill the disk."""

_MAX_OUTPUT = 256 * 1024**2
_MAX_SECRET = 16 * 1024
_SHOWN = 300  # characters of the start and of the end of git's own message
_POLL = 0.25  # seconds
_REAP_LIMIT = 1.0  # seconds; killed processes end at once
_DEFAULT_USER = "git"  # GitHub, GitLab and Gitea accept any name beside a token
_PASSED = ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH")

# What becomes git: when memory is short, it ends and not this process. When this process ends, even by SIGKILL, timeout
# gets a signal and ends its group: git's own children, such as git-remote-https, would go on. Not in a function that
# Popen calls after the fork, since this process has threads; not setpriv(1), which calls capset(2). It does not import
# signal, which takes as long as all the rest.
_LAUNCHER = f"""
import ctypes, os, resource, sys
ctypes.CDLL(None).prctl(1, {signal.SIGTERM:d})  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    sys.exit("its parent has ended")
try:
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
except OSError:
    pass
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_DATA, ({MAX_MEMORY}, {MAX_MEMORY}))
os.execvp("timeout", ["timeout", "--kill-after=1", "0", *sys.argv[2:]])
"""

_CONFIG = (
    "core.bigFileThreshold=1m",  # larger blobs are streamed, not held in memory
    "core.deltaBaseCacheLimit=16m",
    "core.hooksPath=/dev/null",
    "credential.helper=",
    "fetch.unpackLimit=1",  # always one pack: its size is checked, and its blobs are streamed
    "gc.autoDetach=false",
    "gc.pruneExpire=now",
    "http.lowSpeedLimit=100",
    "http.lowSpeedTime=30",
    "init.defaultBranch=main",
    "pack.threads=1",
    "pack.windowMemory=16m",
    "submodule.recurse=false",
)


class GitError(Exception):
    """A repository could not be read. The message has cause and remedy, and no secret."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause}; {remedy}")


class GitCommandError(GitError):
    """A git command failed, or did not end."""

    def __init__(self, cause: str, remedy: str, code: int | None = None) -> None:
        super().__init__(cause, remedy)
        self.code = code


class CloneTooLargeError(GitCommandError):
    """The clone became larger than `MAX_CLONE`."""


class GitProgram:
    """git, for one source."""

    def __init__(self, source: GitSource) -> None:
        self._source = source

    def run(
        self,
        *arguments: str,
        token: CancellationToken,
        limit: float = LOCAL_LIMIT,
        clone: Path | None = None,
        remote: bool = False,
    ) -> bytes:
        """Run a command and return its standard output.

        Args:
            arguments: the command and its arguments.
            token: ends it early.
            limit: seconds.
            clone: the repository that it works on.
            remote: whether it connects to the remote repository.

        Raises:
            GitCommandError: it failed, took too long, or wrote too much.
            OperationCancelled: the token was cancelled.
        """
        with (
            self._credentials(remote=remote) as config,
            tempfile.TemporaryFile(dir=self._source.directory) as output,
            tempfile.TemporaryFile(dir=self._source.directory) as errors,
        ):
            command = self._command(arguments, clone, config)
            with self._started(command, output=output, errors=errors) as process:
                deadline = monotonic() + limit
                while not _ended(process):
                    token.check()
                    if monotonic() > deadline:
                        raise self._failed(f"git {arguments[0]} did not end within {limit:.0f} s", remote=remote)
                    if os.fstat(output.fileno()).st_size > _MAX_OUTPUT:
                        raise self._failed(f"git {arguments[0]} wrote more than {_MAX_OUTPUT} bytes", remote=remote)
                    if remote and clone is not None:
                        _check_size(clone)
            if remote and clone is not None:
                _check_size(clone)
            if process.returncode:
                errors.seek(0)
                message = _message(errors.read(64 * 1024)) or f"exit code {process.returncode}"
                raise self._failed(f"git {arguments[0]}: {message}", process.returncode, remote=remote)
            output.seek(0)
            return output.read()

    @contextmanager
    def batch(self, clone: Path) -> Iterator[subprocess.Popen[bytes]]:
        """``git cat-file --batch`` (git-cat-file(1)), with pipes. Symbolic links are followed within their tree."""
        command = self._command(("cat-file", "--batch", "--follow-symlinks"), clone, ())
        with self._started(
            command, output=subprocess.PIPE, errors=subprocess.DEVNULL, input_=subprocess.PIPE
        ) as process:
            yield process

    def _command(self, arguments: tuple[str, ...], clone: Path | None, config: tuple[str, ...]) -> list[str]:
        settings = [part for each in (*_CONFIG, *config) for part in ("-c", each)]
        where = [f"--git-dir={clone}"] if clone is not None else []
        return [sys.executable, "-ISc", _LAUNCHER, str(os.getpid()), "git", *settings, *where, *arguments]

    @contextmanager
    def _started(
        self, command: list[str], *, output: IO[bytes] | int, errors: IO[bytes] | int, input_: int = subprocess.DEVNULL
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The process; it and its children have ended afterwards."""
        for program, package in (("git", "git"), ("timeout", "coreutils")):
            if shutil.which(program) is None:
                raise GitCommandError(
                    f"the {program} program is not installed", f"install it (apt-get install {package})"
                )
        try:
            process = subprocess.Popen(
                command,
                stdin=input_,
                stdout=output,
                stderr=errors,
                cwd=self._source.directory,
                env=self._environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise GitCommandError(
                f"git can't be started: {error.strerror}", "check the limits of the process"
            ) from error
        try:
            yield process
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # its children too, such as ssh
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            process.wait()
            _reap(process.pid)

    def _environment(self) -> Mapping[str, str]:
        nowhere = str(self._source.directory / "home")  # does not exist
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": nowhere,
            "XDG_CONFIG_HOME": nowhere,
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CEILING_DIRECTORIES": str(self._source.directory.parent),  # the state may be in somebody's work tree
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_PROTOCOL_FROM_USER": "0",
            "GIT_ALLOW_PROTOCOL": self._source.location.scheme,
            "GIT_SSH_COMMAND": self._ssh(),
            "GIT_SSH_VARIANT": "ssh",
            **{name: os.environ[name] for name in _PASSED if name in os.environ},
        }

    def _ssh(self) -> str:
        """The ssh command; git passes it to a shell, so each word is quoted."""
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "ClearAllForwardings": "yes",
            "PermitLocalCommand": "no",
            "ConnectTimeout": "20",
            "ServerAliveInterval": "15",
        }
        if self._source.known_hosts:
            options |= {"UserKnownHostsFile": _ssh_path(self._source.known_hosts), "GlobalKnownHostsFile": "none"}
        key = self._source.key_file
        options |= {"IdentityFile": _ssh_path(key) if key else "none"}
        words = ["ssh", "-F", "none", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
        return shlex.join(words)

    @contextmanager
    def _credentials(self, *, remote: bool) -> Iterator[tuple[str, ...]]:
        """The configuration that gives git the token: a private file for the time of one command.

        Neither arguments nor environment show it, and git sends it to the host of the URL only
        (git-credential-store(1)).
        """
        source = self._source
        if not remote:
            yield ()
            return
        if source.unscoped_token:
            raise GitError(
                "--git-token-file names no host, but there are repositories on several hosts",
                f"write --git-token-file {source.location.host}=FILE, so that no other host gets the token",
            )
        if not source.token_file:
            yield ()
            return
        secret = read_secret(source.token_file)
        user = source.location.user or _DEFAULT_USER
        line = f"https://{quote(unquote(user), safe='')}:{quote(secret, safe='')}@{source.location.host}\n"
        descriptor, file = tempfile.mkstemp(dir=source.directory, prefix=".credentials-")  # mode 0600
        try:
            with os.fdopen(descriptor, "w") as written:
                written.write(line)
            yield (f"credential.helper=store --file={shlex.quote(file)}",)
        finally:
            Path(file).unlink(missing_ok=True)

    def _failed(self, cause: str, code: int | None = None, *, remote: bool) -> GitCommandError:
        if not remote:
            return GitCommandError(cause, "check the disk and the permissions of the state directory", code)
        remedies = {
            "https": "check the URL, the network, and --git-token-file for a private repository",
            "ssh": "check the URL, the network, the deploy key (--git-ssh-key) and the host key (--git-known-hosts)",
            "file": "check that the repository exists and belongs to root",
        }
        return GitCommandError(cause, remedies[self._source.location.scheme], code)


def read_secret(file: str) -> str:
    """The first line of a file with a token.

    Raises:
        GitError: it can't be read, is empty, or others may write to it.
    """
    path = Path(file)
    try:
        with path.open("rb") as opened:
            violation = FileOwnership.of_this_process().violation(file, os.fstat(opened.fileno()))
            content = opened.read(_MAX_SECRET)
    except OSError as error:
        raise GitError(f"the token file {file} can't be read: {error.strerror}", "correct --git-token-file") from error
    if violation is not None:
        raise GitError(f"the token file {violation.path} {violation.message}", violation.remedy)
    secret = content.decode(errors="replace").strip()
    if not secret or "\n" in secret or not secret.isprintable():
        raise GitError(
            f"the token file {file} does not have one line of text", "write the token to it, and nothing else"
        )
    return secret


def _reap(group: int) -> None:
    """Wait for the processes of a group whose parent ended: they are this process's children if it is PID 1."""
    deadline = monotonic() + _REAP_LIMIT
    with suppress(ChildProcessError):  # the usual case: init has them
        while monotonic() < deadline:
            if os.waitpid(-group, os.WNOHANG)[0] == 0:
                sleep(_POLL / 25)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_POLL)
    except subprocess.TimeoutExpired:
        return False
    return True


def _check_size(clone: Path) -> None:
    if _size(clone) > MAX_CLONE:
        raise CloneTooLargeError(
            f"the clone has more than {MAX_CLONE // 1024**2} MiB",
            "move the resource files to a repository of their own",
        )


def _size(clone: Path) -> int:
    """Bytes of the files of a clone: packs, what is being received, and loose objects."""
    total = 0
    for parent, _, files in os.walk(clone):
        for file in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, file)).st_size  # noqa: PTH118 - several times a second
    return total


def _message(output: bytes) -> str:
    """What git wrote to standard error, on one line. The remote may write to it too, so it may be anything."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines()]
    message = ". ".join(
        line.removeprefix("fatal: ").removeprefix("error: ").rstrip(".") for line in lines if line.strip("@")
    )
    return escaped(message if len(message) <= 2 * _SHOWN else f"{message[:_SHOWN]} … {message[-_SHOWN:]}")


def _ssh_path(file: str) -> str:
    """A path as the value of an option of ssh, which expands ``%`` (ssh_config(5))."""
    return f'"{Path(file).absolute()}"'.replace("%", "%%")
