"""An engine's error answers, as the port's errors.

The engine has no error codes beyond HTTP's, and those differ from version to version (an exhausted address pool is
404 in 20.10 and 400 in 28.5), so its words decide first.
"""

from __future__ import annotations

import re

from dockerv6.dockerd.port import (
    ContainerNotFound,
    EngineApiError,
    EngineConflict,
    EngineError,
    EngineUnavailable,
    NetworkNotFound,
)

_NOT_FOUND = 404
_CONFLICT = 409
_GATEWAY_ERRORS = frozenset({502, 503, 504})

_NO_NETWORK = re.compile(r"\bnetwork .+ not found|no such network", re.IGNORECASE)
# "endpoint X not found" is how a forced disconnect says that there is no container X
_NO_CONTAINER = re.compile(r"no such container|^endpoint \S+ not found", re.IGNORECASE)
_STATE_FORBIDS = re.compile(
    r"already exists|active endpoints|overlaps with|already in use|already allocated|conflicts with"
    r"|non-overlapping IPv[46] address pool|address pools have been fully subnetted|no available (IPv[46] )?address",
    re.IGNORECASE,
)
_ATTACHED = re.compile(r"endpoint with name .* already exists in network", re.IGNORECASE)
_NOT_ATTACHED = re.compile(r"is not connected to (the )?network", re.IGNORECASE)
_WRONG_API = re.compile(r"client version \S+ is too (new|old)", re.IGNORECASE)
_AMBIGUOUS = re.compile(r"is ambiguous", re.IGNORECASE)

_NOISE = re.compile(r"rpc error: code = \w+ desc = |^Error response from daemon: ")
_LONG_ID = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


def one_line(message: str) -> str:
    """Take out what only Go programs need: line breaks and bullets, gRPC prefixes, 64-digit ids."""
    lines = [line.strip().removeprefix("* ") for line in message.splitlines() if line.strip()]
    joined = ""
    for line in lines:
        joined += line if not joined else f" {line}" if joined.endswith(":") else f"; {line}"
    return _LONG_ID.sub(r"\1", _NOISE.sub("", joined))


def from_answer(status: int, message: str, *, told_by_engine: bool = True) -> EngineError:
    """Make the error for an answer of status 400 or above.

    Args:
        status: of the HTTP answer.
        message: the engine's, or the body where it is not JSON.
        told_by_engine: False when the answer isn't an engine's JSON; a proxy's "bad gateway" is then no refusal.
    """
    text = one_line(message) or "no reason given"
    if status in _GATEWAY_ERRORS and not told_by_engine:
        return EngineUnavailable(f"{text[:200]} (HTTP {status})")
    return _kind(status, text)(text, status)


def _kind(status: int, text: str) -> type[EngineApiError]:
    if status == _NOT_FOUND and _NO_NETWORK.search(text):
        return NetworkNotFound
    if status == _NOT_FOUND and _NO_CONTAINER.search(text):
        return ContainerNotFound
    if status == _CONFLICT or _STATE_FORBIDS.search(text):
        return EngineConflict
    return EngineApiError


def says_attached(error: EngineApiError) -> bool:
    """Whether a connect was refused because there is such an endpoint already."""
    return bool(_ATTACHED.search(error.message))


def says_not_attached(error: EngineApiError) -> bool:
    """Whether a disconnect was refused because there is nothing to disconnect."""
    return bool(_NOT_ATTACHED.search(error.message))


def says_wrong_api(error: EngineApiError) -> bool:
    """Whether the request never got further than the engine's check of its API version."""
    return bool(_WRONG_API.search(error.message))


def says_ambiguous(error: EngineApiError) -> bool:
    """Whether several networks have the name that was asked for."""
    return bool(_AMBIGUOUS.search(error.message))
