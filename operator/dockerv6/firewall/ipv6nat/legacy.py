"""iptables-legacy's tables through libiptc (python-iptables): read as `Rule`s, rules and chains removed. Blocking.

Heavy to import, so whoever needs it does so only where such a table is in use.
"""

import contextlib
from collections.abc import Iterator, Mapping
from warnings import catch_warnings, simplefilter

from dockerv6.firewall.hostfilter.chains import mark_match
from dockerv6.firewall.iptables.handles import opened
from dockerv6.firewall.ipv6nat.rules import MADE, Rule, Tables, Verdict
from dockerv6.firewall.model import DEFAULT_MARK
from dockerv6.firewall.port import FirewallRejected, FirewallUnavailable
from dockerv6.firewall.xtables.libiptc import locked

with catch_warnings():
    simplefilter("ignore", DeprecationWarning)  # python-iptables 1.2.0 asks distutils first where there is one
    import iptc
    from iptc.easy import decode_iptc_rule

_MASK = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
_PLAIN = {"in-interface": "iif", "out-interface": "oif", "src": "source", "dst": "destination", "protocol": "protocol"}
_STATES = {"RELATED,ESTABLISHED", "ESTABLISHED,RELATED"}
_PORTS = frozenset({"tcp", "udp", "sctp"})


def read(names: frozenset[str]) -> Tables:
    """The tables filter and nat, as far as they are among those in use (`names`): reading another would make it.

    Raises:
        FirewallUnavailable: not permitted.
        FirewallRejected: libiptc failed, or somebody holds the lock for too long.
    """
    chains: dict[tuple[str, str], tuple[Rule, ...]] = {}
    with locked():
        for name in MADE:
            if name in names:
                with _table(name) as table:
                    for chain in table.chains:
                        rules = enumerate(chain.rules)
                        chains[name, chain.name] = tuple(_read(name, chain.name, at, rule) for at, rule in rules)
    return Tables(chains)


def remove(verdict: Verdict) -> None:
    """Delete the verdict's rules, then its chains; each table in one commit.

    Raises:
        FirewallUnavailable: not permitted.
        FirewallRejected: a table changed since the verdict, or libiptc failed.
    """
    with locked():
        for name in sorted({rule.table for rule in verdict.rules} | {table for table, _ in verdict.chains}):
            with _table(name) as table:
                _delete(table, name, verdict)
                table.commit()


def _delete(table: iptc.Table6, name: str, verdict: Verdict) -> None:
    places: dict[str, list[Rule]] = {}
    for rule in verdict.rules:
        if rule.table == name:
            places.setdefault(rule.chain, []).append(rule)
    for chain_name, rules in places.items():
        for rule in sorted(rules, key=lambda each: -each.handle):  # from below, so that the places above stay true
            chain = iptc.Chain(table, chain_name)
            current = chain.rules
            if rule.handle >= len(current) or _read(name, chain_name, rule.handle, current[rule.handle]) != rule:
                raise FirewallRejected(f"chain {chain_name} of the legacy table {name} changed meanwhile: try again")
            chain.delete_rule(current[rule.handle])
    for table_name, chain_name in verdict.chains:
        if table_name == name:
            table.delete_chain(chain_name)


@contextlib.contextmanager
def _table(name: str) -> Iterator[iptc.Table6]:
    try:
        with opened(name) as table:
            yield table
    except iptc.IPTCError as error:
        raise _failed(error) from error


def _failed(error: Exception) -> FirewallRejected | FirewallUnavailable:
    if "ermission denied" in str(error) or "not permitted" in str(error):
        return FirewallUnavailable(
            "not permitted to read the legacy IPv6 tables: run as root, or give CAP_NET_ADMIN and CAP_NET_RAW"
        )
    return FirewallRejected(f"iptables-legacy: {error}")


def _read(table: str, chain: str, place: int, rule: iptc.Rule6) -> Rule:
    said: dict[str, str | bool] = {}
    found = decode_iptc_rule(rule, ipv6=True)
    if found.get("target") == "ACCEPT" and found.get("mark") == {"mark": mark_match(DEFAULT_MARK)}:
        said["ours"] = True
    for key, value in found.items():
        if key in _PLAIN:
            said[_PLAIN[key]] = _shortened(str(value))
        elif key == "target":
            said.update(_target(value))
        elif key != "counters":
            said.update(_match(key, value))
    return Rule(table, chain, handle=place, **said)  # type: ignore[arg-type] # the names and types are Rule's


def _target(value: object) -> dict[str, str | bool]:
    if isinstance(value, Mapping):
        name = str(next(iter(value)))
        return {"target": name, "strange": name == "goto"} if name == "goto" else {"target": name}
    return {"target": str(value)}


def _match(name: str, value: object) -> dict[str, str | bool]:
    said = dict(value) if isinstance(value, Mapping) else {}
    if name in _PORTS and said.keys() == {"dport"}:
        return {"port": str(said["dport"])}
    if name == "conntrack" and said.get("ctstate") in _STATES and len(said) == 1:
        return {"states": True}
    if name == "addrtype" and len(said) == 1:
        side, kind = next(iter(said.items()))
        if side in ("dst-type", "src-type") and kind == "LOCAL":
            return {"local": str(side)[:3]}
    return {"strange": True}


def _shortened(value: str) -> str:
    """A single address without its prefix length, as nftables has it."""
    return value.removesuffix("/128").removesuffix(f"/{_MASK}")
