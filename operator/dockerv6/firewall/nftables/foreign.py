"""Tables of other programs as the kernel describes them: chains, and rules as lists of expressions.

Nothing here fails on a form that it doesn't know, whichever version of nft has written it: an expression is its name
and its attributes, and what they mean is for the caller to decide. Sets are not read.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from dockerv6.firewall.nftables import kernel
from dockerv6.firewall.nftables.commands import HOOKS, POLICIES
from dockerv6.firewall.nftables.kernel import attributes_of, named, number_in, text_in
from dockerv6.firewall.nftables.session import ABSENT, NftSession, unavailable
from dockerv6.firewall.nftables.sets import comment_in
from dockerv6.firewall.port import FirewallRejected

T = TypeVar("T")

FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
"""By the kernel's numbers (NFPROTO_*)."""

_HOOKS = {"netdev": ("ingress", "egress"), "arp": ("input", "output", "forward"), "bridge": HOOKS[:-1]}
"""The hooks of families that number them in their own way (NF_NETDEV_*, NF_ARP_*, NF_BR_*)."""

_FAMILY_NUMBERS = {name: family_number for family_number, name in FAMILIES.items()}
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE = 1, 3, 4, 5, 7  # NFTA_CHAIN_*
_HOOK_NUMBER, _HOOK_PRIORITY = 1, 2  # NFTA_HOOK_*
_RULE_TABLE, _RULE_CHAIN, _RULE_HANDLE, _RULE_EXPRESSIONS, _RULE_USERDATA = 1, 2, 3, 4, 7  # NFTA_RULE_*
_EXPRESSION_NAME, _EXPRESSION_DATA = 1, 2  # NFTA_EXPR_*
_ATTEMPTS = 16
"""Of a dump during which other programs commit."""


@dataclass(frozen=True, slots=True)
class NftChain:
    """A chain in its table, without its rules. `hook` is empty for one that is not a base chain."""

    family: str
    table: str
    name: str
    hook: str = ""
    type: str = ""
    policy: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class NftExpression:
    """One expression of a rule: its name, such as "payload", and its attributes by their numbers."""

    name: str
    attributes: Mapping[int, bytes]

    def number(self, attribute: int, default: int = 0) -> int:
        """A number among the attributes."""
        return number_in(self.attributes[attribute]) if attribute in self.attributes else default

    def text(self, attribute: int) -> str:
        """A name among the attributes."""
        return text_in(self.attributes.get(attribute, b""))

    def nested(self, attribute: int) -> Mapping[int, bytes]:
        """The attributes in an attribute."""
        return dict(attributes_of(self.attributes.get(attribute, b"")))


@dataclass(frozen=True, slots=True)
class NftRule:
    """A rule in its place, with the comment that nft shows."""

    table: str
    chain: str
    handle: int
    expressions: tuple[NftExpression, ...]
    comment: str = ""


async def list_chains(session: NftSession) -> tuple[NftChain, ...]:
    """Every chain of this network namespace; none where the kernel has no nf_tables.

    Raises:
        FirewallUnavailable: the kernel did not answer, or (`FirewallForbidden`) no privilege.
        FirewallRejected: other programs never stopped committing.
    """
    return await session.call(lambda: list_chains_now(session))


def list_chains_now(session: NftSession) -> tuple[NftChain, ...]:
    """As `list_chains`, on the session's thread."""
    found = _repeated(
        lambda: session.dump_families_now(kernel.NFT_MSG_GETCHAIN, family=kernel.NFPROTO_UNSPEC), "chains"
    )
    return tuple(decode_chain(family, dict(attributes_of(each))) for family, each in found)


async def list_rules(session: NftSession, family: str, table: str, *chain: str) -> tuple[NftRule, ...]:
    """The rules of a table, or of one chain in it, in their order; none where it doesn't exist.

    Raises:
        FirewallRejected: other programs never stopped committing.
        FirewallUnavailable: no nf_tables, or no privilege.
    """
    number = _FAMILY_NUMBERS[family]
    found = await session.call(
        lambda: _repeated(
            lambda: session.dump_now(kernel.NFT_MSG_GETRULE, table, *chain, family=number),
            f"rules of table {family} {table}",
        )
    )
    rules = (decode_rule(dict(attributes_of(each))) for each in found)
    return tuple(each for each in rules if each.table == table and each.chain in (chain or (each.chain,)))


def decode_chain(family: int, attributes: Mapping[int, bytes]) -> NftChain:
    """A chain in a dump."""
    name = FAMILIES.get(family, str(family))
    place = name, text_in(attributes.get(_CHAIN_TABLE, b"")), text_in(attributes.get(_CHAIN_NAME, b""))
    if _CHAIN_HOOK not in attributes:
        return NftChain(*place)
    hook = dict(attributes_of(attributes[_CHAIN_HOOK]))
    return NftChain(
        *place,
        hook=named(_HOOKS.get(name, HOOKS), number_in(hook.get(_HOOK_NUMBER, b""))),
        type=text_in(attributes.get(_CHAIN_TYPE, b"")),
        policy=named(POLICIES, number_in(attributes.get(_CHAIN_POLICY, b"\1"))),
        priority=int.from_bytes(hook.get(_HOOK_PRIORITY, b""), "big", signed=True),
    )


def decode_rule(attributes: Mapping[int, bytes]) -> NftRule:
    """A rule in a dump."""
    return NftRule(
        text_in(attributes.get(_RULE_TABLE, b"")),
        text_in(attributes.get(_RULE_CHAIN, b"")),
        number_in(attributes.get(_RULE_HANDLE, b"")),
        tuple(_expressions(attributes.get(_RULE_EXPRESSIONS, b""))),
        comment_in(attributes.get(_RULE_USERDATA, b"")),
    )


def _expressions(nested: bytes) -> Iterator[NftExpression]:
    for _, item in attributes_of(nested):
        expression = dict(attributes_of(item))
        data = dict(attributes_of(expression.get(_EXPRESSION_DATA, b"")))
        yield NftExpression(text_in(expression.get(_EXPRESSION_NAME, b"")), data)


def _repeated(dump: Callable[[], list[T]], what: str) -> list[T]:
    """A dump that no commit interrupted; empty without the table or nf_tables. On the session's thread."""
    for _ in range(_ATTEMPTS):
        try:
            return dump()
        except InterruptedError:
            continue
        except OSError as error:
            if error.errno in ABSENT:
                return []
            raise unavailable(error) from error
    raise FirewallRejected(f"other programs change the packet filter all the time: the {what} could not be read")
