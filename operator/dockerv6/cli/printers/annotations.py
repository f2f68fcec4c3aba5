"""Diagnostics for continuous integration: GitHub's workflow commands, GitLab's code quality report, and SARIF 2.1.0.

Sources: https://docs.github.com/actions/reference/workflow-commands-for-github-actions (escaping:
toolkit's command.ts),
https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format,
https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import PurePath
from urllib.parse import quote

from dockerv6.cli.printers.outputs import encode
from dockerv6.cli.printers.table import plain
from dockerv6.source.model import Diagnostic, Severity

_RULES: Mapping[Severity, tuple[str, str]] = {
    Severity.ERROR: ("invalid-resource", "The resource file is not accepted."),
    Severity.WARNING: ("questionable-resource", "The resource file is accepted, but probably not what is meant."),
}
"""Identifier and meaning of each severity. Alerts are grouped by the identifier, so it is stable."""

_GITLAB_SEVERITIES: Mapping[Severity, str] = {Severity.ERROR: "major", Severity.WARNING: "minor"}

_TITLE = "dockerv6"
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def github(diagnostics: Iterable[Diagnostic]) -> str:
    """A workflow command per line. GitHub shows the first ten errors and warnings of a step at their lines."""
    return "".join(
        f"::{found.severity} file={_property(_path(found))},line={found.position.line},col={found.position.column},"
        f"title={_title(found)}::{_data(_message(found))}\n"
        for found in diagnostics
    )


def gitlab(diagnostics: Iterable[Diagnostic]) -> str:
    """A JSON list of violations, for ``artifacts:reports:codequality``."""
    violations = [
        {
            "description": _message(found),
            "check_name": _RULES[found.severity][0],
            "fingerprint": fingerprint,
            "severity": _GITLAB_SEVERITIES[found.severity],
            "location": {"path": _path(found), "lines": {"begin": found.position.line}},
        }
        for found, fingerprint in _fingerprinted(diagnostics)
    ]
    return encode(violations, "json") + "\n"


def sarif(diagnostics: Iterable[Diagnostic]) -> str:
    """A SARIF log with one run, as code scanning services read it."""
    results = [
        {
            "ruleId": _RULES[found.severity][0],
            "level": str(found.severity),
            "message": {"text": _message(found)},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": _artifact(_path(found)),
                        "region": {"startLine": found.position.line, "startColumn": found.position.column},
                    }
                }
            ],
            "partialFingerprints": {"dockerv6/v1": fingerprint},
        }
        for found, fingerprint in _fingerprinted(diagnostics)
    ]
    rules = [{"id": name, "shortDescription": {"text": meaning}} for name, meaning in _RULES.values()]
    driver = {"name": _TITLE, "version": version("dockerv6"), "rules": rules}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return encode({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, "json") + "\n"


FORMATS: Mapping[str, Callable[[Iterable[Diagnostic]], str]] = {"github": github, "gitlab": gitlab, "sarif": sarif}
"""The formats by the value of ``-o``."""


def _message(found: Diagnostic) -> str:
    field = f"{found.field}: " if found.path else ""
    remedy = f"; {found.remedy}" if found.remedy else ""
    return plain(f"{field}{found.message}{remedy}")


def _title(found: Diagnostic) -> str:
    return _property(plain(f"{_TITLE}: {found.field}" if found.path else _TITLE))


def _path(found: Diagnostic) -> str:
    """The file relative to the working directory, which is that of the repository in a job, if it is in there."""
    path = PurePath(found.position.file)
    directory = os.getcwd()  # noqa: PTH109 - a text is needed
    return plain(str(path.relative_to(directory) if path.is_absolute() and path.is_relative_to(directory) else path))


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _artifact(path: str) -> dict[str, str]:
    """Where a file is: a URI, relative to the repository if the file is in it (RFC 8089, SARIF 3.4)."""
    if path.startswith("/"):
        return {"uri": f"file://{quote(path)}"}
    return {"uri": quote(path), "uriBaseId": "%SRCROOT%"}


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _fingerprinted(diagnostics: Iterable[Diagnostic]) -> Iterator[tuple[Diagnostic, str]]:
    """Each diagnostic with an identity that does not change when lines above are added, and that no other one has."""
    seen: Counter[str] = Counter()
    for found in diagnostics:
        content = "\0".join((_path(found), str(found.severity), found.field, found.message))
        seen[content] += 1
        yield found, hashlib.sha256(f"{content}\0{seen[content]}".encode()).hexdigest()
