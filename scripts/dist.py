"""Build the packages of this checkout in dist/: wheel, sdist, Debian package, their SBOM and checksums; `make dist`.

Two runs on one machine give the same bytes: every time is SOURCE_DATE_EPOCH, by default that of the last commit. What
is downloaded is in the lock files with its hash, and is kept in build/, so a second run needs no network.
"""  # noqa: INP001

from __future__ import annotations

import gzip
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tomllib
import zipfile
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from dockerv6.ipam.tables import SCHEMA as LEDGER
from dockerv6.store.tables import SCHEMA as STORE
from scripts import sbom

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
PYTHONS = ("3.11", "3.13")
"""The versions that the Debian package runs on: those of Debian 12 and 13. Modules of C are in it for each."""

_BUILD = ROOT / "build" / "packages"
_DEBIAN = ROOT / "manifests" / "debian"
_UNIT = ROOT / "manifests" / "systemd" / "dockerv6.service"
_LOCK = ROOT / "requirements.lock"
_BUILD_LOCK = ROOT / "requirements-build.lock"
# the newest has the C library of Debian 12 or older
_PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
_SCRIPTS = ("preinst", "postinst", "prerm", "postrm")
_COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/dockerv6",
    "zsh": "usr/share/zsh/vendor-completions/_dockerv6",
    "fish": "usr/share/fish/vendor_completions.d/dockerv6.fish",
}
_EXECUTABLE, _PLAIN = 0o755, 0o644


def main() -> None:
    """Build everything."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or _output("git", "log", "-1", "--format=%ct")
    os.environ |= {"SOURCE_DATE_EPOCH": epoch, "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    os.umask(0o022)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    tools = _tools()
    _run(tools, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", DIST)
    (wheel,) = DIST.glob("*.whl")
    deb = build_deb(project["version"], (*_distributions(tools), wheel), int(epoch), _BUILD / "deb")
    shutil.move(deb, DIST / deb.name)
    found = sbom.document("")
    sbom.validate(found)
    (DIST / f"dockerv6_{project['version']}.cdx.json").write_text(json.dumps(found, indent=2) + "\n")
    write_checksums()


def write_checksums() -> None:
    """Write dist/SHA256SUMS, for `sha256sum --check`."""
    files = sorted(path for path in DIST.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (DIST / "SHA256SUMS").write_text("".join(lines))


def _tools() -> Path:
    """The Python of an environment with the locked build backends; it is kept."""
    directory = _kept("tools", _BUILD_LOCK)
    python = directory / "bin" / "python"
    if not directory.exists():
        unfinished = directory.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        _run(sys.executable, "-m", "venv", unfinished)
        install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes")
        _run(unfinished / "bin" / "python", *install, "--requirement", _BUILD_LOCK)
        unfinished.rename(directory)
    return python


def wheels() -> list[Path]:
    """The locked distributions as wheels, for each of `PYTHONS`, after a build."""
    return sorted(_kept("wheels", _LOCK, _BUILD_LOCK).glob("*.whl"))


def _distributions(tools: Path) -> list[Path]:
    directory = _kept("wheels", _LOCK, _BUILD_LOCK)
    if not directory.exists():
        unfinished = directory.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        platforms = [option for each in _PLATFORMS for option in ("--platform", f"{each}_{platform.machine()}")]
        for python in PYTHONS:
            download = ("-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps")
            options = ("--no-build-isolation", "--require-hashes", "--python-version", python, *platforms)
            _run(tools, *download, *options, "--dest", unfinished, "--requirement", _LOCK)
        for archive in unfinished.glob("*.tar.gz"):  # python-iptables: it has no wheels
            wheel = ("-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index")
            # debug information would have the name of a temporary directory, and a Python that is not Debian's would
            # link to its own libraries
            environment = {**os.environ, "CFLAGS": "-O2 -g0", "LDSHARED": "gcc -shared -Wl,--strip-all"}
            _run(tools, *wheel, "--no-build-isolation", "--wheel-dir", unfinished, archive, environment=environment)
            archive.unlink()
        unfinished.rename(directory)
    return wheels()


def _kept(name: str, *inputs: Path) -> Path:
    """A directory whose name stands for its inputs, this script and the machine's Python."""
    content = b"".join(path.read_bytes() for path in (*inputs, Path(__file__)))
    digest = hashlib.sha256(content + sys.version.encode()).hexdigest()[:12]
    _BUILD.mkdir(parents=True, exist_ok=True)
    return _BUILD / f"{name}-{digest}"


def build_deb(version: str, contents: Sequence[Path], epoch: int, root: Path) -> Path:
    """Build the Debian package beside its tree.

    Args:
        version: of the package.
        contents: the wheels that it carries.
        epoch: the time of all files, in Unix seconds.
        root: the directory of the tree, which is made anew.
    """
    architecture = _output("dpkg", "--print-architecture")
    shutil.rmtree(root, ignore_errors=True)
    library = root / "usr/lib/dockerv6"
    for each in contents:
        _unpack(each, library)
    (root / "etc/dockerv6.d").mkdir(parents=True)
    _install(_DEBIAN / "dockerv6", root / "usr/bin/dockerv6", mode=_EXECUTABLE)
    _install(_DEBIAN / "rtupdate", root / "usr/share/python3/runtime.d/dockerv6.rtupdate", mode=_EXECUTABLE)
    _install(_DEBIAN / "default", root / "etc/default/dockerv6")
    unit = _UNIT.read_text()
    _write(root / "usr/lib/systemd/system" / _UNIT.name, unit.replace("/opt/dockerv6/bin/", "/usr/bin/"))
    documents = root / "usr/share/doc/dockerv6"
    _install(_DEBIAN / "copyright", documents / "copyright")
    _compress((ROOT / "CHANGELOG.md").read_text(), documents / "CHANGELOG.md.gz")
    values = {"version": version, "date": format_datetime(datetime.fromtimestamp(epoch, UTC))}
    _compress(_filled("changelog", values), documents / "changelog.gz")
    _install(_DEBIAN / "lintian-overrides", root / "usr/share/lintian/overrides/dockerv6")
    for example in sorted((ROOT / "manifests" / "examples").glob("*.yaml")):
        _install(example, documents / "examples" / example.name)
    for page in sorted((ROOT / "manifests" / "man").glob("*.[1-8]")):
        _compress(page.read_text(), root / f"usr/share/man/man{page.suffix[1:]}" / f"{page.name}.gz")
    for shell, target in _COMPLETIONS.items():
        if (source := ROOT / "manifests" / "completion" / shell).exists():
            _install(source, root / target)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    size = sum(-(-path.stat().st_size // 1024) for path in files)
    values = {"version": version, "architecture": architecture, "installed_size": str(size), "pythons": _pythons()}
    _write(root / "DEBIAN/control", _filled("control", values))
    _write(root / "DEBIAN/conffiles", "/etc/default/dockerv6\n")
    sums = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n" for path in files]  # noqa: S324
    _write(root / "DEBIAN/md5sums", "".join(sums))
    schemas = " ".join(f"{each.component}={each.version}" for each in (STORE, LEDGER))
    for script in _SCRIPTS:
        text = (_DEBIAN / script).read_text().replace("${schemas}", schemas)
        _write(root / "DEBIAN" / script, text, mode=_EXECUTABLE)
    for path in (*root.rglob("*"), root):
        os.utime(path, (epoch, epoch))
    # more threads would make other blocks
    options = ("--root-owner-group", "-Zxz", "--threads-max=1")
    deb = root.with_name(f"dockerv6_{version}_{architecture}.deb")
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    _run("dpkg-deb", *options, "--build", root, deb, environment=environment)
    return deb


def _pythons() -> str:
    """The dependency on one of `PYTHONS`."""
    minors = [int(each.partition(".")[2]) for each in PYTHONS]
    conditions = [f"python3 (>= 3.{minors[0]}~), python3 (<< 3.{minors[-1] + 1}~)"]
    for before, after in pairwise(minors):
        conditions.append(f"python3 (<< 3.{before + 1}~) | python3 (>= 3.{after}~)")
    return ", ".join(conditions)


def _unpack(wheel: Path, target: Path) -> None:
    """Extract a wheel. Those of several Python versions differ in modules of C only, whose names have the version."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            name = entry.filename
            if name.endswith("/") or ".dist-info/RECORD" in name or ".data/" in name:
                continue
            path = target / name
            if path.name.startswith("libxtwrapper."):  # no module of Python: any version loads it, with ctypes
                path = target / "libxtwrapper.so"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(entry))


def _install(source: Path, target: Path, mode: int = _PLAIN) -> None:
    _write(target, source.read_text(), mode=mode)


def _write(target: Path, text: str, mode: int = _PLAIN) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)


def _filled(name: str, values: Mapping[str, str]) -> str:
    return Template((_DEBIAN / name).read_text()).substitute(values)


def _compress(text: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _run(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, cwd=ROOT, env=environment)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    main()
