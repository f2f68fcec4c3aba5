"""A stopped dockerd (SIGSTOP) accepts connections and never answers, and clients of the operator may do the same."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import eventually, network_yaml, our_table
from tests.lab.namespace import start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.engine import Engine
    from tests.lab.lab import Lab

THREADS = 36
"""Half of the unit's TasksMax; tests/unit/test_manifests.py has the sum."""

_SLOW_CLIENTS = """
import socket, sys
clients = [socket.create_connection(("::1", 9153)) for _ in range(200)]
for client in clients: client.send(b"GET /metrics HTTP/1.1\\r\\nHost:")
print("connected", flush=True)
sys.stdin.read()
"""

pytestmark = pytest.mark.cells("28.5")


@contextmanager
def hanging(engine: Engine) -> Iterator[Path]:
    """Stop dockerd's process for the time of the block; its directory in /proc."""
    children = (Path(f"/proc/{pid}") for pid in _children(engine.pid))
    dockerd = next(path for path in children if (path / "comm").read_text() == "dockerd\n")
    os.kill(int(dockerd.name), signal.SIGSTOP)
    try:
        eventually(lambda: is_stopped(dockerd), "dockerd is stopped")
        yield dockerd
    finally:
        os.kill(int(dockerd.name), signal.SIGCONT)


def is_stopped(process: Path) -> bool:
    return "\nState:\tT" in (process / "status").read_text()


def _children(pid: int) -> list[str]:
    return [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def _rules(engine: Engine) -> list[str]:
    """Our table without handles and without the order of elements."""
    lines = [line.partition(" # handle ")[0].strip() for line in our_table(engine).splitlines()]
    return sorted(part.strip(" {},") for line in lines for part in line.split(","))


def test_deleted_rules_are_back_while_the_engine_hangs(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.wait_ready("ipv6network/blog")
    empty = _rules(engine)
    engine.run("web", "blog", ports={"80/tcp": 8080})
    eventually(lambda: "8080" in our_table(engine), "the port is published")
    before = _rules(engine)
    assert before != empty
    operator.stop()
    with hanging(engine) as dockerd:
        engine.netexec("nft", "delete", "table", "inet", "dockerv6")
        operator.start()
        eventually(lambda: _rules(engine) == before, "the rules are back after a restart")
        engine.netexec("nft", "flush", "table", "inet", "dockerv6")
        eventually(lambda: _rules(engine) == before, "the rules are back during the run")
        assert is_stopped(dockerd)
        threads = int((Path(f"/proc/{operator.pid}/status").read_text().split("\nThreads:\t")[1]).split("\n")[0])
        assert threads <= THREADS
    operator.wait_ready("ipv6network/blog", timeout=120)
    assert _rules(engine) == before
    engine.docker("stop", "-t", "0", "web")
    eventually(lambda: _rules(engine) == empty, "the port goes with its container")


def test_slow_clients_over_tcp_keep_nobody_from_the_probes(lab: Lab) -> None:
    operator = lab.operator()
    operator.start("--listen", "[::1]:9153")
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.wait_ready("ipv6network/blog")
    clients = start(
        lab.engine.session.id, lab.engine.namespace.enter([sys.executable, "-c", _SLOW_CLIENTS]), dict(os.environ)
    )
    try:
        assert clients.stdout is not None
        assert clients.stdout.readline() == "connected\n"
        for _ in range(3):
            assert operator.cli("healthcheck", "--listen", "[::1]:9153").stdout == "ok\n"
            assert operator.cli("healthcheck", "--ready", "--listen", "[::1]:9153").stdout == "ok\n"
        assert len(list(Path(f"/proc/{operator.pid}/task").iterdir())) <= THREADS
    finally:
        clients.communicate()
