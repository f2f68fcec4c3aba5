import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dockerv6.store.lock import LOCK_FILE, AlreadyRunning, InstanceLock, lock_holder

DAEMON = """
import pathlib, sys
from dockerv6.store.lock import InstanceLock
with InstanceLock(pathlib.Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_lock_holder_is_the_process_that_has_the_lock(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    assert lock_holder(state_dir) is None

    with InstanceLock(state_dir):
        assert lock_holder(state_dir) == os.getpid()
        assert (state_dir / LOCK_FILE).stat().st_mode & 0o777 == 0o600

    assert lock_holder(state_dir) is None


def test_a_second_instance_fails_and_reports_the_process(tmp_path: Path) -> None:
    with InstanceLock(tmp_path), pytest.raises(AlreadyRunning, match=f"process {os.getpid()}") as refused:
        InstanceLock(tmp_path).acquire()

    assert refused.value.pid == os.getpid()
    with InstanceLock(tmp_path):
        pass


def test_the_kernel_releases_the_lock_of_a_killed_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DAEMON, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        assert lock_holder(tmp_path) == daemon.pid
        with pytest.raises(AlreadyRunning) as refused:
            InstanceLock(tmp_path).acquire()
        assert refused.value.pid == daemon.pid
        daemon.send_signal(signal.SIGKILL)

    assert lock_holder(tmp_path) is None
    with InstanceLock(tmp_path):
        assert lock_holder(tmp_path) == os.getpid()


def test_a_child_process_does_not_inherit_the_lock(tmp_path: Path) -> None:
    program = "import os; print(*(os.path.realpath(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')))"
    with InstanceLock(tmp_path):
        opened = subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True, close_fds=False
        ).stdout

    assert "pipe:" in opened  # its standard output
    assert str(tmp_path) not in opened


def test_release_works_despite_a_copy_of_the_descriptor(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path)
    lock.acquire()
    path = str(tmp_path / LOCK_FILE)
    (descriptor,) = (int(link.name) for link in Path("/proc/self/fd").iterdir() if os.path.realpath(link) == path)
    copy = os.dup(descriptor)

    lock.release()
    lock.release()

    assert lock_holder(tmp_path) is None
    os.close(copy)


def test_lock_holder_is_0_before_the_id_is_written(tmp_path: Path) -> None:
    with InstanceLock(tmp_path):
        (tmp_path / LOCK_FILE).write_text("")

        assert lock_holder(tmp_path) == 0
        with pytest.raises(AlreadyRunning, match="process unknown"):
            InstanceLock(tmp_path).acquire()


def test_reading_the_holder_does_not_prevent_a_start(tmp_path: Path) -> None:
    done = False

    def read_holder() -> None:
        while not done:
            lock_holder(tmp_path)

    lock = InstanceLock(tmp_path)
    with ThreadPoolExecutor(2) as watchers:
        readers = [watchers.submit(read_holder) for _ in range(2)]
        try:
            for _ in range(200):
                with lock:
                    pass
        finally:
            done = True
        for each in readers:
            each.result()


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic links"):
        InstanceLock(tmp_path).acquire()

    assert not (tmp_path / "elsewhere").exists()
