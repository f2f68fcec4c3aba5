"""Build the tree of an engine: a root directory of Debian packages, downloaded by apt and extracted, not installed.

Single programs, such as radvd and Docker Compose, are provided in the same way.

Apt resolves the engine's dependencies with an empty package status, and with its own lists and caches. It uses only the
configured mirror of the system, and changes nothing on it. No maintainer script runs: this module creates the users,
links and files that dockerd needs.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.process import CommandFailedError, run
from tests.lab.session import lab_directory, locked
from tests.lab.settings import XTABLES_VARIANTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PROGRAMS = frozenset({"docker.io", "docker-cli", "containerd", "runc", "tini", "tini-static", "iptables"})
_FILES = frozenset({"busybox-static", "base-files", "netbase"})
_XTABLES_NAMES = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")
# dockerd and its shims never open these; they would increase a tree's size by half
_EXCLUDED = (
    "./usr/share/*",
    "*/gconv/*",
    "*/perl*",
    "*/ctr",
    "*/containerd-stress",
    "*/containerd-shim",
    "*/containerd-shim-runc-v1",
    "./lib/systemd/*",
    "./usr/lib/systemd/*",
    "./etc/init.d/*",
)
_SHELL_APPLETS = ("sh", "ls", "cat", "mount", "umount", "ps", "ip", "sysctl", "grep", "env", "sleep", "kill")


class PackagesError(RuntimeError):
    """A tree can't be built. The message contains the remedy."""


@dataclass(frozen=True, slots=True)
class _Source:
    """The source of an engine's version: suites in order of preference, and its packages."""

    suites: tuple[str, ...]
    packages: tuple[str, ...]


_SOURCES = {
    "20.10": _Source(("bookworm",), ("docker.io",)),
    "26.1": _Source(("trixie",), ("docker.io", "docker-cli")),
    "28.5": _Source(("sid", "forky"), ("docker.io", "docker-cli")),
}
VERSIONS = tuple(_SOURCES)
NFT_SUITES = {"1.0.6": "bookworm", "1.1.3": "trixie", "newest": "sid"}
"""The suite that has each version of nft."""

# the oldest suite: every machine that runs the tests has the libraries that it links to
_PACKAGES_SUITE = "bookworm"
# the plugin of the docker client, which is also a program of its own
_COMPOSE = "usr/libexec/docker/cli-plugins/docker-compose"


def tree(version: str) -> Path:
    """Return the root directory of an engine's version, built on first use (5 to 10 s) and kept for later runs.

    Raises:
        PackagesError: there is no mirror, it no longer has this version, or the tree's programs do not start.
    """
    if version not in _SOURCES:
        raise PackagesError(f"engine {version}: the lab can build {', '.join(VERSIONS)}")
    return kept(version, lambda root: _fill_with_engine(version, root))


def package(name: str, program: str) -> Path:
    """Return a program of a Debian package, such as `usr/sbin/radvd`, which is extracted and kept like a tree.

    It is extracted without its dependencies: it may need only the C library of this machine.

    Raises:
        PackagesError: there is no mirror, or the program does not start.
    """
    return kept(name, lambda root: _fill_with_package(name, program, root)) / program


def nft(version: str) -> list[str]:
    """Return the command of an nft of `NFT_SUITES`, extracted with its libraries on first use and kept like a tree.

    Raises:
        PackagesError: there is no mirror, or the program does not start.
    """
    return _with_own_libraries(kept(f"nft-{version}", lambda root: _fill_with_nft(version, root)), "usr/sbin/nft")


def compose() -> list[str]:
    """Return the command of Docker Compose v2 of Debian sid, extracted on first use and kept like a tree.

    Raises:
        PackagesError: there is no mirror, or the program does not start.
    """
    return _with_own_libraries(kept("compose", _fill_with_compose), _COMPOSE)


def compose_v1() -> list[str]:
    """Return the command of docker-compose 1.29 of Debian bookworm, extracted with its Python and kept like a tree.

    Raises:
        PackagesError: there is no mirror, or the program does not start.
    """
    return _compose_v1_command(kept("compose-1.29", _fill_with_compose_v1))


def _compose_v1_command(root: Path) -> list[str]:
    libraries = root / "usr" / "lib" / "python3" / "dist-packages"
    environment = ["env", f"PYTHONPATH={libraries}", "PYTHONDONTWRITEBYTECODE=1"]
    return [*environment, *_python(root), str(root / "usr" / "bin" / "docker-compose")]


def _python(root: Path) -> list[str]:
    """The command of a tree's own Python, without the site module, which would add the libraries of this machine."""
    return ["env", f"PYTHONHOME={root / 'usr'}", *_with_own_libraries(root, "usr/bin/python3.11"), "-S"]


def compile_python(root: Path) -> None:
    """Compile a tree's Python modules, as the installation of its packages would: each start takes seconds without.

    Modules that this Python can't compile stay as they are.
    """
    libraries = [str(path) for path in sorted((root / "usr" / "lib").glob("python3*"))]
    paths = ("-s", str(root), "-p", "/", *libraries)
    # a copy of the tree, or an overlay, may have other times of modification
    run([*_python(root), "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", *paths], check=False)


def kept(name: str, fill: Callable[[Path], None]) -> Path:
    """Return a directory of extracted packages, which `fill` fills on first use. It is complete, or does not exist."""
    path = lab_directory() / "trees" / name
    if not path.exists():
        with builders_locked():
            if not path.exists():
                unfinished = path.with_name(f"{name}.unfinished")
                if unfinished.exists():
                    shutil.rmtree(unfinished)
                make_skeleton(unfinished)
                fill(unfinished)
                unfinished.rename(path)
    return path


def _with_own_libraries(root: Path, program: str) -> list[str]:
    """The tree's own dynamic linker and C library run it: they may be newer than this machine's."""
    (linker,) = root.glob("usr/lib/*/ld-linux*.so.*")
    return [str(linker), "--library-path", str(linker.parent), str(root / program)]


def _fill_with_nft(version: str, root: Path) -> None:
    with Apt(NFT_SUITES[version]).downloaded("nftables") as archives:
        for archive in archives:
            extract(archive, root)
    shown = run([*_with_own_libraries(root, "usr/sbin/nft"), "--version"]).stdout
    if version != "newest" and f"v{version} " not in shown:
        raise PackagesError(f"Debian {NFT_SUITES[version]} has {shown.strip()}, not {version}: set DOCKERV6_LAB_MIRROR")


def _fill_with_compose(root: Path) -> None:
    with Apt("sid").downloaded("docker-compose") as archives:
        for archive in archives:
            extract(archive, root)
    shown = run([*_with_own_libraries(root, _COMPOSE), "version"]).stdout
    if "version 2." not in shown:
        raise PackagesError(f"Debian sid has {shown.strip()}, not version 2: set DOCKERV6_LAB_MIRROR")


def _fill_with_compose_v1(root: Path) -> None:
    with Apt("bookworm").downloaded("docker-compose") as archives:
        for archive in archives:
            extract(archive, root)
    compile_python(root)
    shown = run([*_compose_v1_command(root), "version", "--short"]).stdout
    if not shown.startswith("1.29."):
        raise PackagesError(f"Debian bookworm has docker-compose {shown.strip()}, not 1.29: set DOCKERV6_LAB_MIRROR")


@contextmanager
def builders_locked() -> Iterator[None]:
    """Let one builder work at a time, because builders of one suite share its cache."""
    with locked(lab_directory() / "cache" / "builders.lock"):
        yield


def _fill_with_package(name: str, program: str, root: Path) -> None:
    with Apt(_PACKAGES_SUITE).downloaded(name) as archives:
        for archive in archives:
            if archive.name.startswith(f"{name}_"):
                extract(archive, root)
    try:
        linked = run(["ldd", str(root / program)]).stdout
    except CommandFailedError as error:
        raise PackagesError(f"{program} of Debian's package {name} doesn't start on this machine\n{error}") from error
    if missing := re.findall(r"(\S+) => not found", linked):
        raise PackagesError(f"{program} of Debian's package {name} needs {', '.join(missing)}, which is not here")


def _fill_with_engine(version: str, root: Path) -> None:
    source = _SOURCES[version]
    with _suite_of(version, source).downloaded(*source.packages, "iptables", "busybox-static") as archives:
        for archive in archives:
            name = archive.name.partition("_")[0]
            if name in _PROGRAMS or name in _FILES or name.startswith("lib"):
                extract(archive, root)
    _furnish(root)
    _prove(version, root)


def _suite_of(version: str, source: _Source) -> Apt:
    found = []
    for suite in source.suites:
        apt = Apt(suite)
        candidate = apt.candidate("docker.io")
        if re.match(rf"{re.escape(version)}\.", candidate):
            return apt
        found.append(f"{suite} has {candidate}")
    raise PackagesError(
        f"no suite of the mirror has docker.io {version} any more ({'; '.join(found)}). "
        "Set DOCKERV6_LAB_MIRROR to one that has, such as a snapshot of the Debian archive"
    )


class Apt:
    """Apt with separate lists, cache and status, for one suite.

    Raises:
        PackagesError: from every method, if the suite or a package is not available.
    """

    def __init__(self, suite: str) -> None:
        self._suite = suite
        self._directory = lab_directory() / "cache" / suite
        for name in ("lists/partial", "archives/partial"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        if not _KEYRING.exists():
            raise PackagesError(f"{_KEYRING} is missing: apt-get install debian-archive-keyring")
        sources = self._directory / "sources.list"
        sources.write_text(f"deb [signed-by={_KEYRING}] {_mirror()} {suite} main\n")
        self._options = [
            *("-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=-"),
            *("-o", f"Dir::State::Lists={self._directory / 'lists'}", "-o", "Dir::State::status=/dev/null"),
            *("-o", "Dir::State::extended_states=/dev/null", "-o", f"Dir::Cache={self._directory}"),
            *("-o", f"Dir::Cache::archives={self._directory / 'archives'}"),
            # a frozen mirror serves expired Release files
            *("-o", "Acquire::Check-Valid-Until=false", "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=3"),
            # otherwise, a mirror that does not answer is only a warning
            *("-o", "APT::Update::Error-Mode=any"),
            # otherwise this waits for, or fails on, the lock of a running apt of the system
            *("-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"),
        ]
        self._run("apt-get", "-qq", "update")

    def candidate(self, package: str) -> str:
        """Return the version in the suite, or `none`."""
        shown = self._run("apt-cache", "policy", package)
        match = re.search(r"Candidate: (?:\d+:)?(\S+)", shown)
        return match[1] if match else "none"

    @contextmanager
    def downloaded(self, *packages: str) -> Iterator[list[Path]]:
        """Download the packages with their dependencies; the archives exist for the block."""
        directory = self._directory / "archives"
        for stale in directory.glob("*.deb"):
            stale.unlink()
        self._run("apt-get", "-qq", "install", "-y", "--no-install-recommends", "--download-only", *packages)
        archives = sorted(directory.glob("*.deb"))
        yield archives
        for archive in archives:
            archive.unlink(missing_ok=True)

    def _run(self, program: str, *arguments: str) -> str:
        try:
            return run([program, *self._options, *arguments], timeout=600).stdout
        except CommandFailedError as error:
            raise PackagesError(
                f"Debian suite {self._suite} can't be had from this machine's mirror\n{error}"
            ) from error
        except FileNotFoundError as error:
            raise PackagesError(f"the lab's engines come from Debian packages, and here is no {program}") from error


def _mirror() -> str:
    """Return the address of the Debian archive in this machine's apt configuration."""
    if chosen := os.environ.get("DOCKERV6_LAB_MIRROR"):
        return chosen
    listed = run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]).stdout
    for address in listed.split():
        if address.rstrip("/").endswith("/debian"):
            return address
    raise PackagesError(
        "this machine's apt knows no mirror of the Debian archive (an address that ends in /debian): "
        "set DOCKERV6_LAB_MIRROR to one"
    )


def make_skeleton(root: Path) -> None:
    """Create a root directory for packages, with merged /usr even if the suite's base-files lacks the links."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    root.chmod(0o755)


def extract(archive: Path, root: Path, *, excluded: Sequence[str] = _EXCLUDED) -> None:
    """Extract an archive into a root directory, without the files that match `excluded` (patterns of tar)."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as unpack:
        completed = subprocess.run(
            [
                *("tar", "-x", "-C", root, "--keep-directory-symlink", "--no-same-owner"),
                *(f"--exclude={pattern}" for pattern in excluded),
            ],
            stdin=unpack.stdout,
            check=False,
            capture_output=True,
            text=True,
        )
    if completed.returncode != 0 or unpack.returncode != 0:
        raise PackagesError(f"{archive.name} can't be extracted: {completed.stderr}")


def write_index(archives: Sequence[Path]) -> None:
    """Make the directory of archives a flat repository: write its file Packages."""
    stanzas = []
    for archive in archives:
        content = archive.read_bytes()
        # the web server would decode a percent sign (of an epoch)
        plain = archive.rename(archive.with_name(archive.name.replace("%3a", "-")))
        digest = hashlib.sha256(content).hexdigest()
        control = run(["dpkg-deb", "--field", str(plain)]).stdout
        stanzas.append(f"{control}Filename: ./{plain.name}\nSize: {len(content)}\nSHA256: {digest}\n")
    (archives[0].parent / "Packages").write_text("\n".join(stanzas))


def _furnish(root: Path) -> None:
    """Create what maintainer scripts would create."""
    for variant in XTABLES_VARIANTS:
        directory = root / "xtables" / variant
        directory.mkdir(parents=True)
        for name in _XTABLES_NAMES:
            (directory / name).symlink_to(f"/usr/sbin/xtables-{variant}-multi")
    for name in ("proc", "sys", "dev", "run", "tmp", "root", "etc", "var/lib", ".old"):
        (root / name).mkdir(parents=True, exist_ok=True)
    run_link = root / "var" / "run"
    if run_link.is_symlink():
        run_link.unlink()
    # relative, because an absolute link in /proc/<pid>/root would lead to the reader's own /run
    run_link.symlink_to("../run")
    for applet in _SHELL_APPLETS:
        link = root / "bin" / applet
        if not link.exists():
            link.symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\ndocker:x:999:\n")
    # a documentation address, so that no container of a test queries a real name server
    (root / "etc/resolv.conf").write_text("nameserver 2001:db8::53\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")


def _prove(version: str, root: Path) -> None:
    """Start each program once, so that a missing library is reported here and not as a dockerd that hangs."""
    programs = ("dockerd", "containerd", "runc", "docker", "docker-init", "iptables", "busybox")
    for program in programs:
        argv = [f"/xtables/{variant}/iptables" for variant in XTABLES_VARIANTS] if program == "iptables" else [program]
        for name in argv:
            option = "--help" if program == "busybox" else "--version"
            try:
                run(["chroot", str(root), "/usr/bin/env", "PATH=/usr/sbin:/usr/bin", name, option])
            except CommandFailedError as error:
                raise PackagesError(
                    f"engine {version} ({platform.machine()}): {name} doesn't start\n{error}"
                ) from error
