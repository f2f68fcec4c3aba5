"""Whether a file is at rest or still being written. Pure: whoever asks brings the time.

An editor that does not rename, ``cp``, or a shell's ``>`` writes a file in steps, and half of one may be valid YAML.
A file is at rest when its last modification is `settle` seconds old. Times of files can't be trusted alone (another
machine's clock, ``touch -d tomorrow``), so it is also at rest when we have seen it unchanged for that long.
"""

from dataclasses import dataclass

from dockerv6.source.directory import Signature

_NANOSECONDS = 1e9


@dataclass(slots=True)
class _Restless:
    signature: Signature
    unchanged_since: float
    since: float


class Quiescence:
    """Remembers files that were not at rest."""

    def __init__(self, settle: float, patience: float) -> None:
        """Judge files.

        Args:
            settle: seconds without a modification that mean rest.
            patience: seconds after which a file that never rests is taken as it is.
        """
        self._settle = settle
        self._patience = patience
        self._restless: dict[str, _Restless] = {}

    def wait(self, path: str, signature: Signature, now: float, monotonic: float) -> float:
        """Seconds until the file may be at rest; 0 when it is, which is then forgotten."""
        age = now - signature.modified / _NANOSECONDS
        if age >= self._settle:
            self._restless.pop(path, None)
            return 0.0
        seen = self._restless.get(path)
        if seen is None:
            seen = self._restless[path] = _Restless(signature, monotonic, monotonic)
        elif seen.signature != signature:
            seen.signature, seen.unchanged_since = signature, monotonic
        left = self._settle - max(age, monotonic - seen.unchanged_since)
        if left <= 0:
            del self._restless[path]
            return 0.0
        return left

    def out_of_patience(self, path: str, monotonic: float) -> bool:
        """Whether the file has not been at rest for so long that waiting on is worse than reading it."""
        seen = self._restless.get(path)
        return seen is not None and monotonic - seen.since >= self._patience

    def forget_all_but(self, paths: set[str]) -> None:
        """Forget files that are gone."""
        for path in self._restless.keys() - paths:
            del self._restless[path]
