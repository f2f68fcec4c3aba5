"""The doctor in an empty network namespace: it finds out what it may, and changes nothing."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockerv6.daemon import checks, cleanup, doctor, engine_process
from dockerv6.daemon.engine_process import EngineProcessError
from dockerv6.daemon.findings import CheckStatus
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.model import EngineInfo
from dockerv6.firewall.port import FirewallRejected
from dockerv6.firewall.xtables import libiptc
from dockerv6.firewall.xtables.legacy import used_tables
from tests.host.xtables import OFF, VARIANTS, recorded, restore, saved

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("private_netns")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "config").mkdir()
    return Settings(
        config_dirs=(str(tmp_path / "config"),),
        state_dir=str(tmp_path / "state"),
        docker_host=f"unix://{tmp_path}/docker.sock",
    )


def statuses(settings: Settings) -> dict[str, CheckStatus]:
    return {check.name: check.status for check in doctor.examine(settings)}


def test_without_an_engine_everything_else_is_looked_at(settings: Settings) -> None:
    found = statuses(settings)
    assert [name for name, status in found.items() if status is CheckStatus.FAIL] == ["engine"]
    assert {"firewall backend", "host filter", "docker-ipv6nat", "forwarding", "daemon"} <= found.keys()
    assert (found["uplink"], found["resources"], found["daemon"]) == (CheckStatus.WARN,) * 3


def test_looking_makes_no_table(settings: Settings) -> None:
    doctor.examine(settings)
    assert subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout == ""
    assert not used_tables() & {"filter"}


def test_a_user_who_may_not_read_the_packet_filter_gets_no_findings_about_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_capabilities", lambda: 1 << checks.CAP_NET_RAW)
    found = statuses(settings)
    assert found["privileges"] is CheckStatus.FAIL
    assert not {"nf_tables", "firewall backend", "host filter", "docker-ipv6nat"} & found.keys()


def test_a_missing_python_iptables_is_a_finding_where_the_engine_writes_legacy_tables(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "iptc", None)
    assert "legacy tables" not in statuses(settings)
    restore("legacy", "*nat\n:DOCKER - [0:0]\n-A OUTPUT -j DOCKER\nCOMMIT\n", family="ip")
    assert "legacy tables" not in statuses(settings)
    restore("legacy", "*filter\n:FORWARD DROP [0:0]\n:DOCKER - [0:0]\nCOMMIT\n")
    (found,) = (each for each in doctor.examine(settings) if each.name == "legacy tables")
    assert (found.status, found.remedy) == (CheckStatus.FAIL, (libiptc.REMEDY,))
    monkeypatch.delitem(sys.modules, "iptc")
    assert statuses(settings)["legacy tables"] is CheckStatus.OK


_LISTENER = """
import ctypes, os, socket, sys
ctypes.CDLL(None).prctl(15, b"dockerd")  # PR_SET_NAME
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
os.setuid(int(sys.argv[2]))
print(flush=True)
sys.stdin.read()
"""
_INFO = EngineInfo("host", "28.5.0", (28, 5), "1.51")


@contextmanager
def listener(path: Path, *arguments: str, user: int = 0) -> Iterator[int]:
    """A process with the name of the engine that listens on the socket."""
    command = [sys.executable, "-c", _LISTENER, str(path), str(user), *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd="/", **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == b"\n"
        yield process.pid
        process.stdin.close()


def test_the_engine_is_the_process_of_root_behind_the_socket(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "docker.sock")
    with listener(tmp_path / "docker.sock", "--debug", "--config-file", "x/daemon.json", "-H=fd://") as pid:
        found = engine_process.find(_INFO, f"unix://{tmp_path}/link")
        assert (found.pid, found.config) == (pid, Path("/x/daemon.json"))
        assert found.arguments[-2:] == ("--debug", "-H=fd://")
        assert found.program.samefile(sys.executable)
        with pytest.raises(EngineProcessError, match="no dockerd that listens on"):
            engine_process.find(_INFO, f"unix://{tmp_path}/other.sock")


def test_the_program_of_another_user_is_not_run(tmp_path: Path) -> None:
    socket = tmp_path / "docker.sock"
    with listener(socket, user=65534), pytest.raises(EngineProcessError, match="no dockerd that listens on"):
        engine_process.find(_INFO, f"unix://{socket}")


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_cleanup_needs_no_engine(settings: Settings, variant: str) -> None:
    restore(variant, recorded(f"{OFF}-beside"))
    before = saved(variant)
    planned = cleanup.docker_ipv6nat(settings, dry_run=True)
    assert saved(variant) == before
    assert cleanup.docker_ipv6nat(settings, dry_run=False) == planned
    assert saved(variant) == recorded(f"{OFF}-left")
    assert cleanup.docker_ipv6nat(settings, dry_run=False) is None


def test_a_cleanup_refuses_while_docker_ipv6nat_runs(settings: Settings, docker_ipv6nat: int) -> None:
    restore("nft", recorded(f"{OFF}-beside"))
    before = saved("nft")
    with pytest.raises(FirewallRejected, match=rf"process {docker_ipv6nat}\b.*stop it first"):
        cleanup.docker_ipv6nat(settings, dry_run=False)
    assert saved("nft") == before
