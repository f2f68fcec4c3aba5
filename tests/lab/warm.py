"""Start `dockerv6` without the start of Python: a process that has imported it forks a copy for each run.

The imports of the daemon are 1 s of CPU time, more than most tests need for everything else. As a script, this file is
that process; imported, it is the client. A copy has its own arguments, environment, working directory, session, network
and mount namespace and standard streams, and runs the same entry point up to the same end of the interpreter, so that
signals, exit codes and output are those of the program. What differs is what only an execution sets: /proc/PID/cmdline
and environ, the seed of hashes, the variables that Python itself reads, and modules that are loaded earlier than
necessary. So tests that measure memory, or test the installed program, execute it (see `Operator`).
"""

import ctypes
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MESSAGE = 1 << 20


class Copy:
    """A running copy: the part of `subprocess.Popen` that the lab uses. It is a child of the process that forked it."""

    stdin = stdout = stderr = None

    def __init__(self, args: Sequence[str], answers: socket.socket) -> None:
        self.args = args
        self._answers = answers
        self.pid = int(answers.recv(_MESSAGE))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit status as `Popen.poll` does."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its status (negative: the number of a signal), or raise TimeoutExpired."""
        if self.returncode is None:
            from tests.lab.process import wait_gone  # noqa: PLC0415 - the script does without

            if timeout is not None and not wait_gone(self.pid, timeout):
                raise subprocess.TimeoutExpired(self.args, timeout)
            status = self._answers.recv(_MESSAGE)
            self._answers.close()
            self.returncode = int(status or -signal.SIGKILL)  # without an answer, both were killed
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


class WarmProgram:
    """The process that forks copies of `dockerv6`. It is started at the first use, and ends with this process."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Its environment is that of the copies in /proc."""
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    def start(
        self, argv: Sequence[str], env: Mapping[str, str], netns: Path, bind: tuple[Path, Path], *streams: IO[Any]
    ) -> Copy:
        """Start a copy in a network namespace, where the first path of `bind` is mounted at the second.

        `streams`: standard input, output and error.
        """
        if self._requests is None:
            self._begin()
        assert self._requests is not None
        request = {
            "argv": [*argv],
            "env": {**env},
            "cwd": str(Path.cwd()),
            "netns": str(netns),
            "bind": [*map(str, bind)],
        }
        answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            descriptors = [stream.fileno() for stream in streams]
            socket.send_fds(self._requests, [json.dumps(request).encode()], [*descriptors, theirs.fileno()])
        return Copy(argv, answers)

    def run(self, *start: Any, stdin: str | None, timeout: float) -> "subprocess.CompletedProcess[str]":
        """Run a copy to its end; arguments of `start` without the streams, and errors of `subprocess.run`."""
        with TemporaryFile("w+") as given, TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
            given.write(stdin or "")
            given.seek(0)
            copy = self.start(*start, given, output, errors)
            try:
                status = copy.wait(timeout)
            except BaseException:
                copy.kill()
                copy.wait()
                raise
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(copy.args, status, output.read(), errors.read())

    def _begin(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env=self._environment,
            )

    def close(self) -> None:
        """End the process."""
        if self._process is not None and self._requests is not None:
            self._requests.close()
            self._process.wait()
            self._process = self._requests = None


def _import_program() -> None:
    from dockerv6.cli.main import VERBS  # noqa: PLC0415 - the tests that import this file do not need it
    from dockerv6.daemon.heap import no_encoding_guesses  # noqa: PLC0415 - as above

    with no_encoding_guesses():
        for module in (*(f"cli.commands.{verb}" for verb in VERBS.values()), "daemon.environment", "daemon.process"):
            import_module(f"dockerv6.{module}")
    gc.collect()
    gc.freeze()  # a collection in a copy would copy all that it visits
    if len([*Path("/proc/self/task").iterdir()]) != 1:
        raise RuntimeError("an import has started a thread, and a fork would lose it")


def _serve(requests: socket.socket) -> dict[str, Any]:
    """Fork a copy for each request, and report how it ended. Returns only in a copy, with its request."""
    selector = selectors.DefaultSelector()
    selector.register(requests, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                pid, answers = key.data
                selector.unregister(key.fileobj)
                os.close(key.fd)
                _answer(answers, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                answers.close()
            elif (request := _fork(requests, selector)) is not None:
                return request


def _fork(requests: socket.socket, selector: selectors.BaseSelector) -> dict[str, Any] | None:
    """Fork a copy; return its request in the copy, otherwise None."""
    content, descriptors, _, _ = socket.recv_fds(requests, _MESSAGE, 4)
    if not content:
        os._exit(0)  # the tests have ended
    answers = socket.socket(fileno=descriptors.pop())
    pid = os.fork()
    if pid == 0:
        # close them by their objects: one that is collected later would close a number that is in use again
        for key in [*selector.get_map().values()]:
            if key.data is not None:
                os.close(key.fd)
                key.data[1].close()
        for each in (selector, requests, answers):
            each.close()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
    for descriptor in descriptors:
        os.close(descriptor)
    if pid == 0:
        return dict(json.loads(content))
    _answer(answers, pid)
    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, answers))
    return None


def _answer(answers: socket.socket, number: int) -> None:
    with suppress(BrokenPipeError):  # a test does not ask any longer
        answers.send(str(number).encode())


def _become(request: Mapping[str, Any]) -> None:
    os.setsid()
    with Path(request["netns"]).open() as netns:
        _call("setns", netns.fileno(), _CLONE_NEWNET)
    source, target = (os.fsencode(path) for path in request["bind"])
    _call("unshare", _CLONE_NEWNS)
    _call("mount", None, b"/", None, _MS_REC | _MS_PRIVATE, None)
    _call("mount", source, target, None, _MS_BIND, None)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = request["argv"]
    Path("/proc/self/comm").write_text(Path(sys.argv[0]).name)


def _call(function: str, *arguments: int | bytes | None) -> None:
    # os.setns and os.unshare need Python 3.12
    if getattr(ctypes.CDLL(None, use_errno=True), function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


if __name__ == "__main__":
    _import_program()
    _become(_serve(socket.socket(fileno=int(sys.argv[1]))))
    from dockerv6.cli.main import main

    sys.exit(main())
