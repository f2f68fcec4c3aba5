"""Container images without a registry: archives for `docker load`."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.lab import packages
from tests.lab.engine import IMAGE
from tests.lab.process import run
from tests.lab.session import lab_directory, locked

if TYPE_CHECKING:
    from collections.abc import Mapping

_RESPONDER = Path(__file__).with_name("responder.c")
# bookworm's busybox 1.35 crashes in `wget -T`; all engines get the newer one
_BUSYBOX_FROM = "28.5"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def busybox() -> Path:
    """Return the archive of `busybox:test`, built on first use: busybox, a page in /www, and the responder.

    Its stop signal is KILL: busybox as the first process ignores TERM, so that each stop would take 10 s.
    """
    source = hashlib.sha256(_RESPONDER.read_bytes()).hexdigest()[:12]
    path = lab_directory() / "images" / f"busybox-{_BUSYBOX_FROM}-{source}.tar"
    with locked(path.with_suffix(".lock")):
        if not path.exists():
            write_archive(path, IMAGE, _busybox_layer(), {"Cmd": ["/bin/sh"], "StopSignal": "SIGKILL"})
    return path


def write_archive(path: Path, tag: str, layer: bytes, config: Mapping[str, object]) -> None:
    """Write an image of one layer (a tar file's bytes) under a tag; `config` is the image format's `config` object.

    The same input gives the same image identifier. Format: Docker Image Specification v1.2.
    """
    description = json.dumps(
        {
            "architecture": _ARCHITECTURES.get(machine := run(["uname", "-m"]).stdout.strip(), machine),
            "os": "linux",
            "created": "2024-01-01T00:00:00Z",
            "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], **config},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
            "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "the test lab"}],
        }
    ).encode()
    name = f"{hashlib.sha256(description).hexdigest()}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": [tag], "Layers": ["layer.tar"]}]).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    with tarfile.open(unfinished, "w") as archive:
        for member, content in (("manifest.json", manifest), (name, description), ("layer.tar", layer)):
            _add_file(archive, member, content, 0o644)
    unfinished.rename(path)


def _busybox_layer() -> bytes:
    program = packages.tree(_BUSYBOX_FROM) / "usr/bin/busybox"
    applets = run([str(program), "--list"]).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        for directory, mode in (("bin", 0o755), ("etc", 0o755), ("www", 0o755), ("root", 0o700), ("tmp", 0o1777)):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            layer.addfile(entry)
        _add_file(layer, "bin/busybox", program.read_bytes(), 0o755)
        _add_file(layer, "bin/responder", _responder(), 0o755)
        _add_file(layer, "www/index.html", b"hello\n", 0o644)
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                layer.addfile(link)
    return buffer.getvalue()


def _responder() -> bytes:
    with TemporaryDirectory() as directory:
        program = Path(directory) / "responder"
        run(["gcc", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(_RESPONDER)])
        return program.read_bytes()


def _add_file(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
