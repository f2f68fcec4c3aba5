"""Guess what somebody meant to write."""

from collections.abc import Iterable


def closest(word: str, known: Iterable[str]) -> str | None:
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


def choice(words: Iterable[str]) -> str:
    """``a, b or c``."""
    items = list(words)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} or {items[-1]}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A remedy: the likely word when there is one, else the whole choice."""
    names = list(known)
    guess = closest(word, names)
    if guess is not None:
        return f"did you mean {guess}?"
    return f"use {choice(names)}" if names else "remove it"


def _plain(word: str) -> str:
    return word.replace("_", "").replace("-", "").casefold()
