"""What the engine at the other end understands, by its API version.

From https://docs.docker.com/reference/api/engine/version-history/, checked against engines 20.10, 26.1 and 28.5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Api = tuple[int, int]
"""An API version: (1, 41)."""

HIGHEST: Api = (1, 54)
"""We speak no higher, whatever the engine offers: later versions may change what we read."""

ENDPOINT_DRIVER_OPTS: Api = (1, 32)
ENABLE_IPV4: Api = (1, 48)
GATEWAY_PRIORITY: Api = (1, 48)
CONNECT_MAC_ADDRESS: Api = (1, 54)
"""`MacAddress` exists in connect requests since 1.44, and is ignored there by the versions before this one."""

_SERVER = re.compile(r"Docker/(\S+)")


@dataclass(frozen=True, slots=True)
class Dialect:
    """An engine's version and the API version that it offers."""

    version: str
    api: Api

    @property
    def spoken(self) -> Api:
        """The API version that both sides understand."""
        return min(self.api, HIGHEST)

    def understands(self, feature: Api) -> bool:
        """Whether what came with that API version can be said."""
        return self.spoken >= feature


def parse_api(text: str) -> Api | None:
    """Parse "1.41"; None when it is no API version."""
    major, dot, minor = text.partition(".")
    return (int(major), int(minor)) if dot and major.isdecimal() and minor.isdecimal() else None


def format_api(api: Api) -> str:
    """Format as in a path: "1.41"."""
    return f"{api[0]}.{api[1]}"


def from_headers(headers: Mapping[str, str]) -> Dialect | None:
    """Read the headers that an engine puts on every answer (`Api-Version`, `Server`); None when they aren't there."""
    api = parse_api(headers.get("Api-Version", ""))
    if api is None:
        return None
    server = _SERVER.match(headers.get("Server", ""))
    return Dialect(version=server[1] if server else "of unknown version", api=api)
