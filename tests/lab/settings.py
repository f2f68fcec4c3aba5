"""The settings of an engine; a separate module, because choosing cells must not load a Docker client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

XTABLES_VARIANTS = ("nft", "legacy")


@dataclass(frozen=True, slots=True)
class Settings:
    """An engine's version, its xtables variant, its daemon.json, and additional arguments for dockerd."""

    version: str
    xtables: str = "nft"
    config: Mapping[str, object] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
