"""Stored objects and events as Kubernetes would show them."""

from collections.abc import Iterable, Mapping

from dockerv6.api.kinds import API_VERSION
from dockerv6.lib.timeformat import rfc3339
from dockerv6.store.model import Event, StoredObject

Json = dict[str, object]


def document(stored: StoredObject) -> Json:
    """The resource: apiVersion, kind, metadata, spec, status. A file may hold it again as it is."""
    written = stored.document.get("metadata")
    metadata: Json = {"name": stored.name}
    if isinstance(written, Mapping):
        metadata |= {key: written[key] for key in ("labels", "annotations") if written.get(key)}
    metadata["generation"] = stored.generation
    metadata["creationTimestamp"] = rfc3339(stored.created)
    if stored.deleting_since is not None:
        metadata["deletionTimestamp"] = rfc3339(stored.deleting_since)
    return {
        "apiVersion": API_VERSION,
        "kind": stored.kind,
        "metadata": metadata,
        "spec": stored.document.get("spec") or {},
        "status": dict(stored.status),
    }


def event_document(event: Event) -> Json:
    """An event, with the field names of Kubernetes' core/v1 Event."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Event",
        "type": str(event.type),
        "reason": event.reason,
        "message": event.message,
        "involvedObject": {"kind": event.kind, "name": event.name},
        "count": event.count,
        "firstTimestamp": rfc3339(event.first_seen),
        "lastTimestamp": rfc3339(event.last_seen),
    }


def listed(items: Iterable[Json]) -> Json:
    """A List of them."""
    return {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": list(items)}
