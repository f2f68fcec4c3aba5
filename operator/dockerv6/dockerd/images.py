"""Which labels of a container were set when it was created, and which come from its image.

The engine merges the labels of an image into those of a container. Whoever publishes an image chooses its labels, so
they say nothing about what the person who runs it wants: a label of an image selects nothing. A label that was set at
creation to the value that the image has too can't be distinguished from the image's, and counts as the image's.

Compose is the exception. It labels the images that it builds with project and service, as well as the containers that
it creates. It also sets the hash of the service's configuration on each container, but not on images (v1 and v2), so
where that label was set at creation, Compose has set the others too. An image can't pretend this: its own labels never
count as set at creation.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping

from dockerv6.dockerd.api_errors import NoResponse
from dockerv6.dockerd.model import COMPOSE_PROJECT, COMPOSE_SERVICE
from dockerv6.dockerd.port import EngineApiError

COMPOSE_CONFIG_HASH = "com.docker.compose.config-hash"

Labels = Mapping[str, str]

ImagesById = Mapping[str, Labels | EngineApiError]
"""The labels of images; an error where the engine doesn't show the image: it was removed by force, or is damaged."""

_KEPT = 1024
"""Images whose labels are kept. An image never changes: its id is the digest of its configuration."""

SILENCE = 30.0
"""Seconds for which an image is not inspected again that the engine did not respond to: it delays all containers."""


def labels_at_creation(labels: Labels, of_image: Labels) -> Labels:
    """The labels of a container that were set when it was created.

    Args:
        labels: of the container, as the engine reports them.
        of_image: of its image.
    """
    own = {key: value for key, value in labels.items() if of_image.get(key) != value}
    if COMPOSE_CONFIG_HASH in own:
        own |= {key: labels[key] for key in (COMPOSE_PROJECT, COMPOSE_SERVICE) if key in labels}
    return own


class ImageLabels:
    """Reads the labels of images, each image once."""

    def __init__(self, inspect: Callable[[str], Awaitable[Labels]]) -> None:
        """Read nothing yet. ``inspect`` reads the labels of one image from the engine."""
        self._inspect = inspect
        self._known: OrderedDict[str, Labels] = OrderedDict()
        self._silent: dict[str, tuple[float, NoResponse]] = {}  # until when, of the loop's time; and why

    async def of(self, image_ids: Iterable[str]) -> ImagesById:
        """The labels of each image.

        Raises:
            EngineUnavailable: the engine did not answer.
        """
        wanted = tuple(dict.fromkeys(image_ids))
        unknown = [each for each in wanted if each not in self._known]
        read = dict(zip(unknown, await asyncio.gather(*map(self._read, unknown)), strict=True))
        found = {each: read[each] if each in read else self._known[each] for each in wanted}
        for image_id, labels in found.items():
            if not isinstance(labels, EngineApiError):
                self._known[image_id] = labels
                self._known.move_to_end(image_id)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return found

    async def _read(self, image_id: str) -> Labels | EngineApiError:
        now = asyncio.get_running_loop().time()
        self._silent = {each: found for each, found in self._silent.items() if found[0] > now}
        if image_id in self._silent:
            return self._silent[image_id][1]
        try:
            return await self._inspect(image_id)
        except NoResponse as error:
            self._silent[image_id] = now + SILENCE, error
            return error
        except EngineApiError as error:
            return error
