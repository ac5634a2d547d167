"""Inputs that are nearly right: what is valid, with a few things in it changed. Noise alone ends at the first line."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

HOSTILE = ("\x1b[2J", "\x00", "\u202e", "\n", "\u2028", "é", "<script>", "::error::")
"""Text that steers terminals, pages and logs."""

_NUMBERS = (
    0,
    1,
    -1,
    7,
    2**31,
    2**63,
    -(2**63) - 1,
    2**200,
    1.5,
    -0.0,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
)

scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(_NUMBERS),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from((*HOSTILE, "1" * 5000, "", "v1", "2026-11-22T09:30:15Z", "2026-11-22T09:30:15", "Secret")),
)
"""What a value may be replaced by."""
plain: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes], words: Sequence[bytes] = ()) -> bytes:
    """One of the seeds with up to five cuts, drops, insertions, flips and copies; now and then anything at all."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    data = draw(st.sampled_from(tuple(seeds)))
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 5)):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + data[at + draw(st.integers(1, 40)) :]
            case 2:
                data = data[:at] + draw(st.binary(min_size=1, max_size=12)) + data[at:]
            case 3 if words:
                data = data[:at] + draw(st.sampled_from(tuple(words))) + data[at:]
            case 4:
                start, length = draw(st.integers(0, len(data))), draw(st.integers(1, 60))
                data = data[:at] + data[start : start + length] + data[at:]
            case _:
                data = data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]
    return data


def texts(seeds: Sequence[str], words: Sequence[str] = ()) -> st.SearchStrategy[str]:
    """The same of text; what is no UTF-8 any more is replaced."""
    encoded = [seed.encode() for seed in seeds]
    return mutated(encoded, [word.encode() for word in words]).map(lambda data: data.decode(errors="replace"))


@st.composite
def altered(draw: st.DrawFn, documents: Sequence[Any], most: int = 4) -> Any:  # JSON
    """One of the documents with some of its values replaced, removed, added or repeated."""
    document = copy.deepcopy(draw(st.sampled_from(tuple(documents))))
    for _ in range(draw(st.integers(0, most))):
        holder, key = _place(draw, document)
        if holder is None:
            return draw(plain)
        match draw(st.integers(0, 4)):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[draw(st.text(max_size=10))] = draw(plain)
            case 2 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            case 3:
                other, there = _place(draw, document)
                if other is not None:
                    holder[key] = copy.deepcopy(other[there])
            case _:
                holder[key] = draw(plain)
    return document


def _place(draw: st.DrawFn, document: Any) -> tuple[Any, Any]:  # JSON
    """A mapping or list somewhere in the document and one of its keys; nothing where there is none."""
    holder, key = None, None
    here = document
    while isinstance(here, dict | list) and here:
        holder = here
        key = draw(st.sampled_from(sorted(here, key=str) if isinstance(here, dict) else range(len(here))))
        here = here[key]
        if draw(st.integers(0, 3)) == 0:
            break
    return holder, key


def as_json(document: object) -> bytes:
    """As a file or a line holds it; Python's own NaN and Infinity too, which others do not write."""
    return json.dumps(document, default=str).encode()
