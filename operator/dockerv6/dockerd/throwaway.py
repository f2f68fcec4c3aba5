"""Temporary containers of `dockerv6 doctor --probe`: they only sleep, and end by themselves.

The host may have no suitable image, so the image is made here. Its only program sleeps and exits. So the engine removes
the container (AutoRemove) even if dockerv6 never runs again.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import secrets
import struct
import tarfile
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from dockerv6.dockerd import address
from dockerv6.dockerd.model import PROBE_LABEL
from dockerv6.dockerd.port import ContainerNotFound, EngineApiError, EngineConflict, EngineError
from dockerv6.dockerd.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Mapping

LIFETIME = 300
"""Seconds after which a container ends by itself."""

_NAME = "dockerv6-probe"
_PROGRAM = "sleep"
_NOBODY = "65534:65534"

# nanosleep({LIFETIME, 0}, NULL); exit(0) — the timespec follows the code
_CODE: Mapping[str, tuple[int, bytes]] = {  # the machine in an ELF header (elf(5)), and the instructions
    "x86_64": (62, bytes.fromhex("b823000000 488d3d0e000000 31f6 0f05 b83c000000 31ff 0f05 90")),
    "aarch64": (183, bytes.fromhex("e0000010 010080d2 a80c80d2 010000d4 000080d2 a80b80d2 010000d4")),
}
_ELF = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_LOAD_ADDRESS = 0x400000


@dataclass(frozen=True, slots=True)
class StartedContainer:
    """A running temporary container."""

    id: str
    name: str


def sleeper(machine: str) -> bytes:
    """A static ELF program that sleeps for `LIFETIME` and exits.

    Raises:
        EngineError: the processor is not known here.
    """
    if machine not in _CODE:
        raise EngineError(
            f"dockerv6 has no probe image for the processor {machine}; use an image that has the program `sleep`:"
            " --probe-image IMAGE"
        )
    number, code = _CODE[machine]
    content = code + struct.pack("<QQ", LIFETIME, 0)
    offset = _ELF.size + _SEGMENT.size
    identification = b"\x7fELF\2\1\1".ljust(16, b"\0")  # 64 bits, little-endian
    header = _ELF.pack(
        *(identification, 2, number, 1, _LOAD_ADDRESS + offset, _ELF.size, 0, 0),
        *(_ELF.size, _SEGMENT.size, 1, 0, 0, 0),
    )
    size = offset + len(content)
    # readable and executable
    return header + _SEGMENT.pack(1, 5, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, 0x1000) + content


class ThrowawayContainers:
    """Starts temporary containers, and removes all containers of an owner."""

    def __init__(
        self, base_url: str | None, owner: str, image: str = "", environment: Mapping[str, str] = os.environ
    ) -> None:
        """Send nothing yet.

        Args:
            base_url: as of `DockerEngine`.
            owner: the value of the label.
            image: one with the program `sleep`; "": one is made.
            environment: as of `DockerEngine`.

        Raises:
            DockerHostError: as `DockerEngine`.
        """
        self._transport = Transport(address.resolve(base_url, environment), parallel=4)
        self._owner = owner
        self._image = image
        self._imported = False
        self._own_image = f"{_NAME}:{hashlib.sha256(owner.encode()).hexdigest()[:12]}"

    async def start(self, network_id: str) -> StartedContainer:
        """Start a container on a network. Cancelled or not, `remove_all` finds it, by a name that no image can claim.

        Raises:
            EngineError: the engine refuses, or has no such image.
        """
        task = asyncio.ensure_future(self._start(network_id))
        try:
            return await asyncio.shield(task)
        finally:  # what the engine makes after a cancellation would outlast the clean-up
            await asyncio.wait([task])

    async def _import(self) -> None:
        await self._remove_image()  # a run that was killed left it
        program = sleeper(os.uname().machine)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as layer:
            entry = tarfile.TarInfo(_PROGRAM)
            entry.size, entry.mode = len(program), 0o755
            layer.addfile(entry, io.BytesIO(program))
        path = f"/images/create?fromSrc=-&repo={quote(self._own_image, safe='')}"
        answer = await self._transport.post(path, lambda _: buffer.getvalue())
        if isinstance(answer, dict) and "error" in answer:  # after the status 200
            raise EngineApiError(str(answer["error"]))
        self._imported = True

    async def _start(self, network_id: str) -> StartedContainer:
        if not self._image and not self._imported:
            await self._import()
        body = {
            "Image": self._image or self._own_image,
            "Entrypoint": [_PROGRAM if self._image else f"/{_PROGRAM}"],
            "Cmd": [str(LIFETIME)],
            "Labels": {PROBE_LABEL: self._owner},
            "User": _NOBODY,
            "HostConfig": {
                "NetworkMode": network_id,
                "AutoRemove": True,
                "ReadonlyRootfs": True,
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                "LogConfig": {"Type": "none"},
            },
        }
        name = f"{_NAME}-{secrets.token_hex(6)}"
        created = await self._transport.post(f"/containers/create?name={name}", lambda _: body)
        await self._transport.post(f"/containers/{name}/start", lambda _: None)
        return StartedContainer(str(created["Id"]) if isinstance(created, dict) else "", name)

    async def remove_all(self) -> None:
        """Remove every container of the owner.

        Raises:
            EngineError: the engine does not answer, or refuses.
        """
        filters = json.dumps({"label": [f"{PROBE_LABEL}={self._owner}"], "name": [f"^/?{_NAME}-"]})
        listed = await self._transport.get("/containers/json", {"all": "1", "filters": filters})
        for each in listed if isinstance(listed, list) else []:
            # a conflict: the engine is removing it, since it has just ended
            with suppress(ContainerNotFound, EngineConflict):
                await self._transport.delete(f"/containers/{each['Id']}?force=1&v=1")

    async def close(self) -> None:
        """Remove the image that was made, and close connections."""
        await self._remove_image()
        await self._transport.close()

    async def _remove_image(self) -> None:
        with suppress(EngineError):  # there is none, or a container of another run still has it
            await self._transport.delete(f"/images/{self._own_image}")
