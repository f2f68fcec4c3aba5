"""docs/real-ipv6.md shows the examples as they are applied by the tests."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_SHOWN = re.compile(r"^\[[^]]+\]\(\.\./(manifests/examples/[^)]+)\):\n\n```yaml\n(.*?)```$", re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_page_are_those_that_are_tested() -> None:
    shown = dict(_SHOWN.findall((ROOT / "docs" / "real-ipv6.md").read_text()))
    assert shown
    for path, text in shown.items():
        written = (ROOT / path).read_text()
        assert text == written[written.index("apiVersion:") :], f"docs/real-ipv6.md shows another {path}"
