"""The sandbox that templates are rendered in: no Python behind an expression, and no object without end.

Jinja2's own sandbox keeps templates from whatever leads to code. What it lets pass is size:
`9**9**9`, `'x' * 10**10`, loops in loops. Those are mistakes here, told as such.
A template that means to hang still can; whoever writes one may run programs anyway.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from jinja2 import StrictUndefined
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_RENDERED = 2 * 2**20
"""Characters of a rendered object; the API server takes 1.5 MiB at most."""
_MOST_BITS = 4096
_MOST_ROUNDS = 1_000_000
"""Of all loops over `range` in one rendering."""
_WIDTH = re.compile(r"[%:][^%{}\s]*\d{7}")
_WIDTH_GIVEN = re.compile(r"%[^a-zA-Z%]*\*|\{[^{}]*\{")
"""Of a format whose width is one of its arguments."""
_WIDE_METHODS = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs"})
_WIDE_FILTERS = frozenset({"center", "indent", "batch", "slice", "format"})


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2's, with bounds on what an expression may become, and without what differs from run to run."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, finalize: Callable[[object], object]) -> None:
        super().__init__(
            undefined=StrictUndefined,
            autoescape=False,  # the output is YAML, not HTML
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            finalize=finalize,
        )
        self.globals = {}
        self.filters.pop("random")
        self.filters = {name: _bounded(name, function) for name, function in self.filters.items()}

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 # of any value
        """See Jinja2's; what would be too large is refused before it is there."""
        if operator == "%":
            _check_widths("format", left, right if isinstance(right, tuple) else [right])
        elif operator == "*":
            _check_product(left, right)
        elif isinstance(left, int) and isinstance(right, int) and left.bit_length() * abs(right) > _MOST_BITS:
            raise ValueError("a power of more than 1,200 digits")
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401, N805 # as Jinja2's
        """See Jinja2's; methods of text get no width that is larger than an object may be."""
        name = getattr(__obj, "__name__", "")
        if name in _WIDE_METHODS:
            _check_widths(name, getattr(__obj, "__self__", None), [*args, *kwargs.values()])
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:  # noqa: ANN401 # as Jinja2's
        """See Jinja2's; `str.format` gets no width that is larger than an object may be."""
        formatting = super().wrap_str_format(value)
        if formatting is None:
            return None

        def checked(*args: Any, **kwargs: Any) -> str:  # noqa: ANN401 # what is to be formatted
            _check_widths("format", value.__self__, [*args, *kwargs.values()])
            return formatting(*args, **kwargs)

        return checked


def rounds() -> Callable[..., range]:
    """`range` for one rendering: all its loops together have a bound."""
    left = _MOST_ROUNDS

    def bounded(*borders: int) -> range:
        nonlocal left
        found = range(*borders)
        left -= len(found) if abs(found.stop - found.start) < 2**62 else _MOST_ROUNDS
        if left <= 0:
            raise ValueError(f"more than {_MOST_ROUNDS:,} rounds of loops over range")
        return found

    return bounded


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter with its widths checked; others as they are, for Jinja2 marks those that it hands more than arguments."""
    if name not in _WIDE_FILTERS:
        return function

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 # whatever the filter takes and gives
        _check_widths(name, args[0], [*args[1:], *kwargs.values()])
        return function(*args, **kwargs)

    return checked


def _check_widths(name: str, text: object, values: Sequence[object]) -> None:
    """Raises ValueError where a method or filter of that name would make more of `text` than an object may have."""
    large = any(isinstance(value, int) and value > MOST_RENDERED for value in values)
    if name != "format":
        if large:
            raise ValueError(f"a width of more than {MOST_RENDERED}")
    elif isinstance(text, str) and (_WIDTH.search(text) or (large and _WIDTH_GIVEN.search(text))):
        raise ValueError("a width of a million and more")


def _check_product(left: object, right: object) -> None:
    for many, times in ((left, right), (right, left)):
        if (
            isinstance(many, str | bytes | list | tuple)
            and isinstance(times, int)
            and len(many) * times > MOST_RENDERED
        ):
            raise ValueError(f"{len(many)} x {times} is more than an object may have")
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > _MOST_BITS:
        raise ValueError("a product of more than 1,200 digits")
