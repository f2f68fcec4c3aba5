"""Every `FirewallBackend`, with the damage that people and other programs do to its rules."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Protocol

from dockerv6.firewall.elements import PUBLISHED_PORT
from dockerv6.firewall.expr import Element
from dockerv6.firewall.nftables.backend import NftablesFirewall
from dockerv6.firewall.nftables.session import NftSession
from tests.fakes.firewall.backend import FakeFirewall
from tests.host.network import nft, private_network

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dockerv6.firewall.iptables.backend import IptablesFirewall
    from dockerv6.firewall.port import FirewallBackend


class Bench(Protocol):
    """A firewall, and its kernel."""

    @property
    def firewall(self) -> FirewallBackend:
        """The firewall under test."""

    def flush_everything(self) -> None:
        """Remove all rules of all programs."""

    def flush_forward(self) -> None:
        """Remove all rules from our forward chain."""

    def flush_prefixes(self) -> None:
        """Remove all rules from the chain for packets to external prefixes."""

    def insert_foreign_rule(self) -> None:
        """Insert a rule that drops at the top of our forward chain."""

    def damage_a_port(self) -> None:
        """Let `tcp 8080`, which leads to port 80, lead to another port."""


class FakeBench:
    """The fake."""

    def __init__(self) -> None:
        self.firewall = FakeFirewall()

    def flush_everything(self) -> None:
        self.firewall.flush_all()

    def flush_forward(self) -> None:
        self.firewall.flush_chain("forward")

    def flush_prefixes(self) -> None:
        self.firewall.flush_chain("prefix_in")

    def insert_foreign_rule(self) -> None:
        self.firewall.add_foreign_rule("forward")

    def damage_a_port(self) -> None:
        found = self.firewall.ruleset.set(PUBLISHED_PORT)
        assert found is not None
        (element,) = (each for each in found.elements if each.key == ("tcp", "8080"))
        self.firewall.delete_element(PUBLISHED_PORT, element)
        self.firewall.add_element(PUBLISHED_PORT, Element(element.key, element.owner, "443"))


class NftablesBench:
    """nftables, in the network namespace of its first caller."""

    def __init__(self, session: NftSession) -> None:
        self.firewall = NftablesFirewall(session)

    def flush_everything(self) -> None:
        nft("flush ruleset")

    def flush_forward(self) -> None:
        nft("flush chain inet dockerv6 forward")

    def flush_prefixes(self) -> None:
        nft("flush chain inet dockerv6 prefix_in")

    def insert_foreign_rule(self) -> None:
        nft("insert rule inet dockerv6 forward counter drop")

    def damage_a_port(self) -> None:
        nft("delete element inet dockerv6 published_port { tcp . 8080 }")
        nft('add element inet dockerv6 published_port { tcp . 8080 comment "blog" : 443 }')


class IptablesBench:
    """iptables-legacy, in the network namespace of its first caller."""

    def __init__(self, firewall: IptablesFirewall) -> None:
        self.firewall = firewall

    def flush_everything(self) -> None:
        for table in ("mangle", "nat"):
            self._ip6tables(table, "-F")
            self._ip6tables(table, "-X")

    def flush_forward(self) -> None:
        self._ip6tables("mangle", "-F", "DOCKERV6-FORWARD")

    def flush_prefixes(self) -> None:
        self._ip6tables("nat", "-F", "DOCKERV6-PREFIX_IN")

    def insert_foreign_rule(self) -> None:
        self._ip6tables("mangle", "-I", "DOCKERV6-FORWARD", "-j", "DROP")

    def damage_a_port(self) -> None:
        shown = self._ip6tables("nat", "-S").splitlines()
        chain, rule = next(
            (line.split()[1], line.split()[2:]) for line in shown if line.endswith("]:80") and "-p tcp" in line
        )
        self._ip6tables("nat", "-D", chain, *rule)
        self._ip6tables("nat", "-I", chain, *rule[:-1], rule[-1].removesuffix("80") + "443")

    def _ip6tables(self, table: str, *arguments: str) -> str:
        done = subprocess.run(
            ["ip6tables-legacy", "-w", "-t", table, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


async def opened(name: str) -> AsyncIterator[Bench]:
    """The firewall of that name, in a network namespace of its own."""
    if name == "fake":
        yield FakeBench()
        return
    with private_network():
        if name == "nftables":
            session = NftSession()
            yield NftablesBench(session)
            await session.close()
        else:
            from dockerv6.firewall.iptables.backend import IptablesFirewall  # noqa: PLC0415 - loads libiptc

            made = IptablesFirewall()
            yield IptablesBench(made)
            await made.close()
