"""Writing through libiptc (python-iptables): our chains of one table made as wanted, in one commit. Blocking.

Importing it costs 13 MB and may run modprobe, so it is imported where there is something to write, and not before.
python-iptables' own calls take entries as bytes; its `Rule6` isn't used, which would cost 0.2 ms a rule.
"""

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from warnings import catch_warnings, simplefilter

from dockerv6.firewall.port import FirewallRejected, FirewallUnavailable
from dockerv6.firewall.xtables.entries import NAME_AT, NAME_SIZE, OFFSETS, OFFSETS_AT, STANDARD
from dockerv6.firewall.xtables.rule import PREFIX

try:
    with catch_warnings():
        simplefilter("ignore", DeprecationWarning)  # python-iptables 1.2.0 asks distutils first where there is one
        import iptc

        from dockerv6.firewall.iptables import handles
except (ImportError, AttributeError, OSError) as missing:  # AttributeError: of the None that stands for a library
    raise FirewallUnavailable(
        f"libip6tc or libxtables can't be loaded ({missing}), without which iptables-legacy can't be written: "
        "apt install iptables (or your distribution's iptables-legacy)"
    ) from missing

Chains = Mapping[str, tuple[bytes, ...]]
"""Entries by chain, as `entries.encode` writes them and `kernel.Listing.chains` reads them."""


@contextmanager
def opened(name: str) -> Iterator[iptc.Table6]:
    """The table, read afresh; under the lock (see `lock`). Closing it commits nothing.

    Raises:
        FirewallUnavailable: it can't be had at all.
        FirewallRejected: libiptc or the kernel refused something.
    """
    inside = False
    try:
        with handles.opened(name) as table:
            inside = True
            yield table
    except iptc.IPTCError as error:
        raise (_refused(error) if inside else _unavailable(name, error)) from error


def commit(table: iptc.Table6) -> None:
    """Hand the table to the kernel. Raises `FirewallRejected`."""
    try:
        table.commit()
    except iptc.IPTCError as error:
        raise _refused(error) from error


def prepare(table: iptc.Table6, present: Chains, wanted: Chains, jumps: Mapping[str, tuple[bytes, ...]]) -> bool:
    """Make our chains as wanted, and `jumps` the first rules of built-in chains; whether there was anything to do.

    Nothing reaches the kernel before the table is committed. Rules of anybody that lead into our chains, but for the
    wanted jumps, are removed: they would keep a chain alive that has to go.
    """
    ours = {name: entries for name, entries in present.items() if name.startswith(PREFIX)}
    gone = ours.keys() - wanted.keys()
    refilled = [name for name, entries in wanted.items() if ours.get(name) != entries]
    for name in wanted.keys() - ours.keys():
        table.create_chain(name)
    for name in [*refilled, *gone]:
        if name in ours:
            table.flush_entries(name)
    for name in refilled:
        for entry in wanted[name]:
            table.append_entry(name, _buffer(entry))
    moved = _jump(table, present, jumps)
    for name in gone:
        table.delete_chain(name)
    return bool(refilled or gone or moved)


def _jump(table: iptc.Table6, present: Chains, jumps: Mapping[str, tuple[bytes, ...]]) -> bool:
    moved = False
    for name, entries in present.items():
        if name.startswith(PREFIX):
            continue
        wanted = jumps.get(name, ())
        found = tuple(each for each in entries if leads(each).startswith(PREFIX))
        if found == wanted and entries[: len(wanted)] == wanted:
            continue
        moved = True
        for each in found:
            table.delete_entry(name, _buffer(each), (ctypes.c_ubyte * len(each))(*(b"\xff" * len(each))))
        for each in reversed(wanted):
            table.insert_entry(name, _buffer(each), 0)
    return moved


def leads(entry: bytes) -> str:
    """The chain that the entry sends packets to; empty: to none."""
    target, size = OFFSETS.unpack_from(entry, OFFSETS_AT)
    if size - target != STANDARD:
        return ""
    name = entry[target + NAME_AT : target + NAME_AT + NAME_SIZE]
    return name.partition(b"\0")[0].decode(errors="replace")


def _buffer(entry: bytes) -> "ctypes.Array[ctypes.c_char]":
    return ctypes.create_string_buffer(entry, len(entry))


def _refused(error: Exception) -> FirewallRejected:
    return FirewallRejected(f"iptables-legacy refused: {error}")


def _unavailable(name: str, error: Exception) -> FirewallUnavailable:
    if "ermission denied" in str(error) or "not permitted" in str(error):
        return FirewallUnavailable(
            f"not permitted to change the legacy IPv6 table {name}: run as root, or give CAP_NET_ADMIN and CAP_NET_RAW"
        )
    return FirewallUnavailable(
        f"the kernel has no legacy IPv6 table {name} ({error}): load it with `modprobe ip6table_{name}`"
    )
