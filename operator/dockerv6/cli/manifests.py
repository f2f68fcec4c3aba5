"""The resources of ``-f``: read, checked, and as the text that is written to the configuration directory."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO

import click

from dockerv6.api.scheme import digest, to_document
from dockerv6.cli.printers.diagnostics import diagnostic_line
from dockerv6.cli.printers.outputs import encode
from dockerv6.source.documents import load_text
from dockerv6.source.load import load_paths
from dockerv6.source.model import Severity, SourcedResource
from dockerv6.source.resource_files import has_one_document

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A valid resource of ``-f``."""

    kind: str
    name: str
    digest: str  # of what the user asks for
    text: str  # its YAML; with the comments of its file, if it has a file of its own


def read_manifests(paths: Iterable[str]) -> tuple[Manifest, ...]:
    """The resources in files, directories and standard input, to be written. Raises as `read_resources`."""
    texts: dict[str, bytes] = {}
    return tuple(_manifests(read_resources(paths, texts), texts))


def read_resources(paths: Iterable[str], texts: dict[str, bytes] | None = None) -> tuple[SourcedResource, ...]:
    """The resources in files, directories and standard input. Problems are printed to standard error.

    Args:
        paths: "-" is standard input.
        texts: gets the content of each file.

    Raises:
        click.ClickException: a file is invalid, or there is no resource.
        click.UsageError: a path can't be read by this program.
    """
    names = tuple(dict.fromkeys(paths))
    for path in names:
        if path.startswith(("http://", "https://")):
            raise click.UsageError(f"{path} is not fetched; download it, look at it, and name the file")
    if STDIN in names and sys.stdin is None:
        raise click.UsageError("standard input is closed: redirect a file to it, or name the file")
    snapshot = load_paths(names, sys.stdin.buffer if STDIN in names else BytesIO(), texts=texts)
    for diagnostic in snapshot.diagnostics:
        click.echo(diagnostic_line(diagnostic), err=True)
    errors = sum(each.severity is Severity.ERROR for each in snapshot.diagnostics)
    if errors:
        raise click.ClickException(f"{', '.join(names)}: errors ({errors}), so no resource was used; correct them")
    if not snapshot.resources:
        raise click.ClickException(f"there is no resource in {', '.join(names)}")
    return snapshot.resources


def _manifests(found: tuple[SourcedResource, ...], texts: Mapping[str, bytes]) -> Iterator[Manifest]:
    files = [each.position.file for each in found]
    for each in found:
        resource, file = each.resource, each.position.file
        text = ""
        if files.count(file) == 1:
            text = _own_text(file, texts.get(file, b""))
        yield Manifest(str(resource.kind), resource.metadata.name, digest(resource), text or resource_text(each))


def _own_text(file: str, content: bytes) -> str:
    """The text of a file that can be written as it is; "": it has other content, or is not plain YAML in UTF-8."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return ""
    plain = text and not text.startswith("\ufeff") and not file.endswith(".json")
    if not plain or load_text(file, content).diagnostics or not has_one_document(file, content):
        return ""
    return text if text.endswith("\n") else f"{text}\n"


def resource_text(sourced: SourcedResource) -> str:
    """The resource as YAML; as JSON, which is YAML too, if PyYAML writes something that YAML 1.2 reads differently."""
    document = to_document(sourced.resource)
    text = encode(document, "yaml") + "\n"
    back = load_text("resource.yaml", text).resources
    if back and digest(back[0].resource) == digest(sourced.resource):
        return text
    return encode(document, "json") + "\n"
