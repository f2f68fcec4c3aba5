"""Write docs/reliability.md: the results of the last runs of chaos and soak, which `make soak` records.

`python -m scripts.reliability_page` writes it; a test fails when it is stale.
"""  # noqa: INP001

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos import record
from tests.chaos.record import ChaosRecord, SoakRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.record import Circumstances

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"

_PREFACE = """\
# Reliability

`make soak` runs the operator with a real Docker Engine, by default for two hours, and records what happens. This page
is generated from the last records, and states how long they took. `make test` runs a sample.
"""

_CHAOS = """
## Faults

Each attempt applies one fault at a random moment. The host has three networks of `IPv6Network` resources, one network
of a policy, containers with published ports, and a network, a container and an nftables table of others. An attempt
counts as survived when afterwards, without help,

- the daemon runs, and has not ended by itself;
- all resources are Ready, and `dockerv6 plan` has nothing to do;
- packets pass: from outside to each published port, and from each container to the outside;
- every subnet is the same, and every container is on its network again;
- what belongs to others is unchanged, and no rule exists twice.

When the state file as a whole is damaged, the operator does not start, and names the cause and a remedy. The column
*refused* counts these attempts: the remedy (restore a backup, or remove the file) led to the same result.
"""

_SOAK = """
## Growth

One daemon runs without a restart while resources, containers and rules come and go. The figures are medians of the
second and of the last quarter of the run. The first quarter is the warm-up.
"""


def page(chaos: ChaosRecord | None = None, soak: SoakRecord | None = None) -> str:
    """The page, by default from the committed records."""
    chaos, soak = chaos or record.read(ChaosRecord), soak or record.read(SoakRecord)
    return "\n".join([_PREFACE + _CHAOS, *_faults(chaos), _SOAK, *_growth(soak)]) + "\n"


def _faults(chaos: ChaosRecord) -> Iterator[str]:
    counts = list(chaos.faults.values())
    attempts, survivals = sum(each.attempts for each in counts), sum(each.survivals for each in counts)
    yield f"{_run(chaos.circumstances, chaos.minutes)} Attempts: {attempts}; survived: **{survivals}**."
    yield ""
    yield "| fault | attempts | survived | refused |"
    yield "|---|---|---|---|"
    for each in sorted(counts, key=lambda count: _by_number(count.title)):
        survived = str(each.survivals) if each.survivals == each.attempts else f"**{each.survivals}**"
        yield f"| {each.title} | {each.attempts} | {survived} | {each.refused or ''} |"
    if chaos.problems:
        yield ""
        yield "Not survived:"
        yield ""
        yield from (f"- {problem}" for problem in chaos.problems)


def _by_number(title: str) -> str:
    return re.sub(r"\d+", lambda number: number[0].zfill(3), title)


def _growth(soak: SoakRecord) -> Iterator[str]:
    operations = ", ".join(f"{name} {count} times" for name, count in soak.operations.items())
    yield f"{_run(soak.circumstances, soak.minutes)} Operations: {operations}."
    yield ""
    yield "| measure | second quarter | last quarter | result |"
    yield "|---|---|---|---|"
    for name, each in soak.growth.items():
        before, after = (f"{value:g} {each.unit}".strip() for value in (each.before, each.after))
        yield f"| {name} | {before} | {after} | {'flat' if each.flat else '**grows**'} |"


def _run(made: Circumstances, minutes: float) -> str:
    return (
        f"Run of {made.date[:10]}, {minutes:g} minutes: dockerv6 {made.dockerv6}, Docker Engine "
        f"{made.engine}, Linux {made.kernel}, Python {made.python}, SQLite {made.sqlite}."
    )


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
