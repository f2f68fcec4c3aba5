"""The two ways to talk to nftables in JSON: libnftables in this process, or the nft executable. Both block."""

import ctypes
import subprocess
from collections.abc import Mapping, Sequence
from typing import Protocol

Json = None | bool | int | str | Sequence["Json"] | Mapping[str, "Json"]
JsonObject = Mapping[str, Json]

SONAME = "libnftables.so.1"

_OUTPUT_JSON = 1 << 4  # NFT_CTX_OUTPUT_JSON, nftables/libnftables.h
_TIMEOUT = 60.0
"""Seconds for the executable; a thousand networks take it well under one."""


_MOST_USED = 6
"""Contexts that are kept until there is time to free them; each holds a copy of the table."""


class NftError(Exception):
    """nftables refused or failed; its own text, nothing changed."""


class Nft(Protocol):
    """Runs one batch of commands."""

    def tidy(self) -> None:
        """Free what batches left behind; there is time now."""

    def run(self, batch: str, *, check: bool = False) -> str:
        """Commands in JSON, one transaction; gives the output, empty where there is none.

        `check`: change nothing.

        Raises:
            NftError: refused as a whole.
        """


class LibNft:
    """libnftables through ctypes: no process is spawned.

    Every batch gets a context of its own, bound to the network namespace of the calling thread. A context keeps a cache
    of sets that a dry run or a refused batch leaves wrong: the next batch through it fails with "interval overlaps with
    an existing one" (1.0.6). A fresh one costs about 0.1 ms. Freeing one closes its socket, which takes 5 to 12 ms when
    there was a commit just before (see `kernel.NfTables`), so it is left for later.
    """

    def __init__(self) -> None:
        """Load the library.

        Raises:
            OSError: it is not installed.
        """
        library = ctypes.CDLL(SONAME)
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        for name in ("nft_ctx_free", "nft_ctx_buffer_output", "nft_ctx_buffer_error"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
            getattr(library, name).restype = ctypes.c_char_p
        library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        library.nft_ctx_set_dry_run.argtypes = [ctypes.c_void_p, ctypes.c_bool]
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._library = library
        self._used: list[ctypes.c_void_p] = []

    def tidy(self) -> None:
        """Free the contexts of earlier batches."""
        while self._used:
            self._library.nft_ctx_free(self._used.pop())

    def run(self, batch: str, *, check: bool = False) -> str:
        """See `Nft.run`."""
        library = self._library
        context = ctypes.c_void_p(library.nft_ctx_new(0))
        if not context:
            raise NftError("libnftables gave no context: out of memory or file descriptors")
        if len(self._used) >= _MOST_USED:
            self.tidy()
        self._used.append(context)
        # Otherwise it would print to our stdout and stderr.
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        library.nft_ctx_output_set_flags(context, _OUTPUT_JSON)
        library.nft_ctx_set_dry_run(context, check)
        status = library.nft_run_cmd_from_buffer(context, batch.encode())
        output: bytes = library.nft_ctx_get_output_buffer(context) or b""
        error: bytes = library.nft_ctx_get_error_buffer(context) or b""
        if status != 0:
            raise NftError(_message(error.decode(errors="replace")))
        return output.decode()


class NftExecutable:
    """The nft program, one process a batch; for hosts without the library."""

    def __init__(self, argv: tuple[str, ...] = ("nft",)) -> None:
        """Run `argv` with nft's own options behind it."""
        self._argv = argv

    def tidy(self) -> None:
        """A process leaves nothing behind."""

    def run(self, batch: str, *, check: bool = False) -> str:
        """See `Nft.run`."""
        options = (*(("-c",) if check else ()), "-j", "-f", "-")
        done = subprocess.run(
            (*self._argv, *options), input=batch, capture_output=True, text=True, check=False, timeout=_TIMEOUT
        )
        if done.returncode != 0:
            raise NftError(_message(done.stderr))
        return done.stdout


def _message(text: str) -> str:
    """The first complaint; nft repeats it for every command that follows from it."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not set(line.strip()) <= {"^", "~", " "}]
    return lines[0] if lines else "nft failed without a message"
