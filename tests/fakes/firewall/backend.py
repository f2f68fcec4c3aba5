"""The firewall and the host's filter in memory, with the damage that people and other programs do to them."""

from collections.abc import Iterable
from dataclasses import replace

from dockerv6.firewall.expr import Chain, Element, Rule, UnknownExpr
from dockerv6.firewall.model import FilterVariant, ForwardDrop, HostFilterState
from dockerv6.firewall.port import FirewallError, FirewallRejected
from dockerv6.firewall.ruleset import EMPTY, Ruleset, RulesetChange, diff
from tests.fakes.firewall.replay import apply


class FakeFirewall:
    """A `Firewall` whose kernel is a value.

    Attributes:
        ruleset: what "the kernel" holds; may be set.
        commits: how many transactions changed it.
        knows_link_kinds: as the nftables backend does; may be set.
        silent: what the kernel changes without telling anybody, as xtables does; None: it tells.
    """

    def __init__(self) -> None:
        """Start with no table."""
        self.ruleset: Ruleset = EMPTY
        self.commits = 0
        self.knows_link_kinds = True
        self.silent: object = None
        self._failures: list[FirewallError] = []

    @property
    def backend(self) -> str:
        """The backend's name."""
        return "fake"

    @property
    def seen(self) -> int | None:
        """This kernel counts no generations."""
        return None

    async def close(self) -> None:
        """There is nothing to give back."""

    async def observe(self) -> Ruleset:
        """What it holds now."""
        self._fail()
        return self.ruleset

    async def check(self, change: RulesetChange) -> None:
        """Judge the change without making it."""
        self._fail()
        _attempt(self.ruleset, change)

    async def apply(self, change: RulesetChange) -> Ruleset:
        """Make the change; computed anew when the ruleset is no longer what it was made against."""
        self._fail()
        if not change.empty:
            try:
                self.ruleset = _attempt(self.ruleset, change)
            except FirewallRejected:
                fresh = diff(change.target, self.ruleset)
                if fresh.steps == change.steps:
                    raise
                self.ruleset = _attempt(self.ruleset, fresh)
            self.commits += 1
        return self.ruleset

    async def sweep(self) -> None:
        """Delete the table."""
        self._fail()
        self.ruleset = EMPTY

    async def fingerprint(self) -> object:
        """What was set."""
        self._fail()
        return self.silent

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


def _attempt(ruleset: Ruleset, change: RulesetChange) -> Ruleset:
    try:
        return apply(ruleset, change)
    except ValueError as error:
        raise FirewallRejected(f"the fake kernel refused: {error}") from error


class FakeHostFilter:
    """A `HostFilter` whose chains are a value: which places drop, and where the accept rule is.

    Attributes:
        admitted: places that hold the accept rule, with its mark.
        silent: what changes without being announced; None: everything is announced.
    """

    def __init__(self, *barriers: ForwardDrop) -> None:
        """Start with these barriers; none: nothing drops."""
        self._barriers = list(barriers)
        self.admitted: set[tuple[FilterVariant, str, int]] = set()
        self.silent: object = None
        self._failures: list[FirewallError] = []

    async def observe(self, mark: int) -> HostFilterState:
        """The barriers, and accept rules that no barrier needs."""
        self._fail()
        places = {(each.variant, each.chain) for each in self._barriers}
        return HostFilterState(
            tuple(
                replace(each, admitted=(each.variant, each.chain, mark) in self.admitted) if each.mendable else each
                for each in self._barriers
            ),
            tuple(
                ForwardDrop(variant, "filter", chain, admitted=True, mendable=True)
                for variant, chain, at in sorted(self.admitted)
                if at == mark and (variant, chain) not in places
            ),
        )

    async def admit(self, barrier: ForwardDrop, mark: int) -> None:
        """Put the accept rule there."""
        self._fail()
        if not barrier.mendable:
            raise FirewallRejected(barrier.remedy)
        self.admitted.add((barrier.variant, barrier.chain, mark))

    async def withdraw(self, barrier: ForwardDrop, mark: int) -> None:
        """Take the accept rule away."""
        self._fail()
        self.admitted.discard((barrier.variant, barrier.chain, mark))

    async def fingerprint(self) -> object:
        """What was set."""
        self._fail()
        return self.silent

    def raise_barrier(self, barrier: ForwardDrop) -> None:
        """As when an engine sets FORWARD's policy, or a firewall is switched on."""
        self._barriers.append(barrier)

    def lower_barriers(self) -> None:
        """As when the firewall is switched off."""
        self._barriers.clear()

    def flush(self) -> None:
        """As by `ip6tables -F`: accept rules go, policies stay."""
        self.admitted.clear()

    def fail_next(self, *errors: FirewallError) -> None:
        """Let the next calls raise these, one each."""
        self._failures.extend(errors)

    def _fail(self) -> None:
        if self._failures:
            raise self._failures.pop(0)
