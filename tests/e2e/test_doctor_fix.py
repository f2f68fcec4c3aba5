"""`doctor --fix` on a host with systemd that runs a real engine as docker.service."""

from __future__ import annotations

import json
import shutil
from ipaddress import IPv6Network
from typing import TYPE_CHECKING, Any

import pytest

from dockerv6.lib.prefixes import is_ula
from tests.e2e import registry
from tests.e2e.cluster import eventually, network_yaml
from tests.lab import packages
from tests.lab.engine import Engine
from tests.lab.image import busybox
from tests.lab.systemd import SERVICE, ServiceOperator

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.cells import Cell
    from tests.lab.lab import EnginePool, Lab
    from tests.lab.session import Session

_DAEMON_JSON = "/etc/docker/daemon.json"
_POLICY = """\
apiVersion: dockerv6.io/v1alpha1
kind: IPv6Policy
metadata: {name: local}
spec: {selector: {names: [bridge]}}
"""
# as in Debian's package docker.io
_UNIT = """\
[Unit]
StartLimitBurst=3
StartLimitIntervalSec=60

[Service]
Type=notify
ExecStart=/usr/sbin/dockerd -H unix:///engine/docker.sock --data-root /engine/data --exec-root /run/docker $OPTIONS
ExecReload=/bin/kill -s HUP $MAINPID
TimeoutStartSec=0
Restart=always
RestartSec=2
Delegate=yes
KillMode=process
OOMScoreAdjust=-500
"""

# the first run builds the image (test_packaging.py)
pytestmark = pytest.mark.timeout(1800)


class EngineHost(ServiceOperator):
    """A host on which systemd runs the engine, and dockerv6 is installed."""

    def __init__(self, engine: Engine, directory: Path, root: list[Path]) -> None:
        super().__init__(engine, directory, root, registry.ROOT / "manifests" / "systemd" / SERVICE)
        self.write_unit(_UNIT)

    def write_unit(self, text: str) -> None:
        """Write docker.service."""
        (self._units / "docker.service").write_text(text)

    def configure(self, settings: object) -> None:
        """Write daemon.json."""
        file = self.path(_DAEMON_JSON)
        file.parent.mkdir(exist_ok=True)
        file.write_text(settings if isinstance(settings, str) else json.dumps(settings, indent=4) + "\n")

    @property
    def configured(self) -> dict[str, object]:
        """The keys of daemon.json."""
        found: dict[str, object] = json.loads(self.path(_DAEMON_JSON).read_text())
        return found

    @property
    def main_pid(self) -> str:
        """Of the engine."""
        return self.systemctl("show", "--property=MainPID", "--value", "docker.service").strip()

    def finding(self, name: str) -> dict[str, object] | None:
        """What the doctor says about an id."""
        report = json.loads(self.cli("doctor", "-o", "json", check=False).stdout)
        return next((check for check in report["checks"] if check["id"] == name), None)

    def settings_check(self) -> str:
        """The message of the check of the engine's settings."""
        report = json.loads(self.cli("doctor", "-o", "json", check=False).stdout)
        return next(str(check["message"]) for check in report["checks"] if check["name"] == "engine settings")

    def fix(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `doctor --fix`."""
        return self.cli("doctor", "--fix", *options, check=False, timeout=400)

    def docker(self, *arguments: str) -> str:
        """Run the engine's client."""
        return self.exec("docker", *arguments).stdout

    def bridge(self) -> dict[str, Any]:
        """The default bridge."""
        found: list[dict[str, Any]] = json.loads(self.docker("network", "inspect", "bridge"))
        return found[0]

    def backups(self) -> list[Path]:
        """Copies of former files."""
        return sorted(self.path(_DAEMON_JSON).parent.glob("daemon.json.dockerv6-*"))


@pytest.fixture(scope="module")
def operator_root(lab_session: Session, engine_pool: EnginePool) -> list[Path]:
    """The layers of a Debian host on which the operator is installed as in the image, with systemd."""
    return registry.installed_host(lab_session, engine_pool)


@pytest.fixture
def host(cell: Cell, lab_session: Session, operator_root: list[Path], tmp_path: Path) -> Iterator[EngineHost]:
    """A booted host with a running engine."""
    engine = Engine.create(lab_session, cell.settings)
    try:
        booted = EngineHost(engine, tmp_path, [*operator_root, packages.tree(cell.settings.version)])
        try:
            booted.boot()
            booted.systemctl("start", "docker.service")
            yield booted
        finally:
            booted.close()
    finally:
        engine.remove()


@pytest.mark.cells("28.5")
def test_a_default_bridge_gets_ipv6_after_the_restart_that_was_asked_for(host: EngineHost) -> None:
    assert "no problem found" in host.settings_check()
    host.apply_yaml("policy.yaml", _POLICY)
    assert host.finding("DefaultBridgeWithoutIPv6") is not None, host.settings_check()
    shown = host.fix()
    assert shown.returncode == 2, shown.stderr
    assert shown.stdout.endswith(
        '--- /dev/null\n+++ /etc/docker/daemon.json\n@@ -0,0 +1,3 @@\n+{\n+  "ipv6": true\n+}\n'
    )
    assert not host.path(_DAEMON_JSON).exists()
    before = host.main_pid
    host.fix("--yes")
    assert (host.configured, host.main_pid) == ({"ipv6": True}, before)
    waiting = host.finding("DefaultBridgeWithoutIPv6")
    assert waiting is not None
    assert "`dockerv6 doctor --fix` says how" in str(waiting["remedy"])
    assert "add --restart-engine" in host.fix("--yes").stderr
    shutil.copy(busybox(), host.engine.directory / "image.tar")
    host.docker("load", "--input", "/engine/image.tar")
    host.docker("run", "--detach", "--name", "web", "--restart", "always", "busybox:test", "sleep", "3600")
    restarted = host.fix("--yes", "--restart-engine")
    assert restarted.returncode == 0, restarted.stderr
    assert "1 running container will be stopped" in restarted.stderr
    assert host.main_pid != before
    assert host.finding("DefaultBridgeWithoutIPv6") is None
    assert host.bridge()["EnableIPv6"] is True
    assert host.docker("inspect", "--format", "{{.State.Running}}", "web").strip() == "true"


@pytest.mark.cells("20.10-off", "26.1-off")
def test_settings_that_an_older_engine_would_not_start_with_are_completed(host: EngineHost) -> None:
    settings = {"log-level": "info", "ip6tables": True, "ipv6": True, "fixed-cidr-v6": "2001:db8:1::/64"}
    host.configure(settings)
    file = host.path(_DAEMON_JSON)
    file.chmod(0o640)
    found = host.finding("EngineSettingsRefused")
    assert found is not None
    assert "with this release, ip6tables needs experimental; the engine would not start again" in str(found["message"])
    done = host.fix("--yes")
    assert done.returncode == 0, done.stderr
    assert list(host.configured) == ["experimental", *settings]
    prefix = IPv6Network(str(host.configured["fixed-cidr-v6"]))
    assert (is_ula(prefix), prefix.prefixlen, host.configured["log-level"]) == (True, 64, "info")
    (backup,) = host.backups()
    assert (json.loads(backup.read_text()), file.stat().st_mode & 0o777) == (settings, 0o640)
    # as the message says
    _, _, command = next(line for line in done.stderr.splitlines() if "Restart the engine" in line).partition("later: ")
    host.exec(*command.split())
    assert host.finding("EngineSettingsRefused") is None
    assert host.finding("DocumentationPrefix") is None
    assert host.bridge()["IPAM"]["Config"][1]["Subnet"] == str(prefix)
    restore = next(line for line in done.stderr.splitlines() if line.startswith("  mv "))
    host.exec(*restore.split())
    assert host.configured == settings


@pytest.mark.cells("26.1-off")
def test_an_engine_that_does_not_start_gets_its_former_settings_back(host: EngineHost) -> None:
    host.apply_yaml("policy.yaml", _POLICY)
    settings = {"default-gateway-v6": "fd00::1"}  # not in the prefix that --fix chooses, which dockerd checks late
    host.configure(settings)
    done = host.fix("--yes", "--restart-engine")
    assert done.returncode == 1
    assert "and the engine is running with it" in done.stderr
    assert (host.configured, host.backups()) == (settings, [])
    assert host.bridge()["EnableIPv6"] is False


@pytest.mark.cells("28.5")
def test_what_can_not_be_corrected_here_is_refused(host: EngineHost) -> None:
    # the installed package carries the page
    assert host.cli("doctor", "--explain", "EngineSettingsRefused").stdout.startswith("EngineSettingsRefused\n\n")
    host.write_unit(_UNIT.replace("$OPTIONS", "--debug"))
    host.systemctl("daemon-reload")
    host.systemctl("restart", "docker.service")
    host.configure({"debug": True})
    assert "debug: (from flag: true, from file: true); the engine would not start" in host.settings_check()
    host.configure({"ipv6": "yes"})
    assert host.finding("EngineSettingsRefused") is not None
    host.configure({"ipv6": False})
    assert host.finding("EngineSettingsRefused") is None
    host.path(_DAEMON_JSON).write_text('{"ipv6": false}', encoding="utf-16")
    assert "the engine accepts it" in host.settings_check()
    host.configure('{\n  // none\n  "ipv6": false\n}')
    assert "/etc/docker/daemon.json:2:3: " in host.settings_check()
    host.apply_yaml("policy.yaml", _POLICY)
    assert "can solve none" in host.fix("--yes").stderr
    assert "// none" in host.path(_DAEMON_JSON).read_text()
    host.path("/srv/docker").mkdir(parents=True)
    host.write_unit(f"{_UNIT}BindPaths=/srv/docker:/etc/docker\n")
    host.systemctl("daemon-reload")
    host.systemctl("restart", "docker.service")
    assert "the engine sees other files" in host.settings_check()


@pytest.mark.cells("28.5")
def test_chains_that_are_gone_come_back_with_the_restart(host: EngineHost) -> None:
    host.apply_yaml("blog.yaml", network_yaml("blog", {}))
    host.cli("apply")
    host.exec("nft", "flush", "ruleset")
    assert host.finding("EngineChainsMissing") is not None
    assert "add --restart-engine" in host.fix("--yes").stderr
    before = host.main_pid
    done = host.fix("--yes", "--restart-engine")
    assert "Solved: EngineChainsMissing" in done.stderr
    assert host.main_pid != before
    assert not host.path(_DAEMON_JSON).exists()


@pytest.mark.cells("28.5")
def test_only_an_engine_that_systemd_runs_is_restarted(host: EngineHost) -> None:
    host.systemctl("stop", "docker.service")
    command = next(line for line in _UNIT.splitlines() if line.startswith("ExecStart=")).partition("=")[2]
    host.exec("/bin/sh", "-c", f"setsid {command.replace('$OPTIONS', '')} >/dev/null 2>&1 </dev/null &")
    host.apply_yaml("policy.yaml", _POLICY)
    eventually(lambda: host.finding("DefaultBridgeWithoutIPv6") is not None, "the engine answers")
    refused = host.fix("--yes", "--restart-engine")
    assert refused.returncode == 1
    assert "systemd does not run the engine" in refused.stderr
    assert not host.path(_DAEMON_JSON).exists()
    assert "in the way it was started" in host.fix("--yes").stderr
    assert host.configured == {"ipv6": True}
    assert "needs a restart: restart it in the way it was started" in host.fix("--yes").stderr


@pytest.mark.cells("28.5")
def test_an_engine_with_another_root_directory_is_left_alone(lab: Lab) -> None:
    report = json.loads(lab.operator().cli("doctor", "-o", "json", check=False).stdout)
    (found,) = [check for check in report["checks"] if check["name"] == "engine settings"]
    assert (found["status"], found["id"]) == ("ok", None)
    assert "not checked: the engine sees other files" in found["message"]
