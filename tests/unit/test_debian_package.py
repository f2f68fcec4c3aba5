"""The Debian package, built from a small wheel: what it says and carries. `make test-dist` installs the real one."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from dockerv6.ipam.tables import SCHEMA as LEDGER
from dockerv6.store.tables import SCHEMA as STORE
from scripts import dist

if TYPE_CHECKING:
    from pathlib import Path

_EPOCH = 1_700_000_000


def _build(directory: Path) -> Path:
    directory.mkdir()
    for python in ("311", "313"):
        with zipfile.ZipFile(directory / f"c-1-cp{python}.whl", "w") as wheel:
            wheel.writestr("c/__init__.py", "")
            wheel.writestr(f"c/fast.cpython-{python}-x86_64-linux-gnu.so", python)
            wheel.writestr("c-1.dist-info/RECORD", python)
    return dist.build_deb("1.2.3", sorted(directory.glob("*.whl")), _EPOCH, directory / "tree")


@pytest.fixture(scope="module")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(tmp_path_factory.mktemp("deb") / "one")


def _dpkg(*arguments: str) -> str:
    return subprocess.run(["dpkg-deb", *arguments], check=True, capture_output=True, text=True).stdout


def test_package_carries_modules_of_every_python_and_needs_one_of_them(deb: Path) -> None:
    files = {line.split()[-1] for line in _dpkg("--contents", str(deb)).splitlines()}
    modules = {f"./usr/lib/dockerv6/c/fast.cpython-{python}-x86_64-linux-gnu.so" for python in ("311", "313")}
    wanted = {"./usr/bin/dockerv6", "./usr/lib/systemd/system/dockerv6.service", "./etc/dockerv6.d/", *modules}
    assert files >= wanted
    assert not any("RECORD" in name for name in files)
    assert _dpkg("--field", str(deb), "Version", "Depends") == (
        "Version: 1.2.3\nDepends: python3 (>= 3.11~), python3 (<< 3.14~), python3 (<< 3.12~) | python3 (>= 3.13~),"
        " libc6 (>= 2.36), iptables\n"
    )
    # for Git sources
    assert _dpkg("--field", str(deb), "Recommends").strip() == "docker.io | docker-ce, git, openssh-client"


def test_every_kind_of_file_is_in_its_place_with_its_mode(deb: Path) -> None:
    owners = {line.split()[1] for line in _dpkg("--contents", str(deb)).splitlines()}
    assert owners == {"root/root"}
    modes = {line.split()[-1]: line.split()[0] for line in _dpkg("--contents", str(deb)).splitlines()}
    assert modes["./usr/bin/dockerv6"] == "-rwxr-xr-x"
    assert modes["./etc/default/dockerv6"] == "-rw-r--r--"
    unit = (deb.with_name("tree") / "usr/lib/systemd/system/dockerv6.service").read_text()
    assert "ExecStart=/usr/bin/dockerv6 run" in unit
    assert "/opt/" not in unit


def test_maintainer_scripts_are_shell_and_know_the_schemas_of_the_state(deb: Path, tmp_path: Path) -> None:
    _dpkg("--control", str(deb), str(tmp_path / "control"))
    for name in ("preinst", "postinst", "prerm", "postrm"):
        subprocess.run(["sh", "-n", str(tmp_path / "control" / name)], check=True)
    assert f" store={STORE.version} ipam={LEDGER.version} " in (tmp_path / "control/preinst").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected", "absent"),
    [
        (("upgrade", "9.0.0", "1.2.3"), "The installed version stays and keeps running", "install the newer"),
        (("install", "9.0.0", "1.2.3"), "install the newer version again, then", "installed version stays"),
        (("install",), "install the newer version again, then", "installed version stays"),  # after a purge
        (("abort-upgrade", "1.2.3"), "", "not installed"),
    ],
)
@pytest.mark.parametrize("newer", [True, False])
def test_a_state_of_a_newer_version_is_refused_whatever_was_before(
    arguments: tuple[str, ...],
    expected: str,
    absent: str,
    newer: bool,  # noqa: FBT001 - a parameter of the test
    deb: Path,
    tmp_path: Path,
) -> None:
    _dpkg("--control", str(deb), str(tmp_path / "control"))
    state = tmp_path / "state"
    state.mkdir()
    with closing(sqlite3.connect(state / "state.db")) as database, database:
        database.execute("CREATE TABLE state_schema (component TEXT, version INTEGER)")
        database.execute("INSERT INTO state_schema VALUES ('ipam', ?), ('other', 1)", (LEDGER.version + newer,))
    script = (tmp_path / "control/preinst").read_text().replace("/var/lib/dockerv6", str(state))
    done = subprocess.run(
        ["sh", "-s", *arguments], input=script, capture_output=True, text=True, check=False, encoding="utf-8"
    )
    refused = newer and bool(expected)
    assert done.returncode == refused, done.stderr
    assert (expected in done.stderr) == refused or not expected
    assert absent not in done.stderr
    assert not any(line.endswith(" ") for line in done.stderr.splitlines())


def test_the_way_back_keeps_the_state_if_the_path_of_the_backup_is_wrong(deb: Path, tmp_path: Path) -> None:
    _dpkg("--control", str(deb), str(tmp_path / "control"))
    state = tmp_path / "state"
    state.mkdir()
    (state / "state.db").touch()
    script = (tmp_path / "control/preinst").read_text()
    (command,) = (line for line in script.splitlines() if "BACKUP" in line)
    pasted = command.strip().removeprefix('f"').removesuffix('\\n"').replace("{stop}", "").strip()
    pasted = pasted.replace("/var/lib/dockerv6", str(state)).replace("BACKUP", str(tmp_path / "nothing"))
    assert subprocess.run(["sh", "-c", pasted], check=False).returncode == 1
    assert (tmp_path / "state.newer/state.db").exists()


def test_two_builds_have_the_same_bytes(deb: Path, tmp_path: Path) -> None:
    again = _build(tmp_path / "another-directory")
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(deb.read_bytes()).digest()
