"""What nftables' JSON (libnftables-json(5)) is made of, and the name of our table."""

import json
from collections.abc import Mapping, Sequence

FAMILY = "inet"
TABLE = "dockerv6"
TABLE_COMMENT = "dockerv6: made and repaired by the dockerv6 operator; edits are undone"

Json = None | bool | int | str | Sequence["Json"] | Mapping[str, "Json"]
Object = Mapping[str, Json]

HERE: Object = {"family": FAMILY, "table": TABLE}
"""What an object says to be in our table."""


def canonical(value: Json) -> str:
    """One text for one JSON value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
