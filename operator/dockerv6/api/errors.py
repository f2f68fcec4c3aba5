"""What is wrong with a resource, told to the person who wrote it.

Errors::

    InvalidObject    a document is no valid resource; carries every finding
"""

from collections.abc import Iterable
from dataclasses import dataclass

FieldPath = tuple[str | int, ...]
"""Where in a document: keys as they are written there (camelCase) and list indexes. Empty: the document as a whole."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One finding: which field, what is wrong with it, and what to write instead."""

    path: FieldPath
    message: str
    remedy: str

    def __str__(self) -> str:
        where = f"{format_path(self.path)}: " if self.path else ""
        return f"{where}{self.message}" + (f"; {self.remedy}" if self.remedy else "")

    def under(self, *prefix: str | int) -> "FieldError":
        """The same finding, seen from a place further out."""
        return FieldError((*prefix, *self.path), self.message, self.remedy)


class InvalidObject(Exception):  # noqa: N818 - named for what it is about
    """A document that is no valid resource. ``errors`` has at least one entry, in the order of the models' fields."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = errors


def format_path(path: FieldPath) -> str:
    """A path as people write it: ``spec.publish.ports[0].port``; keys with dots or slashes in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part and all(character.isalnum() or character in "-_" for character in part):
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text


def closest_match(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, or None when nothing comes near.

    Letter case, hyphens and underscores are disregarded first: ``pool_ref`` and ``poolref`` are ``poolRef``.
    """
    # Only people who mistype pay for this import: it pulls in the regular expressions' and the heap's modules.
    from difflib import get_close_matches  # noqa: PLC0415

    candidates = {_plain(name): name for name in known}
    plain = _plain(word)
    if plain in candidates:
        return candidates[plain]
    matches = get_close_matches(plain, candidates, n=1, cutoff=0.7)
    return candidates[matches[0]] if matches else None


def either_of(words: Iterable[str]) -> str:
    """``a, b or c``."""
    items = list(words)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} or {items[-1]}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A remedy: the likely word when there is one, else the whole choice."""
    names = list(known)
    guess = closest_match(word, names)
    if guess is not None:
        return f"did you mean {guess}?"
    return f"use {either_of(names)}" if names else "remove it"


def _plain(word: str) -> str:
    return word.replace("_", "").replace("-", "").casefold()
