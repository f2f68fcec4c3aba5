"""Which labels of a container were set when it was created, and which come from its image.

The engine merges the labels of an image into those of a container. Whoever publishes an image chooses its labels, so
they say nothing about what the person who runs it wants: a label of an image selects nothing. A label that was set at
creation to the value that the image has too can't be distinguished from the image's, and counts as the image's.

Compose is the exception. It labels the images that it builds with project and service, as well as the containers that
it creates. It also sets the hash of the service's configuration on each container, but not on images (v1 and v2), so
where that label was set at creation, Compose has set the others too. An image can't pretend this: its own labels never
count as set at creation.
"""

from collections.abc import Mapping

from dockerv6.dockerd.model import COMPOSE_PROJECT, COMPOSE_SERVICE
from dockerv6.dockerd.port import EngineApiError

COMPOSE_CONFIG_HASH = "com.docker.compose.config-hash"

Labels = Mapping[str, str]

ImagesById = Mapping[str, Labels | EngineApiError]
"""The labels of images; an error where the engine doesn't show the image: it was removed by force, or is damaged."""


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
