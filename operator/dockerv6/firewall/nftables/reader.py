"""Our table as the kernel holds it, read with no more effort than what changed takes.

Chains, rules and what sets are like come from libnftables, which shows them without elements in a few milliseconds, and
only when their bytes differ from those that it showed before. Elements are read as bytes, each once (see `dumps`).
"""

from dataclasses import dataclass, replace

from dockerv6.firewall.nftables import codec, dumps
from dockerv6.firewall.nftables.kernel import attributes_of
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.ruleset import Ruleset
from dockerv6.firewall.terms import Element, ElementSet

_GETCHAIN, _GETRULE, _GETSET, _GETSETELEM, _GETOBJ, _GETFLOWTABLE = 4, 7, 10, 13, 19, 23  # NFT_MSG_*
_TABLE_NAME = 1  # the same attribute of all of these
_SET_COUNT = 20  # NFTA_SET_COUNT, kernel >= 6.16: changes with every element
_LIST: codec.Object = {"list": {"table": {"family": codec.FAMILY, "name": codec.TABLE}}}
_OUR_NAME = codec.TABLE.encode() + b"\0"
_ATTEMPTS = 3

Signature = tuple[tuple[tuple[int, bytes], ...], ...]

_Boundary = tuple[int, bool, str]


@dataclass(frozen=True, slots=True)
class _Known:
    """A set, and what each of its raw elements was understood as."""

    set: ElementSet
    understood: dict[bytes, Element | _Boundary]


class Reader:
    """Reads the table again and again; all on the session's thread."""

    def __init__(self, session: NftSession) -> None:
        """Know nothing yet."""
        self._session = session
        self._shown: tuple[Signature, Ruleset] | None = None
        self._sets: dict[str, _Known] = {}

    def read(self) -> Ruleset:
        """What the table holds; all of it of one moment.

        Raises:
            FirewallRejected: the table is not there.
        """
        for _ in range(_ATTEMPTS):
            generation = self._session.generation_now()
            try:
                found = self._read()
            except OSError:  # changed meanwhile
                continue
            except dumps.StrangeError:
                break
            if self._session.generation_now() == generation:
                return found
        self._shown = None
        return codec.ruleset(self._session.run_now([_LIST]))

    def _read(self) -> Ruleset:
        signature = self._signature()
        if self._shown is None or self._shown[0] != signature:
            self._shown = signature, codec.ruleset(self._session.run_now([_LIST], terse=True))
        shown = self._shown[1]
        known = {each.name: self._filled(each) for each in shown.sets}
        self._sets = known
        return replace(shown, sets=tuple(known[each.name].set for each in shown.sets))

    def _signature(self) -> Signature:
        """The bytes of everything but elements, of which any difference is one."""
        found: list[tuple[tuple[int, bytes], ...]] = []
        for message in (_GETCHAIN, _GETRULE, _GETSET, _GETOBJ, _GETFLOWTABLE):
            for each in self._session.dump_now(message, codec.TABLE):
                attributes = tuple(pair for pair in attributes_of(each) if message != _GETSET or pair[0] != _SET_COUNT)
                if dict(attributes).get(_TABLE_NAME) == _OUR_NAME:
                    found.append(((message, b""), *attributes))
        return tuple(found)

    def _filled(self, each: ElementSet) -> _Known:
        """The set with its elements; the same object as before if they are the same."""
        before = self._sets.get(each.name)
        if before is not None and before.set.definition != each.definition:
            before = None
        earlier = before.understood if before is not None else {}
        raw = list(dumps.raw_elements(self._session.dump_now(_GETSETELEM, codec.TABLE, each.name)))
        if before is not None and len(raw) == len(earlier) and all(one in earlier for one in raw):
            return before
        understood = {one: earlier.get(one) or _understood(one, each) for one in raw}
        boundaries = [value for value in understood.values() if isinstance(value, tuple)]
        whole = [value for value in understood.values() if isinstance(value, Element)]
        return _Known(replace(each, elements=frozenset([*whole, *dumps.ranges(boundaries)])), understood)


def _understood(raw: bytes, of: ElementSet) -> Element | _Boundary:
    return dumps.boundary(raw) if of.interval and len(of.key) == 1 else dumps.element(raw, of)
