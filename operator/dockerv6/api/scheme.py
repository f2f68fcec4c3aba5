"""Converts untyped documents to resources and back."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from pydantic import ValidationError

from dockerv6.api.errors import FieldError, InvalidObject, closest_match, did_you_mean
from dockerv6.api.kinds import API_VERSION, GROUP, KINDS
from dockerv6.api.network import IPv6Network
from dockerv6.api.policy import IPv6Policy
from dockerv6.api.pool import IPv6Pool
from dockerv6.api.validation import MAX_ERRORS, field_errors
from dockerv6.api.values import quote

Resource = IPv6Network | IPv6Pool | IPv6Policy

MODELS: Mapping[str, type[IPv6Network] | type[IPv6Pool] | type[IPv6Policy]] = {
    model.kind: model for model in (IPv6Network, IPv6Pool, IPv6Policy)
}

_SERVER_SIDE = frozenset(
    {
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "selfLink",
        "finalizers",
        "ownerReferences",
    }
)
"""Metadata that a server writes. It is in the output of ``get -o yaml``, which users save as files."""

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_COMPARED = 100
"""Unknown fields of a document of which the one is sought that means a missing field."""

_ENVELOPE = ("apiVersion", "kind", "metadata", "spec")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A valid resource, and warnings about parts of its document that are ignored."""

    resource: Resource
    warnings: tuple[FieldError, ...] = ()


def decode(document: Mapping[str, object]) -> Decoded:
    """Convert the document of a YAML or JSON parser to a resource.

    Raises:
        InvalidObject: the document is not a valid resource; carries the first `MAX_ERRORS` errors.
    """
    if not isinstance(document, Mapping):
        raise InvalidObject(
            (FieldError((), f"a resource must be a mapping, not {quote(document)}", "start with apiVersion and kind"),)
        )
    warnings: list[FieldError] = []
    errors = list(_version_errors(document))
    model = MODELS.get(kind) if isinstance(kind := document.get("kind"), str) else None
    if model is None:
        raise InvalidObject((*errors, _kind_error(document)))
    body = {key: value for key, value in document.items() if key not in {"apiVersion", "kind", "status"}}
    if "status" in document:
        warnings.append(
            FieldError(("status",), "dockerv6 writes the status; it is ignored here", "remove it", at_key=True)
        )
    body["metadata"] = _user_metadata(document.get("metadata"), warnings)
    try:
        resource = model.model_validate(body, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidObject((*errors, *field_errors(model, error))[:MAX_ERRORS]) from None
    if errors:
        raise InvalidObject(tuple(errors))
    return Decoded(resource, tuple(warnings))


def to_document(resource: Resource) -> dict[str, object]:
    """The resource as JSON-compatible mappings, with only the fields that its file sets. Inverse of `decode`."""
    body: dict[str, object] = resource.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {
        "apiVersion": API_VERSION,
        "kind": resource.kind,
        "metadata": body["metadata"],
        "spec": body.get("spec", {}),
    }


def digest(resource: Resource) -> str:
    """A hash of spec (with defaults), labels and annotations: 32 hexadecimal digits.

    Comments, the order of keys, and explicit defaults do not change it.
    """
    metadata = resource.metadata
    content = {
        "labels": dict(metadata.labels),
        "annotations": dict(metadata.annotations),
        "spec": resource.spec.model_dump(mode="json", by_alias=True),
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def _version_errors(document: Mapping[str, object]) -> Iterator[FieldError]:
    version = document.get("apiVersion")
    if version == API_VERSION:
        return
    path = ("apiVersion",)
    if version is None:
        yield _missing(document, "apiVersion", f"write apiVersion: {API_VERSION}")
    elif not isinstance(version, str):
        yield FieldError(path, f"must be a string, not {quote(version)}", f"write {API_VERSION}")
    elif version.partition("/")[0] == GROUP:
        yield FieldError(path, f"{version!r} is not supported by this version of dockerv6", f"write {API_VERSION}")
    elif closest_match(version.partition("/")[0], [GROUP]) or closest_match(version, [API_VERSION]):
        yield FieldError(path, f"{version!r} is not an API version of dockerv6", f"did you mean {API_VERSION}?")
    else:
        yield FieldError(
            path,
            f"{version!r} is not an API version of dockerv6",
            f"write {API_VERSION}, or move the file out of the configuration directory",
        )


def _kind_error(document: Mapping[str, object]) -> FieldError:
    kind = document.get("kind")
    if kind is None:
        return _missing(document, "kind", f"write one of {', '.join(MODELS)}")
    if not isinstance(kind, str):
        return FieldError(("kind",), f"must be a string, not {quote(kind)}", f"write one of {', '.join(MODELS)}")
    info = next((info for info in KINDS if kind.casefold() in info.names), None)
    remedy = f"did you mean {info.kind}?" if info else did_you_mean(kind, MODELS)
    return FieldError(("kind",), f"there is no kind {kind!r}", remedy)


def _missing(document: Mapping[str, object], field: str, remedy: str) -> FieldError:
    others = (key for key in document if isinstance(key, str) and key not in _ENVELOPE)
    similar = closest_match(field, islice(others, _COMPARED))
    if similar is not None:
        return FieldError((similar,), f"unknown field {similar!r}", f"did you mean {field}?", at_key=True)
    return FieldError((), f"{field} is missing", remedy)


def _user_metadata(metadata: object, warnings: list[FieldError]) -> object:
    """The metadata without the fields that a server writes, which become warnings. Missing metadata is empty."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        return metadata
    kept = {key: value for key, value in metadata.items() if key not in _SERVER_SIDE}
    warnings.extend(
        FieldError(("metadata", key), f"a server writes {key}; it is ignored here", "remove it", at_key=True)
        for key in metadata
        if key in _SERVER_SIDE
    )
    annotations = kept.get("annotations")
    if isinstance(annotations, Mapping) and _LAST_APPLIED in annotations:
        kept["annotations"] = {key: value for key, value in annotations.items() if key != _LAST_APPLIED}
        path = ("metadata", "annotations", _LAST_APPLIED)
        warnings.append(FieldError(path, "this annotation of kubectl is ignored", "remove it", at_key=True))
    return kept
