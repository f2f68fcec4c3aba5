import pytest

from dockerv6.firewall.elements import EGRESS_ANY
from dockerv6.firewall.expr import Chain, Element
from dockerv6.firewall.operations import (
    AddChain,
    AddElements,
    AddRules,
    AddSet,
    AddTable,
    DeleteChain,
    DeleteTable,
    FlushChain,
    Operation,
    RemoveElements,
)
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY, RulesetChange
from tests.fakes.firewall.replay import apply
from tests.unit.firewall.intents import BLOG, intent

ONE = render(intent(BLOG))
ANY = next(each for each in ONE.sets if each.name == EGRESS_ANY)
GHOST = Chain("ghost")


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        (AddTable(), "there is a table"),
        (AddSet(ANY), "there is a set egress_any"),
        (AddChain(ONE.chains[0]), "there is a chain forward"),
        (AddRules(GHOST), "there is no chain ghost"),
        (FlushChain("ghost"), "there is no chain ghost"),
        (DeleteChain("ghost"), "there is no chain ghost"),
        (DeleteChain("forward"), "chain forward is in use"),
        (RemoveElements(ANY, (Element(("fd00::/64",)),)), "set egress_any lacks an element"),
        (AddElements(ANY, (Element((f"{BLOG.subnet}",), "other"),)), "overlaps"),
    ],
)
def test_an_operation_that_the_kernel_refuses_is_refused(step: Operation, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        apply(ONE, RulesetChange((step,)))


def test_a_chain_that_is_jumped_to_can_not_be_deleted() -> None:
    with pytest.raises(ValueError, match="chain outbound is in use"):
        apply(ONE, RulesetChange((FlushChain("outbound"), DeleteChain("outbound"))))


def test_a_missing_table_or_set_can_not_be_changed() -> None:
    with pytest.raises(ValueError, match="there is no table"):
        apply(EMPTY, RulesetChange((DeleteTable("why"),)))
    with pytest.raises(ValueError, match="there is no set egress_any"):
        apply(EMPTY, RulesetChange((AddTable(), AddElements(ANY, ()))))
