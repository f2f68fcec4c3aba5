"""Write docs/findings.md: the page of the findings, which the package carries for `doctor --explain`.

`python -m scripts.findings_page` writes it; a test fails when it is stale.
"""  # noqa: INP001

from __future__ import annotations

from pathlib import Path

from dockerv6.daemon.findings import page

PAGE = Path(__file__).parents[1] / "docs" / "findings.md"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
