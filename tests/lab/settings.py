"""What an engine is started with; apart from the engine, because choosing cells must not load a Docker client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

XTABLES_VARIANTS = ("nft", "legacy")


@dataclass(frozen=True, slots=True)
class Settings:
    """An engine's version, the xtables variant that it finds, its daemon.json, and more arguments for dockerd."""

    version: str
    xtables: str = "nft"
    config: Mapping[str, object] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
