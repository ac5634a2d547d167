"""Which rows of a list are shown, in which order, on which page: pure functions of rows and of an address's query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

PAGE_SIZE = 100
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class View(Generic[_Row]):
    """One page of a list."""

    rows: Sequence[_Row]
    """Those of this page."""
    found: int
    """How many fit the filter."""
    all: int
    sort: str
    descending: bool
    page: int
    pages: int
    filters: Mapping[str, str]

    def address(self, **changes: object) -> str:
        """The query of this view with changes; another order or filter begins at the first page."""
        query: dict[str, object] = {**self.filters, "sort": self.sort, "order": "desc" if self.descending else "asc"}
        query |= changes
        return "?" + urlencode({name: value for name, value in query.items() if value not in ("", None)})

    def sorted_by(self, column: str) -> str:
        """The query that sorts by a column; by the present one, the other way round."""
        descending = not self.descending if column == self.sort else column in _LARGEST_FIRST
        return self.address(sort=column, order="desc" if descending else "asc")

    def aria(self, column: str) -> str:
        """The column's `aria-sort`."""
        return "none" if column != self.sort else "descending" if self.descending else "ascending"


_LARGEST_FIRST = ("started_at", "seconds", "peak_bytes", "kills", "runs")


def view(rows: Sequence[_Row], query: Mapping[str, str], *, exact: Sequence[str], columns: Sequence[str]) -> View[_Row]:
    """The page that `query` asks for. What it asks wrongly counts as not asked: an address is no program.

    `q` is sought in all texts of a row, each word of it; `exact` are fields whose value must be equal.
    """
    words = query.get("q", "").casefold().split()
    wanted = {name: query[name] for name in exact if query.get(name)}
    chosen = [
        row
        for row in rows
        if all(getattr(row, name) == value for name, value in wanted.items())
        and (not words or all(word in _text(row) for word in words))
    ]
    sort = query.get("sort", "")
    sort = sort if sort in columns else "started_at"
    descending = query.get("order", "desc" if sort in _LARGEST_FIRST else "asc") != "asc"
    known = [row for row in chosen if getattr(row, sort) is not None]
    unknown = [row for row in chosen if getattr(row, sort) is None]  # at the end, whichever the order
    ordered = sorted(known, key=lambda row: _key(row, sort), reverse=descending) + unknown
    pages = max(1, -(-len(ordered) // PAGE_SIZE))
    page = min(max(_number(query.get("page", "1")), 1), pages)
    shown = ordered[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    return View(shown, len(ordered), len(rows), sort, descending, page, pages, {"q": query.get("q", ""), **wanted})


def _text(row: object) -> str:
    values = [getattr(row, item.name) for item in fields(row) if not item.name.startswith("_")]  # type: ignore[arg-type] # rows are dataclasses
    return " ".join(value for value in values if isinstance(value, str)).casefold()


def _key(row: object, column: str) -> Any:  # noqa: ANN401 # texts, numbers and times, each with its like
    value = getattr(row, column)
    return value.casefold() if isinstance(value, str) else value


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 7 else 1
