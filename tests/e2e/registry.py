"""What the build of the Dockerfile downloads, provided by this machine: a base image, Debian packages, wheels.

The base image has the name of the real base and is made of Debian packages too. Its apt and pip use a small web server
in the neighbour's namespace. So the Dockerfile is built unchanged, by an engine without any other connection.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from docker.utils.build import exclude_paths

from tests.lab import packages
from tests.lab.cells import CELLS
from tests.lab.lab import Station
from tests.lab.net import NEIGHBOUR_ADDRESS_V4
from tests.lab.process import end, run
from tests.lab.session import lab_directory, locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.lab.engine import Engine
    from tests.lab.lab import EnginePool
    from tests.lab.net import Neighbour
    from tests.lab.session import Session
    from tests.lab.settings import Settings

ROOT = Path(__file__).parents[2]
TAG = "dockerv6:built-by-the-tests"
"""Of the image of the committed Dockerfile."""

BASE = "python:3.13-slim-trixie"
_LOCKS = (ROOT / "requirements.lock", ROOT / "requirements-build.lock")
_SUITE = "trixie"
_PYTHON = "3.13"
_PORT = 8000
_ADDRESS = f"http://{NEIGHBOUR_ADDRESS_V4}:{_PORT}"

# the base: Debian's essential packages, apt, and a Python that makes virtual environments
_BASE_PACKAGES = ("?essential", "apt", "ca-certificates", "python3", "python3-venv", "usr-is-merged")
# unpacked and not installed: the real base has Python's headers, but not the C library's
_HEADERS = (f"libpython{_PYTHON}-dev",)
# increase it when the build of the base changes, so that the cached base is built again
_RECIPE = 2
_DAY = 86400  # seconds

_DOCKERFILE = """
FROM scratch AS bootstrap
ADD root.tar /
ENV DEBIAN_FRONTEND=noninteractive
RUN dpkg --install --force-depends /debs/*.deb >/dev/null && rm -rf /debs
FROM scratch
COPY --from=bootstrap / /
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin
"""


class BuildError(RuntimeError):
    """An image can't be built. The message is the engine's output."""


def build(engine: Engine, context: bytes, tag: str) -> str:
    """Build an image from a tar of its context, as `docker build` does, and return its identifier.

    Raises:
        BuildError: a step failed.
    """
    output: list[str] = []
    client = engine.client()
    file = io.BytesIO(context)
    for line in client.build(fileobj=file, custom_context=True, tag=tag, rm=True, forcerm=True, decode=True):
        output.append(str(line.get("stream") or line.get("status") or ""))
        if "error" in line:
            raise BuildError("".join(output) + str(line["error"]))
    return str(client.inspect_image(tag)["Id"])  # type: ignore[no-untyped-call]


def context_of(directory: Path) -> bytes:
    """Return the tar of a directory's build context, leaving out what its .dockerignore names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in sorted(_context_files(directory)):
            archive.add(directory / name, name, recursive=False)
    return buffer.getvalue()


def _context_files(directory: Path) -> set[str]:
    ignored = (directory / ".dockerignore").read_text().splitlines()
    patterns = [line.strip() for line in ignored if line.strip() and not line.startswith("#")]
    return set(exclude_paths(str(directory), patterns))


def image_archive(session: Session, settings: Settings, tag: str) -> Path:
    """Return the archive of the image that the committed Dockerfile builds.

    An engine of these settings builds it once for each content of the build context, in whichever process needs it
    first; the archive is kept in the lab's directory.
    """
    directory = lab_directory() / "images"
    archive = directory / f"image-{_context_fingerprint()}.tar"
    with locked(archive.with_suffix(".lock")):
        if archive.exists():
            return archive
        for previous in directory.glob("image-*.tar"):
            if previous.stat().st_mtime < time.time() - _DAY:  # a newer one may be in use by another run
                previous.unlink(missing_ok=True)
                shutil.rmtree(previous.with_suffix(".root"), ignore_errors=True)
        station = Station.build(session, settings)
        try:
            load_base(station.engine)
            with served(station.neighbour):
                build(station.engine, context_of(ROOT), tag)
            _save(station.engine, tag, archive)
        finally:
            station.remove()
    return archive


def installed_host(session: Session, pool: EnginePool) -> list[Path]:
    """Return the layers of a Debian host with systemd, on which the operator is installed as in the image."""
    archive = image_archive(session, CELLS["28.5"].settings, TAG)
    root = archive.with_suffix(".root")
    with locked(root.with_suffix(".root-lock")):
        if not root.exists():
            unfinished = root.with_suffix(".unpacked")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            _unpack_image(pool, archive, unfinished)
            unfinished.rename(root)
    return [root, debian_root("systemd", "?essential", "systemd")]


def _unpack_image(pool: EnginePool, archive: Path, target: Path) -> None:
    """Unpack the root directory of a container of the image into a directory."""
    station = pool.acquire(CELLS["28.5"].settings)
    try:
        station.engine.load_image(archive)
        client = station.engine.client()
        container = client.create_container(TAG)
        with subprocess.Popen(["tar", "-x", "-C", target], stdin=subprocess.PIPE) as reader:
            assert reader.stdin is not None
            for chunk in client.export(container):
                reader.stdin.write(chunk)
        assert reader.returncode == 0
    finally:
        pool.release(station)


def _context_fingerprint() -> str:
    """Return a hash of all that the image is made of."""
    digest = hashlib.sha256(f"{_fingerprint()} {_served_directory().name}".encode())
    for name in sorted(_context_files(ROOT)):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()[:12]


def _save(engine: Engine, tag: str, archive: Path) -> None:
    unfinished = archive.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        for chunk in engine.client().get_image(tag):
            file.write(chunk)
    unfinished.rename(archive)


def load_base(engine: Engine) -> None:
    """Load the base image into an engine. It is built on first use (one minute) and kept."""
    archive = lab_directory() / "images" / f"base-{_fingerprint()}.tar"
    with locked(archive.with_suffix(".lock")):
        if not archive.exists():
            _make_base(engine, archive)
            return
    engine.load_image(archive)


def _fingerprint() -> str:
    inputs = repr((_RECIPE, BASE, _BASE_PACKAGES, _HEADERS, _DOCKERFILE, _ADDRESS))
    return hashlib.sha256(inputs.encode()).hexdigest()[:12]


def _make_base(engine: Engine, archive: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache()) as scratch:
        root = Path(scratch)
        packages.make_skeleton(root)
        (root / "debs").mkdir()
        unpack(download(_BASE_PACKAGES, root / "debs"), root)
        with tempfile.TemporaryDirectory(dir=cache()) as more:
            unpack([deb for deb in download(_HEADERS, Path(more)) if deb.name.startswith(_HEADERS)], root)
        _furnish(root)
        build(engine, _base_context(root), BASE)
    _save(engine, BASE, archive)


def _furnish(root: Path) -> None:
    """Write the configuration of apt and pip in the base, and link Python where the real base has it."""
    for name in ("var/lib/dpkg/info", "usr/local/bin", "etc/apt", "proc", "sys", "dev"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("status", "available"):
        (root / "var/lib/dpkg" / name).touch()
    for name in (f"python{_PYTHON}", "python3", "python"):
        (root / "usr/local/bin" / name).symlink_to(f"/usr/bin/python{_PYTHON}")
    (root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] {_ADDRESS}/debian ./\n")
    (root / "etc/pip.conf").write_text(
        f"[global]\nno-index = true\nfind-links = {_ADDRESS}/wheels/\ntrusted-host = {NEIGHBOUR_ADDRESS_V4}\n"
    )


def _base_context(root: Path) -> bytes:
    root_tar, context = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=root_tar, mode="w") as archive:
        archive.add(root, ".")
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, content in (("Dockerfile", _DOCKERFILE.encode()), ("root.tar", root_tar.getvalue())):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return context.getvalue()


@contextmanager
def served(neighbour: Neighbour) -> Iterator[None]:
    """Serve what the project's Dockerfile installs to an engine's build containers, for the block."""
    directory = _served_directory()
    argv = [sys.executable, "-m", "http.server", "--directory", str(directory), "--bind", NEIGHBOUR_ADDRESS_V4]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            neighbour.namespace.enter([*argv, str(_PORT)]), stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True
        )
        try:
            _wait_served(neighbour)
            yield
        finally:
            end(server)


def _wait_served(neighbour: Neighbour) -> None:
    """Wait until the web server accepts connections: on a busy machine it starts later than the build."""
    for _ in range(600):
        with neighbour.namespace.entered(), socket.socket() as client:
            if client.connect_ex((NEIGHBOUR_ADDRESS_V4, _PORT)) == 0:
                return
        time.sleep(0.1)
    raise BuildError("the web server of the build does not start")


def _served_directory() -> Path:
    """Return the directory of packages and distributions, filled on first use and after a change of the lock files."""
    debs = tuple(sorted(_installed_by_dockerfile()))
    version = hashlib.sha256(repr((_RECIPE, debs, [path.read_text() for path in _LOCKS])).encode()).hexdigest()[:12]
    directory = cache() / f"served-{version}"
    with locked(directory.with_suffix(".lock")):
        if not directory.exists():
            unfinished = directory.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            (unfinished / "debian").mkdir(parents=True)
            (unfinished / "wheels").mkdir()
            packages.write_index(download((*_BASE_PACKAGES, *debs), unfinished / "debian"))
            _download_distributions(unfinished / "wheels")
            unfinished.rename(directory)
    return directory


def _installed_by_dockerfile() -> set[str]:
    """Return the Debian packages that the Dockerfile names."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    commands = re.findall(r"apt-get install ([^&|;\n]*)", text)
    return {word for command in commands for word in command.split() if not word.startswith("-")}


def download(names: tuple[str, ...], target: Path) -> list[Path]:
    """Download Debian packages with their dependencies into a directory; return the files."""
    with packages.builders_locked(), packages.Apt(_SUITE).downloaded(*names) as archives:
        return [Path(shutil.move(archive, target / archive.name)) for archive in archives]


def unpack(debs: list[Path], root: Path) -> None:
    """Extract packages into a root directory without running their scripts.

    Raises:
        BuildError: a file is not a package, or the disk is full.
    """
    for deb in debs:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as reader:
            extract = ["tar", "-x", "-C", str(root), "--keep-directory-symlink"]
            writer = subprocess.run(extract, stdin=reader.stdout, check=False, capture_output=True, text=True)
        if reader.returncode != 0 or writer.returncode != 0:
            raise BuildError(f"{deb} can't be unpacked: {writer.stderr}")


def debian_root(name: str, *names: str) -> Path:
    """Return a root directory of Debian packages, made on first use. It stays as it is; `run_in_root` uses it."""
    root = cache() / f"{name}-{_SUITE}"
    with locked(root.with_suffix(".lock")):
        if not root.exists():
            unfinished = root.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            packages.make_skeleton(unfinished)
            with tempfile.TemporaryDirectory(dir=cache()) as debs:
                unpack(download(names, Path(debs)), unfinished)
            unfinished.rename(root)
    return root


_IN_ROOT = """\
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
root=$2/root; shift 2
exec chroot "$root" /usr/bin/env -i PATH=/usr/bin:/usr/sbin LC_ALL=C.UTF-8 "$@"
"""


def run_in_root(layers: Sequence[Path], *argv: str, timeout: float = 600.0) -> subprocess.CompletedProcess[str]:
    """Run a program in directories laid over each other, the uppermost first. What it writes is discarded."""
    with tempfile.TemporaryDirectory() as root:
        shell = ["unshare", "--mount", "/bin/sh", "-euc", _IN_ROOT, "sh", ":".join(map(str, layers)), root]
        return run([*shell, *argv], check=False, timeout=timeout)


def _download_distributions(target: Path) -> None:
    """Download what is locked for the base's Python version: wheels where they exist, else source archives."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--dest", str(target)]
    for lock in _LOCKS:
        run([*pip, "--python-version", _PYTHON, "--requirement", str(lock)], timeout=600)


def cache() -> Path:
    """Return the cache directory of image builds, on the lab's disk."""
    path = lab_directory() / "cache" / "image"
    path.mkdir(parents=True, exist_ok=True)
    return path
