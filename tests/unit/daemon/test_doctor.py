"""The packet walk of the doctor, beside a daemon that changes our table."""

from types import SimpleNamespace

import pytest

from dockerv6.daemon import doctor
from dockerv6.firewall import detect
from dockerv6.firewall.model import FlowProblem
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY, Ruleset
from tests.unit.firewall.intents import BLOG, SHOP, intent

TABLES = (EMPTY, render(intent(BLOG)), render(intent(BLOG, SHOP)), EMPTY)
OURS = FlowProblem("blog", "dropped by our rule", certain=True, ours=True)
THEIRS = FlowProblem("blog", "dropped by their rule", certain=True)


@pytest.mark.parametrize(
    ("tables", "walks", "found"),
    [(TABLES[:1] * 9, 1, (OURS, THEIRS)), (TABLES[:2] + TABLES[1:2] * 9, 2, (OURS, THEIRS)), (TABLES, 3, (THEIRS,))],
)
async def test_a_table_that_changes_is_not_what_drops_flows(
    tables: tuple[Ruleset, ...], walks: int, found: tuple[FlowProblem, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = iter(tables)
    walked: list[Ruleset] = []

    async def value(*_: object) -> object:
        return ()

    async def observe() -> Ruleset:
        return next(shown)

    async def follow(_: object, table: Ruleset, *__: object) -> dict[str, tuple[FlowProblem, ...]]:
        walked.append(table)
        return {"blog": (OURS, THEIRS)}

    monkeypatch.setattr(detect, "choose", value)
    monkeypatch.setattr(detect, "build", lambda *_: SimpleNamespace(observe=observe, close=value))
    monkeypatch.setattr(doctor, "find_flow_problems", follow)
    sources = SimpleNamespace(
        settings=SimpleNamespace(firewall_backend="auto", fwmark=1),
        session=None,
        world=SimpleNamespace(host_view=SimpleNamespace(get=value)),
        engine=SimpleNamespace(containers=value),
    )
    assert await doctor._flow_problems(sources, None) == {"blog": found}  # type: ignore[arg-type]
    assert walked == list(tables[:walks])
