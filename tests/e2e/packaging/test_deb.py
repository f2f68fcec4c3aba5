"""The Debian package in fresh roots of the releases that it supports: its files, its scripts, its service."""

from __future__ import annotations

import re
import shutil
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.e2e import registry
from tests.e2e.cluster import eventually, network_id, network_yaml, our_table, subnet_of
from tests.e2e.test_hanging_engine import hanging
from tests.lab.debian import DebianRoot
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, ping
from tests.lab.process import run
from tests.lab.systemd import SERVICE, ServiceOperator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.lab.lab import Lab
    from tests.lab.session import Session

_BLOG = "ipv6network/blog"
_STATE = "/var/lib/dockerv6/state.db"
_OLD, _NEW = "fd12:3456:789a:7::/64", "fd12:3456:789a:8::/64"

_ADD_TO_SCHEMA = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as state:
    state.execute("UPDATE state_schema SET version = version + ? WHERE component = 'store'", (int(sys.argv[2]),))
"""
_IN_FLIGHT = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as state:
    print(*(name for name, in state.execute("SELECT name FROM store_records WHERE scope = 'former'")))
"""

pytestmark = [pytest.mark.timeout(1800), pytest.mark.cells("28.5")]


@pytest.fixture
def deb(built: Callable[[str], Path]) -> Path:
    return built("*.deb")


@pytest.fixture(scope="module")
def roots() -> dict[str, DebianRoot]:
    """Roots in which the package is installed, by release. They are not changed afterwards."""
    return {}


@pytest.fixture
def installed(lab_session: Session, roots: dict[str, DebianRoot], release: str, deb: Path) -> DebianRoot:
    """A root with the package, for reading and as the lower layer of hosts."""
    if release not in roots:
        root = DebianRoot(lab_session, release)
        root.copy(deb, "/dockerv6.deb")
        # without what it depends on, dpkg only unpacks it
        assert "dependency problems" in root.exec("dpkg", "--install", "/dockerv6.deb", check=False).stderr
        root.exec("apt-get", "install", "-y", "--fix-broken")
        root.exec("apt-get", "install", "-y", "git")
        roots[release] = root
    return roots[release]


@pytest.fixture
def service(lab: Lab, installed: DebianRoot, tmp_path: Path) -> ServiceOperator:
    """The package's service on a host with systemd, beside an engine."""
    unit = installed.layers[0] / "usr/lib/systemd/system" / SERVICE
    return lab.adopt(ServiceOperator(lab.engine, tmp_path / "service", installed.layers, unit))


def _previous(deb: Path, target: Path) -> Path:
    """The same package as version 0.1.0."""
    root = target.with_suffix(".d")
    run(["dpkg-deb", "--raw-extract", str(deb), str(root)])
    control = root / "DEBIAN/control"
    control.write_text(re.sub("^Version: .*", "Version: 0.1.0", control.read_text(), flags=re.MULTILINE))
    run(["dpkg-deb", "-Zgzip", "-z1", "--build", "--root-owner-group", str(root), str(target)], timeout=600)
    return target


def _add_to_schema(service: ServiceOperator, number: int) -> None:
    service.exec("python3", "-c", _ADD_TO_SCHEMA, _STATE, str(number))


def test_package_is_complete(lab: Lab, installed: DebianRoot, deb: Path) -> None:
    version = run(["dpkg-deb", "--field", str(deb), "Version"]).stdout.strip()
    assert installed.exec("dockerv6", "--version").stdout == f"dockerv6 {version}\n"
    assert installed.exec("dpkg", "--verify", "dockerv6").stdout == ""
    assert "/etc/default/dockerv6" in installed.exec("dpkg-query", "--show", "-f", "${Conffiles}", "dockerv6").stdout
    assert installed.exec("systemctl", "is-enabled", SERVICE).stdout == "enabled\n"
    assert "0 errors" in installed.exec("dockerv6", "validate", "/usr/share/doc/dockerv6/examples").stderr
    report = installed.exec("dockerv6", "doctor", engine=lab.engine, check=False).stdout
    assert "nftables: nf_tables takes our ruleset" in report
    library = "import sys; sys.path.insert(0, '/usr/lib/dockerv6'); import iptc; print(iptc.Table6.FILTER)"
    assert installed.exec("python3", "-IS", "-W", "ignore", "-c", library).stdout == "filter\n"
    # compiled for the release's Python, so a start in a read-only system takes no longer
    compiled = (
        "find /usr/lib/dockerv6/dockerv6 -name '*.pyc' | wc -l; find /usr/lib/dockerv6/dockerv6 -name '*.py' | wc -l"
    )
    assert len(set(installed.exec("sh", "-c", compiled).stdout.split())) == 1


def test_service_starts_reloads_restarts_and_stops(lab: Lab, service: ServiceOperator) -> None:
    service.override({"WatchdogSec": "20s"})
    service.boot()
    # nothing starts it but that it is enabled
    service.systemctl("start", "multi-user.target")
    eventually(lambda: service.properties("ActiveState") == {"ActiveState": "active"}, "the service has started")
    service.apply_yaml("blog.yaml", network_yaml("blog"))
    service.wait_ready(_BLOG)
    client = lab.engine.run("client", "blog")
    assert ping(lab.engine, client, FAR_ADDRESS)
    assert lab.neighbour.seen_as(lab.engine, client) == HOST_ADDRESS
    started, network = service.properties("MainPID"), network_id(lab.engine, "blog")

    # a reload reads the conffile and the resources in it, in the same process
    service.exec("mkdir", "/etc/more.d")
    service.exec("sh", "-c", "cp /etc/dockerv6.d/blog.yaml /etc/more.d && sed -i s/blog/shop/ /etc/more.d/blog.yaml")
    service.exec("sh", "-c", "echo DOCKERV6_CONFIG_DIR=/etc/dockerv6.d:/etc/more.d >>/etc/default/dockerv6")
    service.systemctl("reload", SERVICE)
    service.wait_ready("ipv6network/shop")
    service.exec("sh", "-c", "echo DOCKERV6_RESYNC=soon >>/etc/default/dockerv6")
    service.systemctl("reload", SERVICE)
    eventually(lambda: "'soon'" in service.log.read_text(), "the log names the wrong value")
    service.exec("sed", "-i", "/soon/d", "/etc/default/dockerv6")
    assert service.properties("MainPID") == started
    assert service.properties("ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "0"}

    service.kill()
    eventually(lambda: int(service.properties("NRestarts")["NRestarts"]) == 1, "systemd starts it again")
    service.wait_ready(_BLOG)
    # a daemon that hangs is not fed
    service.systemctl("kill", "--signal=STOP", SERVICE)
    eventually(lambda: int(service.properties("NRestarts")["NRestarts"]) > 1, "the watchdog ends it", patience=180.0)
    service.wait_ready(_BLOG)
    assert network_id(lab.engine, "blog") == network
    assert ping(lab.engine, client, FAR_ADDRESS)

    assert service.stop() == 0
    assert ping(lab.engine, client, FAR_ADDRESS)
    shown = service.exec(
        "systemd-analyze", "security", "--offline=true", "--threshold=26", f"/etc/systemd/lab/{SERVICE}"
    )
    assert "Overall exposure level" in shown.stdout


def test_lintian_finds_nothing(deb: Path, tmp_path: Path) -> None:
    origins = tmp_path / "etc/dpkg/origins"
    origins.mkdir(parents=True)
    (origins / "default").symlink_to("debian")  # base-files makes it when it is installed
    shutil.copy(deb, tmp_path / "dockerv6.deb")
    layers = (tmp_path, registry.debian_root("lintian", "?essential", "lintian"))
    done = registry.run_in_root(layers, "lintian", "--allow-root", "--fail-on", "error,warning", "/dockerv6.deb")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_git_source_is_read_with_the_restrictions_of_the_unit(service: ServiceOperator) -> None:
    service.override({"Environment": "DOCKERV6_GIT=file:///srv/networks"}, name="git")
    service.boot()
    service.exec("mkdir", "/srv/networks")
    service.path("/srv/networks/blog.yaml").write_text(network_yaml("blog"))
    for arguments in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-qm", "Add blog")):
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        service.exec("git", "-C", "/srv/networks", *identity, *arguments)
    service.start()
    service.wait_ready(_BLOG)


def test_package_is_removed_purged_and_installed_again(lab: Lab, service: ServiceOperator) -> None:
    service.start()
    service.apply_yaml("blog.yaml", network_yaml("blog"))
    service.wait_ready(_BLOG)
    client, network = lab.engine.run("client", "blog"), network_id(lab.engine, "blog")
    removed = service.exec("dpkg", "--remove", "dockerv6").stdout
    assert "dockerv6 uninstall" in removed
    assert service.properties("ActiveState") == {"ActiveState": "inactive"}
    assert service.exec("test", "-e", "/etc/default/dockerv6", check=False).returncode == 0
    assert service.exec("test", "-e", "/usr/lib/dockerv6", check=False).returncode == 1
    assert ping(lab.engine, client, FAR_ADDRESS)
    service.exec("dpkg", "--install", "/dockerv6.deb")
    service.wait_ready(_BLOG)
    purged = service.exec("dpkg", "--purge", "dockerv6").stdout
    assert "nft delete table inet dockerv6" in purged
    assert service.exec("test", "-e", "/etc/default/dockerv6", check=False).returncode == 1
    assert service.exec("test", "-e", _STATE, check=False).returncode == 0
    assert service.exec("test", "-e", "/etc/dockerv6.d/blog.yaml", check=False).returncode == 0
    assert ping(lab.engine, client, FAR_ADDRESS)
    # and what it says works
    (nft,) = [line for line in purged.splitlines() if "nft delete" in line]
    lab.engine.netexec("sh", "-c", nft)
    assert our_table(lab.engine) == ""
    service.exec("dpkg", "--install", "/dockerv6.deb")
    service.wait_ready(_BLOG)
    assert network_id(lab.engine, "blog") == network
    assert ping(lab.engine, client, FAR_ADDRESS)


@pytest.mark.parametrize("removed", [False, True], ids=["upgrade", "removal"])
def test_recreation_that_a_stop_of_the_daemon_interrupts_is_continued(
    lab: Lab, service: ServiceOperator, deb: Path, tmp_path: Path, *, removed: bool
) -> None:
    spec = {"addressing": {"subnet": _OLD}, "updateStrategy": "Recreate"}
    service.start()
    service.copy(_previous(deb, tmp_path / "previous.deb"), "/previous.deb")
    service.exec("dpkg", "--install", "/previous.deb")
    service.apply_yaml("blog.yaml", network_yaml("blog", spec))
    service.wait_ready(_BLOG)
    clients = [lab.engine.run(f"client{number}", "blog") for number in range(8)]
    service.apply_yaml("blog.yaml", network_yaml("blog", {**spec, "addressing": {"subnet": _NEW}}))
    endpoints = lab.engine.client().inspect_network
    eventually(lambda: len(endpoints("blog")["Containers"]) < len(clients), "the first container is detached")
    with hanging(lab.engine):
        # the daemon can't finish before it is stopped
        assert service.exec("python3", "-c", _IN_FLIGHT, _STATE).stdout == "blog\n"
        if removed:
            service.exec("dpkg", "--remove", "dockerv6")
        service.exec("dpkg", "--install", "/dockerv6.deb")
    service.wait_ready(_BLOG, timeout=120)
    assert subnet_of(lab.engine, "blog") == _NEW
    for client in clients:
        eventually(partial(ping, lab.engine, client, FAR_ADDRESS), "each container is attached again")
    # the daemon of the new version runs
    assert service.properties("ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "0"}
    version = run(["dpkg-deb", "--field", str(deb), "Version"]).stdout.strip()
    assert service.exec("dpkg-query", "--show", "-f", "${Version}", "dockerv6").stdout == version


@pytest.mark.parametrize("backup", [False, True], ids=["uninstalled", "restored"])
def test_downgrade_to_a_version_that_can_not_read_the_state_is_refused_with_a_way_back(
    lab: Lab, service: ServiceOperator, deb: Path, tmp_path: Path, *, backup: bool
) -> None:
    service.start()
    service.apply_yaml("blog.yaml", network_yaml("blog"))
    service.wait_ready(_BLOG)
    network = network_id(lab.engine, "blog")
    service.exec("cp", "-a", "/var/lib/dockerv6", "/BACKUP")
    service.copy(_previous(deb, tmp_path / "previous.deb"), "/previous.deb")
    process = service.properties("MainPID")
    _add_to_schema(service, 1)  # a newer version has written the state
    refused = service.exec("dpkg", "--install", "/previous.deb", check=False)
    assert refused.returncode == 1
    assert service.exec("dpkg-query", "--show", "-f", "${Status}", "dockerv6").stdout == "install ok installed"
    assert service.properties("MainPID", "ActiveState") == {**process, "ActiveState": "active"}
    # nor does a daemon touch it
    service.systemctl("stop", SERVICE)
    shown = service.exec("dockerv6", "apply", check=False)
    assert (shown.returncode, "written by a newer dockerv6" in shown.stderr) == (1, True)
    if not backup:
        _add_to_schema(service, -1)  # that version could read it
    commands = [line for line in refused.stderr.splitlines() if line.startswith("   systemctl")]
    # `uninstall` asks in a terminal
    pasted = f"cd / && {commands[0]}" if backup else f"{commands[1]} --yes"
    service.exec("sh", "-c", pasted)
    service.exec("dpkg", "--install", "/previous.deb")
    service.wait_ready(_BLOG)
    assert (network_id(lab.engine, "blog") == network) == backup
    assert service.exec("test", "-e", "/var/lib/dockerv6.newer", check=False).returncode == (not backup)
    assert ping(lab.engine, lab.engine.run("client", "blog"), FAR_ADDRESS)
