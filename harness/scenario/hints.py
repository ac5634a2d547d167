"""Near-miss suggestions: the second half of an error about a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(word: str, known: Iterable[str], *, title: str) -> str:
    """`did you mean 'count'?` where a known name is near, else the list of them, headed by `title`."""
    names = list(known)
    folded = {name.casefold(): name for name in reversed(names)}
    near = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    if near:
        return f"did you mean {folded[near[0]]!r}?"
    return f"{title}: {', '.join(names) or 'none'}"


def shown(value: object) -> str:
    """A value as the file would show it, cut to a length that keeps an error on one line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
