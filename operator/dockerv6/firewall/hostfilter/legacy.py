"""The host filter as iptables-legacy keeps it, through libiptc (python-iptables). Blocking; one thread.

Costs 13 MB and may run modprobe when it is imported, so it is, by whoever needs it, only where the legacy filter table
is in use (see `presence`). Reading the table would make it.

Reading and writing happen under the xtables lock (see `iptables.lock`).
"""

import contextlib
from collections.abc import Iterator
from warnings import catch_warnings, simplefilter

from dockerv6.firewall.hostfilter.chains import (
    COMMENT,
    FORWARD,
    USER,
    Chains,
    FilterChain,
    FilterRule,
    Target,
    admits,
    mark_match,
)
from dockerv6.firewall.iptables.handles import opened
from dockerv6.firewall.port import FirewallRejected, FirewallUnavailable
from dockerv6.firewall.xtables.libiptc import locked

with catch_warnings():
    simplefilter("ignore", DeprecationWarning)  # python-iptables 1.2.0 asks distutils first where there is one
    import iptc

_TARGETS = {"ACCEPT": Target.ACCEPT, "DROP": Target.DROP, "REJECT": Target.DROP, "RETURN": Target.RETURN}


def read(mark: int) -> Chains:
    """FORWARD and DOCKER-USER; only to be called where the legacy table is in use."""
    with _table() as table:
        return {name: _read_chain(table, name, mark) for name in (FORWARD, USER) if table.is_chain(name)}


def admit(chain: str, mark: int) -> None:
    """Insert the accept rule unless it is there and reached; older copies go."""
    with _table() as table:
        if not table.is_chain(chain):
            raise FirewallRejected(f"chain {chain} of the legacy IPv6 filter table is gone")
        if admits(_read_chain(table, chain, mark).rules):
            return
        _delete_ours(table, chain, mark)
        rule = iptc.Rule6()
        rule.create_match("mark").mark = mark_match(mark)
        rule.create_match("comment").comment = COMMENT
        rule.create_target("ACCEPT")
        iptc.Chain(table, chain).insert_rule(rule)
        table.commit()


def withdraw(chain: str, mark: int) -> None:
    """Delete the accept rule, every copy of it."""
    with _table() as table:
        if table.is_chain(chain) and _delete_ours(table, chain, mark):
            table.commit()


@contextlib.contextmanager
def _table() -> Iterator[iptc.Table6]:
    try:
        with locked(), opened(iptc.Table6.FILTER) as table:
            yield table
    except iptc.IPTCError as error:
        raise _failed(error) from error


def _failed(error: Exception) -> FirewallRejected | FirewallUnavailable:
    if "ermission denied" in str(error) or "not permitted" in str(error):
        return FirewallUnavailable(
            "not permitted to read the legacy IPv6 filter table: run as root, or give CAP_NET_ADMIN and CAP_NET_RAW"
        )
    return FirewallRejected(f"iptables-legacy: {error}")


def _read_chain(table: iptc.Table6, name: str, mark: int) -> FilterChain:
    policy = iptc.Chain(table, name).get_policy()
    rules = tuple(
        _CONDITIONAL if _chooses(entry) else _read_rule(_rule(table, name, entry), mark)
        for entry in _entries(table, name)
    )
    return FilterChain(policy.name if policy is not None else "", rules)


_CONDITIONAL = FilterRule(Target.OTHER, conditional=True)
"""A rule that leaves some packets out by its fixed part. Nothing else about it matters, and making an `iptc.Rule6` of
it would cost 0.1 ms: engines write thousands of these."""


def _entries(table: iptc.Table6, name: str) -> Iterator[iptc.ip6tc.ip6t_entry]:
    entry = table.first_rule(name)
    while entry:
        yield entry
        entry = table.next_rule(entry)


def _rule(table: iptc.Table6, name: str, entry: iptc.ip6tc.ip6t_entry) -> iptc.Rule6:
    return table.create_rule(entry, iptc.Chain(table, name))


def _chooses(entry: iptc.ip6tc.ip6t_entry) -> bool:
    """Whether the rule's fixed part leaves some packets out: addresses, interfaces, protocol."""
    header = entry.ipv6
    return bool(
        header.iniface
        or header.outiface
        or header.proto
        or header.invflags
        or any(header.smsk.s6_addr)
        or any(header.dmsk.s6_addr)
    )


def _read_rule(rule: iptc.Rule6, mark: int) -> FilterRule:
    name = rule.target.name if rule.target is not None else ""
    target = _TARGETS.get(name, Target.OTHER)
    jump = ""
    if target is Target.OTHER and name and rule.chain.table.is_chain(name):
        target, jump = Target.JUMP, name
    matches = [match for match in rule.matches if match.name != "comment"]
    ours = target is Target.ACCEPT and len(matches) == 1 and _marked(matches[0], mark)
    return FilterRule(target, jump, conditional=bool(matches), ours=ours)


def _marked(match: iptc.Match, mark: int) -> bool:
    return bool(match.name == "mark" and match.mark == mark_match(mark))


def _delete_ours(table: iptc.Table6, name: str, mark: int) -> bool:
    ours = [
        number
        for number, entry in enumerate(_entries(table, name))
        if not _chooses(entry) and _read_rule(_rule(table, name, entry), mark).ours
    ]
    for number in reversed(ours):  # from below, so that the numbers above stay true
        chain = iptc.Chain(table, name)
        chain.delete_rule(chain.rules[number])
    return bool(ours)
