"""Print the software bill of materials of an image (CycloneDX 1.6, JSON): its Python distributions and Debian packages.

    python -m scripts.sbom dockerv6:0.2.0 >sbom.json

The distributions are those of requirements.lock: the Dockerfile installs no other, and pip compares their hashes.
"""  # noqa: INP001

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

_ROOT = Path(__file__).parents[1]
DPKG_QUERY = ("dpkg-query", "--show", "--showformat", "${Package}\\t${Version}\\t${Architecture}\\n")
"""The command whose output, from inside the image, `document` reads."""


class SbomError(RuntimeError):
    """The document does not conform to CycloneDX's schema."""


def document(debian: str) -> dict[str, Any]:
    """Return the document of an image with these Debian packages (output of `DPKG_QUERY`)."""
    command = [
        "cyclonedx-py",
        "requirements",
        "--no-validate",
        "--pyproject",
        "pyproject.toml",
        "--output-reproducible",
    ]
    command = [str(Path(sys.executable).with_name(command[0])), *command[1:], "--spec-version", "1.6"]
    made = subprocess.run(
        [*command, "--mc-type", "application", "requirements.lock"], cwd=_ROOT, check=True, capture_output=True
    )
    found: dict[str, Any] = json.loads(made.stdout)
    found["components"] += [_component(*line.split("\t")[:3]) for line in debian.splitlines()]
    return found


def _component(name: str, version: str, architecture: str) -> dict[str, str]:
    plain = name.partition(":")[0]
    purl = f"pkg:deb/debian/{quote(plain)}@{quote(version, safe='')}?arch={architecture}"
    return {"type": "library", "bom-ref": purl, "name": plain, "version": version, "purl": purl}


def validate(found: dict[str, Any]) -> None:
    """Compare a document with CycloneDX's schema.

    Raises:
        SbomError: it does not conform.
    """
    # importing them takes seconds, and every process that collects the tests imports this module
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415

    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(found)):
        raise SbomError(str(error))


def main(image: str) -> None:
    """Print the document of an image of the local engine."""
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", DPKG_QUERY[0], image, *DPKG_QUERY[1:]]
    made = document(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    validate(made)
    sys.stdout.write(json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
