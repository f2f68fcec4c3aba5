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

_MAX_UNFREED = 6
"""Contexts that wait to be freed; each holds a copy of the table."""


class NftError(Exception):
    """nftables refused the batch, or failed. The message is its own; nothing was changed."""


class Nft(Protocol):
    """Runs one batch of commands."""

    def tidy(self) -> None:
        """Free what earlier batches left. Called when no request is waiting."""

    def run(self, batch: str, *, check: bool = False) -> str:
        """Run commands in JSON as one transaction, and return the output; empty if there is none.

        With `check`, change nothing.

        Raises:
            NftError: the batch was refused.
        """


class LibNft:
    """libnftables through ctypes: no process is spawned.

    Each batch has its own context, bound to the network namespace of the calling thread. A context caches sets, and a
    dry run or a refused batch leaves that cache wrong: the next batch fails with "interval overlaps with an existing
    one" (1.0.6). A new context costs about 0.1 ms. Freeing one closes its socket, which takes 5 to 12 ms right after a
    commit (see `kernel.NfTables`), so it is done later.
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
        if len(self._used) >= _MAX_UNFREED:
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
    """The nft program, one process for each batch; for hosts without the library."""

    def __init__(self, argv: tuple[str, ...] = ("nft",)) -> None:
        """Run `argv`, followed by nft's own options."""
        self._argv = argv

    def tidy(self) -> None:
        """Nothing to free."""

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
    """The first error; nft reports it again for each command that depends on it."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not set(line.strip()) <= {"^", "~", " "}]
    return lines[0] if lines else "nft failed without a message"
