"""The firewall and the host's filter in memory, with the damage that people and other programs do."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dockerv6.firewall.expr import Chain, Element, Rule, UnknownExpr
from dockerv6.firewall.model import FilterVariant, ForwardDrop, HostFilterState
from dockerv6.firewall.operations import AddElements
from dockerv6.firewall.port import FirewallError, FirewallRejected, RulesetMoved
from dockerv6.firewall.ruleset import EMPTY, Ruleset, RulesetChange
from dockerv6.firewall.walk.packet import Flow, Paths
from dockerv6.firewall.walk.verdicts import PASSES, FlowVerdict
from tests.fakes.firewall.replay import apply


class FakeFirewall:
    """A `FirewallBackend` whose kernel is a value.

    Attributes:
        ruleset: what "the kernel" holds; may be set.
        commits: how many transactions changed it.
        matches_link_kinds: as the nftables backend does; may be set.
        revision: what `poll_revision` returns; may be set.
        refused_owners: owners whose elements it doesn't take; may be set.
        checks: how many dry runs there were.
    """

    def __init__(self) -> None:
        """Start with no table."""
        self.refused_owners: frozenset[str] = frozenset()
        self.checks = 0
        self.ruleset: Ruleset = EMPTY
        self.commits = 0
        self.matches_link_kinds = True
        self.revision: object = None
        self._failures: list[FirewallError] = []

    @property
    def backend(self) -> str:
        """The backend's name."""
        return "fake"

    @property
    def generation(self) -> int | None:
        """This kernel counts no generations."""
        return None

    async def close(self) -> None:
        """There is nothing to release."""

    async def observe(self) -> Ruleset:
        """What it holds now."""
        self._fail()
        return self.ruleset

    async def check(self, change: RulesetChange) -> None:
        """Judge the change without making it."""
        self._fail()
        self.checks += 1
        self._attempt(change)

    async def apply(self, change: RulesetChange) -> Ruleset:
        """Make the change."""
        self._fail()
        if self.ruleset != change.base:
            raise RulesetMoved("the fake table is not the one that the change was computed from")
        if not change.empty:
            self.ruleset = self._attempt(change)
            self.commits += 1
        return self.ruleset

    async def sweep(self) -> None:
        """Delete the table."""
        self._fail()
        self.ruleset = EMPTY

    async def poll_revision(self) -> object:
        """What was set."""
        self._fail()
        return self.revision

    def fail_next(self, *errors: FirewallError) -> None:
        """Let the next calls raise these, one each."""
        self._failures.extend(errors)

    def flush_all(self) -> None:
        """As by `nft flush ruleset`."""
        self.ruleset = EMPTY

    def flush_chain(self, name: str) -> None:
        """As by `nft flush chain`."""
        self._edit_chain(name, ())

    def delete_rule(self, chain: str, index: int = 0) -> None:
        """As by `nft delete rule`."""
        rules = self._chain(chain).rules
        self._edit_chain(chain, rules[:index] + rules[index + 1 :])

    def add_foreign_rule(self, chain: str, text: str = "counter drop") -> None:
        """As by `nft insert rule`."""
        self._edit_chain(chain, (Rule((UnknownExpr(text),)), *self._chain(chain).rules))

    def delete_element(self, name: str, element: Element) -> None:
        """As by `nft delete element`."""
        self._edit_set(name, remove=(element,))

    def add_element(self, name: str, element: Element) -> None:
        """As by `nft add element`."""
        self._edit_set(name, add=(element,))

    def _fail(self) -> None:
        if self._failures:
            raise self._failures.pop(0)

    def _attempt(self, change: RulesetChange) -> Ruleset:
        added = {e.owner for each in change.operations if isinstance(each, AddElements) for e in each.elements}
        try:
            made = apply(self.ruleset, change)
        except ValueError as error:
            raise FirewallRejected(f"the fake kernel refused: {error}") from error
        if added & self.refused_owners:
            raise FirewallRejected(f"the fake kernel refused {len(added)} owners")
        return made

    def _chain(self, name: str) -> Chain:
        chain = self.ruleset.chain(name)
        if chain is None:
            raise KeyError(name)
        return chain

    def _edit_chain(self, name: str, rules: tuple[Rule, ...]) -> None:
        changed = replace(self._chain(name), rules=rules)
        self.ruleset = replace(
            self.ruleset, chains=tuple(changed if each.name == name else each for each in self.ruleset.chains)
        )

    def _edit_set(self, name: str, *, add: Iterable[Element] = (), remove: Iterable[Element] = ()) -> None:
        found = self.ruleset.set(name)
        if found is None:
            raise KeyError(name)
        changed = replace(found, elements=(found.elements - frozenset(remove)) | frozenset(add))
        self.ruleset = replace(
            self.ruleset, sets=tuple(changed if each.name == name else each for each in self.ruleset.sets)
        )


class FakeHostFilter:
    """A `HostFilter` whose chains are a value.

    Attributes:
        accept_rules: chains with the accept rule, and its mark.
        revision: what changes without being announced; None: everything is announced.
        verdict: what becomes of every flow; may be set.
        followed: the flows that were followed last.
    """

    def __init__(self, *drops: ForwardDrop) -> None:
        """Start with these drops; none: nothing drops."""
        self._forward_drops = list(drops)
        self.accept_rules: set[tuple[FilterVariant, str, int]] = set()
        self.revision: object = None
        self.verdict = PASSES
        self.followed: tuple[Flow, ...] = ()
        self.unreadable: FirewallError | None = None
        """What each reading raises."""
        self._failures: list[FirewallError] = []

    async def observe(self, mark: int) -> HostFilterState:
        """The drops, and accept rules that no drop needs."""
        self._fail()
        if self.unreadable is not None:
            raise self.unreadable
        places = {(each.variant, each.chain) for each in self._forward_drops}
        return HostFilterState(
            tuple(
                replace(each, has_accept_rule=(each.variant, each.chain, mark) in self.accept_rules)
                for each in self._forward_drops
            ),
            tuple(
                ForwardDrop(variant, "filter", chain, has_accept_rule=True)
                for variant, chain, at in sorted(self.accept_rules)
                if at == mark and (variant, chain) not in places
            ),
        )

    async def follow(self, flows: Sequence[Flow], paths: Paths) -> Sequence[FlowVerdict]:
        """The verdict that was set, for every flow."""
        self._fail()
        del paths
        self.followed = tuple(flows)
        return (self.verdict,) * len(flows)

    async def add_accept_rule(self, drop: ForwardDrop, mark: int) -> None:
        """Put the accept rule there."""
        self._fail()
        self.accept_rules.add((drop.variant, drop.chain, mark))

    async def remove_accept_rule(self, drop: ForwardDrop, mark: int) -> None:
        """Take the accept rule away."""
        self._fail()
        self.accept_rules.discard((drop.variant, drop.chain, mark))

    async def poll_revision(self) -> object:
        """What was set."""
        self._fail()
        return self.revision

    def add_forward_drop(self, drop: ForwardDrop) -> None:
        """As when an engine sets FORWARD's policy, or a firewall is switched on."""
        self._forward_drops.append(drop)

    def clear_forward_drops(self) -> None:
        """As when the firewall is switched off."""
        self._forward_drops.clear()

    def flush(self) -> None:
        """As by `ip6tables -F`: accept rules go, policies stay."""
        self.accept_rules.clear()

    def fail_next(self, *errors: FirewallError) -> None:
        """Let the next calls raise these, one each."""
        self._failures.extend(errors)

    def _fail(self) -> None:
        if self._failures:
            raise self._failures.pop(0)
