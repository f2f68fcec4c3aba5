"""The difference between what should be and what is, as a value."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from _typeshed import SupportsRichComparison

K = TypeVar("K", bound="SupportsRichComparison")
Desired = TypeVar("Desired")
Observed = TypeVar("Observed")


@dataclass(frozen=True, slots=True)
class Delta(Generic[K]):
    """What has to be done to make the observed side equal the desired one; false when that is nothing.

    Each part is in ascending order of its keys, whatever the order of the mappings that it was made of, so equal
    inputs give an equal plan.

    Attributes:
        add: desired, not observed.
        change: in both, but different.
        remove: observed, not desired.
    """

    add: tuple[K, ...] = ()
    change: tuple[K, ...] = ()
    remove: tuple[K, ...] = ()

    def __len__(self) -> int:
        return len(self.add) + len(self.change) + len(self.remove)


def _equal(desired: object, observed: object) -> bool:
    return desired == observed


def delta(
    desired: Mapping[K, Desired],
    observed: Mapping[K, Observed],
    *,
    same: Callable[[Desired, Observed], bool] = _equal,
) -> Delta[K]:
    """Compare two mappings key by key.

    Args:
        desired: what should be.
        observed: what is.
        same: tells whether a desired and an observed value agree; by default, whether they are equal.
    """
    return Delta(
        add=tuple(sorted(key for key in desired if key not in observed)),
        change=tuple(sorted(key for key in desired if key in observed and not same(desired[key], observed[key]))),
        remove=tuple(sorted(key for key in observed if key not in desired)),
    )


def delta_of_sets(desired: Collection[K], observed: Collection[K]) -> Delta[K]:
    """Compare what is either there or not, such as addresses or rules; nothing can change, only come and go."""
    wanted, present = frozenset(desired), frozenset(observed)
    return Delta(add=tuple(sorted(wanted - present)), remove=tuple(sorted(present - wanted)))
