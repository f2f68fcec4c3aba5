"""Validation errors of a resource, and suggestions for misspelled names. Without pydantic: the CLI imports this early.

Errors::

    InvalidObject    a document is not a valid resource; carries its FieldErrors, 100 at most
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

FieldPath = tuple[str | int, ...]
"""The path of a field: keys as in the document (camelCase) and list indexes. Empty: the document as a whole."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One validation error: the field, the cause, and the remedy."""

    path: FieldPath
    message: str
    remedy: str
    at_key: bool = False  # the field itself is wrong, not its value: point at its key

    def __str__(self) -> str:
        field = f"{format_path(self.path)}: " if self.path else ""
        return f"{field}{self.message}" + (f"; {self.remedy}" if self.remedy else "")

    def under(self, *prefix: str | int) -> "FieldError":
        """The same error with a prefix before its path."""
        return replace(self, path=(*prefix, *self.path))


class InvalidObject(Exception):  # noqa: N818 - named for what it is about
    """A document is not a valid resource. ``errors`` has at least one entry, in the order of the models' fields."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = errors


def format_path(path: FieldPath) -> str:
    """``spec.publish.ports[0].port``; keys with dots or slashes are in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part and all(character.isalnum() or character in "-_" for character in part):
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text


def closest_match(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that is most similar to a misspelled word, or None when none is similar.

    Letter case, hyphens and underscores are ignored first: ``pool_ref`` and ``poolref`` match ``poolRef``.
    """
    # Imported only for misspelled words: it loads the modules of regular expressions and of heaps.
    from difflib import get_close_matches  # noqa: PLC0415

    by_key = {comparable(name): name for name in candidates}
    key = comparable(word)
    if key in by_key:
        return by_key[key]
    matches = get_close_matches(key, by_key, n=1, cutoff=0.7)
    return by_key[matches[0]] if matches else None


def either_of(words: Iterable[str]) -> str:
    """``a, b or c``."""
    items = list(words)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} or {items[-1]}"


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """A remedy for a misspelled word: the most similar candidate, or all candidates when none is similar."""
    names = list(candidates)
    match = closest_match(word, names)
    if match is not None:
        return f"did you mean {match}?"
    return f"use {either_of(names)}" if names else "remove it"


def comparable(word: str) -> str:
    """The word without what different spellings of one name differ in: case, hyphens and underscores."""
    return word.replace("_", "").replace("-", "").casefold()
