"""Capture the state of an engine's host and restore it, so that tests can share an engine.

It is independent of what is tested: it removes all nftables tables, xtables rules, NDP proxy entries, interfaces and
Docker objects that are not in the captured state, and restores sysctls.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.engine import Engine

_FAMILIES = ("iptables", "ip6tables")
_SYSCTLS = r"^net\.(ipv4\.ip_forward|ipv6\.conf\..*\.(forwarding|accept_ra|proxy_ndp|disable_ipv6))$"
_OWN_NETWORKS = frozenset({"bridge", "host", "none"})
_AT_ONCE = 4
_COUNTERS = re.compile(r" \[\d+:\d+\]$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Baseline:
    """A snapshot of an engine's network namespace."""

    nft_tables: frozenset[tuple[str, str]]
    xtables: dict[str, str]
    sysctls: dict[str, str]
    links: frozenset[str]

    @classmethod
    def capture(cls, engine: Engine) -> Baseline:
        """Read the state of an engine that has only its own networks."""
        return cls(
            _nft_tables(engine),
            {family: xtables_rules(engine, family) for family in _FAMILIES},
            _sysctls(engine),
            _links(engine),
        )

    def restore(self, engine: Engine) -> None:
        """Remove containers and networks from a running engine, then everything else that differs from the baseline."""
        remove_docker_objects(engine)
        for link in _links(engine) - self.links:
            engine.netexec("ip", "link", "del", link, check=False)
        for family, table in _nft_tables(engine) - self.nft_tables:
            engine.netexec("nft", "delete", "table", family, table)
        for family in _FAMILIES:
            restore_xtables(engine, family, self.xtables[family])
        engine.netexec("ip", "-6", "neigh", "flush", "proxy")
        current = _sysctls(engine)
        changed = {name: value for name, value in self.sysctls.items() if current.get(name, value) != value}
        if changed:
            # first, because `all` sets the value of every interface
            ordered = sorted(changed.items(), key=lambda item: ".all." not in item[0])
            engine.netexec("sysctl", "-q", "-w", *(f"{name}={value}" for name, value in ordered))


def remove_docker_objects(engine: Engine) -> None:
    """Remove every container, and every network except the engine's own."""
    client = engine.client()
    containers = [container["Id"] for container in client.containers(all=True)]
    # engines mostly wait for the kernel: removing several at once halves the time
    with ThreadPoolExecutor(_AT_ONCE) as workers:
        list(workers.map(lambda container: client.remove_container(container, force=True, v=True), containers))
        networks = [network["Id"] for network in client.networks() if network["Name"] not in _OWN_NETWORKS]
        list(workers.map(client.remove_network, networks))


def _links(engine: Engine) -> frozenset[str]:
    return frozenset(link["ifname"] for link in json.loads(engine.netexec("ip", "-json", "link", "show").stdout))


def _nft_tables(engine: Engine) -> frozenset[tuple[str, str]]:
    listed = json.loads(engine.netexec("nft", "-j", "list", "tables").stdout)["nftables"]
    return frozenset((item["table"]["family"], item["table"]["name"]) for item in listed if "table" in item)


def xtables_rules(engine: Engine, family: str) -> str:
    """Return the rules of a family, from the engine's own variant, without counters and comments."""
    saved = engine.exec(f"{family}-save").stdout
    return _COUNTERS.sub("", "".join(f"{line}\n" for line in saved.splitlines() if not line.startswith("#")))


def restore_xtables(engine: Engine, family: str, wanted: str) -> None:
    """Restore what `xtables_rules` returned, and empty the tables that did not exist then."""
    current = xtables_rules(engine, family)
    if current == wanted:
        return
    engine.exec(f"{family}-restore", stdin=wanted + _emptied(current, wanted))


def _emptied(current: str, wanted: str) -> str:
    """Return the restore input that empties the tables that only `current` has, because tables can't be removed."""
    lines = []
    for table in current.split("COMMIT\n"):
        header = table.partition("\n")[0]
        if header and header not in wanted:
            built_in = re.findall(r"^:(\S+) (?:ACCEPT|DROP)$", table, re.MULTILINE)
            lines += [header, *(f":{chain} ACCEPT" for chain in built_in), "COMMIT"]
    return "".join(f"{line}\n" for line in lines)


def _sysctls(engine: Engine) -> dict[str, str]:
    listed = engine.netexec("sysctl", "-a", "--pattern", _SYSCTLS).stdout
    return dict(line.split(" = ", 1) for line in listed.splitlines())
