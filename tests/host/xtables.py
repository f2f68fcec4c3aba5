"""ip6tables in both variants, and recorded rules of docker-ipv6nat, for tests in a network namespace of their own."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.xtables import libiptc

if TYPE_CHECKING:
    import iptc
    import pytest

VARIANTS = {"nft": FilterVariant.XTABLES_NFT, "legacy": FilterVariant.XTABLES_LEGACY}

RECORDED = Path(__file__).parents[1] / "golden" / "ipv6nat"
OFF = "20.10-off-proxy"
"""A recording of a host where docker-ipv6nat runs, and the engine's own IPv6 rules are off."""


def recorded(name: str) -> str:
    """A recording, as `ip6tables-restore` takes it."""
    return (RECORDED / f"{name}.save").read_text()


def ip6tables(variant: str, *arguments: str) -> None:
    """Run ip6tables."""
    done = subprocess.run([f"ip6tables-{variant}", "-w", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def disturb_commits(monkeypatch: pytest.MonkeyPatch, lock: Path, times: int) -> None:
    """During each of the next commits to a legacy table, another program adds a rule to it and deletes the rule again.

    It takes another lock, so the kernel refuses the commit (EAGAIN), and the table is what it was before.
    """
    real, left = libiptc.commit, [None] * times

    def other(verb: str, table: str) -> None:
        command = ["ip6tables-legacy", "-w", "-t", table, verb, "OUTPUT", "-j", "ACCEPT"]
        subprocess.run(command, env={**os.environ, "XTABLES_LOCKFILE": str(lock)}, check=True)

    def commit(table: iptc.Table6) -> None:
        if not left:
            real(table)
            return
        left.pop()
        other("-A", table.name)
        try:
            real(table)
        finally:
            other("-D", table.name)

    monkeypatch.setattr(libiptc, "commit", commit)


def restore(variant: str, text: str, *options: str, family: str = "ip6") -> None:
    """Run ip6tables-restore, or (`family="ip"`) iptables-restore."""
    done = subprocess.run(
        [f"{family}tables-{variant}-restore", "-w", *options], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def saved(variant: str) -> str:
    """All rules, in an order of the tables that doesn't depend on the variant."""
    text = subprocess.run([f"ip6tables-{variant}-save"], capture_output=True, text=True, check=True).stdout
    text = re.sub(r"\[\d+:\d+\]", "[0:0]", "".join(f"{line}\n" for line in text.splitlines() if line[0] != "#"))
    return "".join(sorted(f"{table}COMMIT\n" for table in text.split("COMMIT\n") if table))


def saved_chain(variant: str, chain: str) -> list[str]:
    """The rules of a chain of the filter table."""
    lines = saved(variant).partition("*filter\n")[2].partition("COMMIT\n")[0].splitlines()
    return [line.removeprefix(f"-A {chain} ") for line in lines if line.startswith(f"-A {chain} ")]
