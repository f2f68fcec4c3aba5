"""`make demo` as a user runs it, on a private engine and on one that looks like the machine's own."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.registry import ROOT
from tests.lab.baseline import Baseline
from tests.lab.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.engine import Engine
    from tests.lab.lab import Lab

_DEMO = str(ROOT / "scripts" / "demo")
# gives the demonstration its own /run, with a lab engine's socket at the usual place
_AS_MACHINE = """
mount --make-rprivate /
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work"
mount -t overlay overlay -o "lowerdir=/run,upperdir=$2/upper,workdir=$2/work" /run
ln -sf "$1" /run/docker.sock
shift 2
exec "$@"
"""

pytestmark = pytest.mark.cells("20.10-on")


def _as_machine(lab: Lab) -> list[str]:
    scratch = lab.directory / "run"
    scratch.mkdir()
    script = ["sh", "-euc", _AS_MACHINE, "sh", str(lab.engine.socket), str(scratch)]
    return lab.engine.namespace.enter(["unshare", "--mount", *script, _DEMO, "--engine", "machine"])


@pytest.fixture
def before(lab: Lab) -> Baseline:
    """The state of the engine's host, after the engine has prepared it for its first IPv6 network."""
    lab.engine.docker("network", "create", "--ipv6", "--subnet", "fd00:1::/64", "first")
    lab.engine.docker("network", "rm", "first")
    return Baseline.capture(lab.engine)


@pytest.fixture
def docker(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine whose docker client is in PATH, so that machines without one can run this test too."""
    program = lab.directory / "bin" / "docker"
    program.parent.mkdir()
    tree = f"/proc/{lab.engine.pid}/root"
    program.write_text(f'#!/bin/sh\nexec chroot {tree} /usr/bin/docker "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return lab.engine


def _docker_objects(engine: Engine) -> tuple[object, ...]:
    client = engine.client()
    return (
        {network["Id"] for network in client.networks()},
        {container["Id"] for container in client.containers(all=True)},
        {image["Id"] for image in client.images()},
    )


def _assert_unchanged(engine: Engine, before: Baseline) -> None:
    """Wait for it: the kernel removes the interfaces of stopped containers in the background."""
    eventually(lambda: Baseline.capture(engine) == before, "the engine's host is as before")


def test_demo_needs_nothing_but_a_machine() -> None:
    output = run([_DEMO, "--engine", "private"], timeout=290).stdout
    assert "Done." in output


def test_demo_leaves_the_machines_engine_unchanged(lab: Lab, before: Baseline, docker: Engine) -> None:
    objects = _docker_objects(docker)
    output = run(_as_machine(lab), timeout=290).stdout
    assert "this machine's Docker Engine 20.10" in output
    assert _docker_objects(docker) == objects
    _assert_unchanged(docker, before)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Start programs that handle SIGINT, even if the tests run in a background job of a shell, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def test_interrupted_demo_leaves_the_machines_engine_unchanged(lab: Lab, before: Baseline, docker: Engine) -> None:
    objects = _docker_objects(docker)
    with _interruptible(), subprocess.Popen(_as_machine(lab), stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "The network is deleted by hand" in line:
                demo.send_signal(signal.SIGINT)
        assert demo.wait() == 130
    assert _docker_objects(docker) == objects
    _assert_unchanged(docker, before)
