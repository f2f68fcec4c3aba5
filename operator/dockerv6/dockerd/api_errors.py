"""Maps error responses of the engine to the port's exceptions.

The engine has no error codes: a response carries an HTTP status and a text. The statuses differ between versions (an
exhausted address pool is 404 in 20.10 and 400 in 28.5) and one status has several meanings (a connect gets 404 for the
network and for the container). So the text decides, and it is matched here and nowhere else.

A 404 alone is not enough to conclude that a network is gone: a proxy, or another server on the same port, sends it too.
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

_CONFLICT = 409
_GATEWAY_ERRORS = frozenset({502, 503, 504})
_LONGEST_PROXY_TEXT = 200


class EndpointExists(EngineConflict):
    """The network has an endpoint of that container's name already."""


class NotConnected(EngineApiError):  # noqa: N818 - same
    """The container is not connected to the network."""


class AmbiguousName(EngineApiError):  # noqa: N818 - same
    """Several networks have that name."""


class ApiVersionRejected(EngineApiError):  # noqa: N818 - same
    """The engine does not offer the API version of the request; nothing was done."""


class NoResponse(EngineApiError):  # noqa: N818 - same
    """The engine works, but it does not respond properly to a request about one object."""


def _text(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# The first match decides. Unless another version is named, engines 20.10, 26.1 and 28.5 send the same text.
_TEXTS: tuple[tuple[int | None, re.Pattern[str], type[EngineApiError]], ...] = (
    (404, _text(r"\bnetwork .+ not found|no such network"), NetworkNotFound),
    # "endpoint X not found": a forced disconnect of a container that does not exist
    (404, _text(r"no such container|^endpoint \S+ not found"), ContainerNotFound),
    (None, _text(r"endpoint with name .* already exists in network"), EndpointExists),
    (None, _text(r"is not connected to (the )?network"), NotConnected),
    (None, _text(r"client version \S+ is too (new|old)"), ApiVersionRejected),
    # engines before 25 allow two networks of one name
    (None, _text(r"is ambiguous"), AmbiguousName),
    (None, _text(r"already exists|active endpoints|overlaps with|already in use|already allocated"), EngineConflict),
    (None, _text(r"conflicts with"), EngineConflict),  # the same bridge name
    (None, _text(r"non-overlapping IPv[46] address pool"), EngineConflict),  # 20.10, 26.1
    (None, _text(r"address pools have been fully subnetted"), EngineConflict),  # 28.5
    (None, _text(r"no available (IPv[46] )?address"), EngineConflict),
)

_NOISE = re.compile(r"rpc error: code = \w+ desc = |^Error response from daemon: ")
_CONFLICTING = re.compile(r"conflicts with network ([0-9a-f]{12,64})\b")
_LONG_ID = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


def from_response(status: int, message: str, *, from_engine: bool = True) -> EngineError:
    """Build the exception for a response of status 400 or above.

    Args:
        status: the HTTP status.
        message: the engine's message, or the whole body where it is not the engine's JSON.
        from_engine: whether the body was the engine's JSON. A "bad gateway" of a proxy means that the engine is
            unavailable, not that it rejected the request.
    """
    text = one_line(message) or "no reason given"
    if status in _GATEWAY_ERRORS and not from_engine:
        return EngineUnavailable(f"{text[:_LONGEST_PROXY_TEXT]} (HTTP {status})")
    for only, pattern, error in _TEXTS:
        if only in (None, status) and pattern.search(text):
            return error(text, status)
    return (EngineConflict if status == _CONFLICT else EngineApiError)(text, status)


def one_line(message: str) -> str:
    """Join the lines of a message; shorten 64-digit ids; remove bullets and gRPC prefixes."""
    joined = ""
    for line in filter(None, (line.strip().removeprefix("* ") for line in message.splitlines())):
        joined += line if not joined else f" {line}" if joined.endswith(":") else f"; {line}"
    return _LONG_ID.sub(r"\1", _NOISE.sub("", joined))


def conflicting_network(message: str) -> str:
    """The first digits of the id of the network that a bridge driver names as the cause of a refusal; "": none."""
    found = _CONFLICTING.search(message)
    return found[1] if found is not None else ""
