"""Responses as a whole: whether the engine sent what was asked for.

A proxy, another server, or a truncated response is worse than none: read as an empty list, it would mean that nothing
exists, and what exists would be forgotten or created again. null is refused too: for an empty list 20.10, 26.1 and 28.5
send [] (getNetworksList and reduceContainers in moby), as the API has promised since 1.13. Pure.
"""

import json

from dockerv6.dockerd import fields
from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.lib.text import escaped

_SHOWN = 80  # characters of a response that is not the engine's


def listing(response: object, what: str) -> list[object]:
    """The items of a response that is a list.

    Args:
        response: decoded JSON.
        what: it lists, such as "networks".

    Raises:
        EngineUnavailable: it is not a list.
    """
    if not isinstance(response, list):
        raise _not_the_engines(f"a list of {what}", response)
    return response


def require(response: object, field: str, what: str) -> object:
    """The response, which is an object with that field, as every engine sends it.

    Raises:
        EngineUnavailable: it is not.
    """
    if not fields.text(response, field):
        raise _not_the_engines(what, response)
    return response


def _not_the_engines(expected: str, response: object) -> EngineUnavailable:
    found = escaped(json.dumps(response)[:_SHOWN])
    return EngineUnavailable(f"the Docker Engine, or a proxy before it, did not send {expected}, but {found}")
