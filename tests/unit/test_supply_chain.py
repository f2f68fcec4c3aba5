"""The image installs locked distributions only, and its SBOM lists them and the Debian packages."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import sbom

_ROOT = Path(__file__).parents[2]
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)[^\\\n]*((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)
_DPKG = "libc6:amd64\t2.41-12\tamd64\nnftables\t1:1.1.3-1\tamd64\n"


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((_ROOT / "pyproject.toml").read_text())


def _locked(lock: str) -> dict[str, str]:
    return {canonicalize_name(found[1]): found[2] for found in _LOCKED.finditer((_ROOT / lock).read_text())}


def _missing(requirements: list[str], lock: str) -> list[str]:
    """The requirements that the lock file does not fulfil."""
    locked = _locked(lock)
    parsed = [Requirement(each) for each in requirements]
    return [
        str(each) for each in parsed if not each.specifier.contains(locked.get(canonicalize_name(each.name), "0.dev0"))
    ]


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-build.lock"])
def test_every_locked_distribution_has_a_version_and_hashes_and_no_address(lock: str) -> None:
    text = (_ROOT / lock).read_text()
    rest = _LOCKED.sub("", text)
    assert [line for line in rest.splitlines() if line.strip() and not line.strip().startswith("#")] == []
    assert "://" not in text
    assert "--index" not in text


def test_lock_files_are_up_to_date_with_the_project() -> None:
    pyproject = _pyproject()
    carried = pyproject["project"]["optional-dependencies"]["iptables"]
    assert _missing([*pyproject["project"]["dependencies"], *carried], "requirements.lock") == []
    build = pyproject["dependency-groups"]["build"]
    assert set(pyproject["build-system"]["requires"]) <= set(build)
    assert _missing(build, "requirements-build.lock") == []


def test_image_installs_nothing_else() -> None:
    text = (_ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    commands = re.findall(r"-m pip (?:--python \S+ )?(\w+) (.*?)(?:&&|$)", text, re.MULTILINE)
    assert [verb for verb, _ in commands] == ["install", "wheel", "wheel", "install", "check"]
    for _, arguments in commands[:-1]:
        hashed = "--require-hashes" in arguments
        assert hashed or "--no-deps" in arguments
        # a build in isolation would download the newest backend
        assert hashed or "--no-build-isolation" in arguments or "--no-index" in arguments


def test_sbom_is_valid_and_lists_distributions_and_debian_packages() -> None:
    document = sbom.document(_DPKG)
    assert (document["bomFormat"], document["metadata"]["component"]["name"]) == ("CycloneDX", "dockerv6")
    purls = {each["purl"] for each in document["components"]}
    assert all("sys_platform" not in line for line in (_ROOT / "requirements.lock").read_text().splitlines())
    python = {f"pkg:pypi/{name}@{version}" for name, version in _locked("requirements.lock").items()}
    assert python <= {purl.partition("?")[0] for purl in purls}
    assert purls >= {
        "pkg:deb/debian/libc6@2.41-12?arch=amd64",
        "pkg:deb/debian/nftables@1%3A1.1.3-1?arch=amd64",
    }
    references = [each["bom-ref"] for each in document["components"]]
    assert len(references) == len(set(references))

    assert sbom.document(_DPKG) == document
    sbom.validate(document)
    with pytest.raises(sbom.SbomError, match="none"):
        sbom.validate({**document, "components": "none"})
