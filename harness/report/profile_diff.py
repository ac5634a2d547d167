"""A comparison of memory profiles: as a document, and as one self-contained page with difference flame graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.analysis.profile_diff import BY, Change, Diff, Row
from harness.core.stacks import Frame, Stack
from harness.core.units import Dimension, format_value
from harness.record.profile_models import Estimate, Place, ProfileDiff
from harness.report import html
from harness.report.figures import Chart, Timeline, label
from harness.report.results import clean
from harness.report.tables import Table

MOST_ROWS = 50
_NODES = 800
_LEAST_SHARE = 0.002
_DEEPEST = 40
_CALLERS = 12
_TITLES = {"site": "By call site", "function": "By function", "file": "By file", "package": "By package"}
_GREW = ("--grew1", "--grew2", "--grew3")
_SHRANK = ("--shrank1", "--shrank2", "--shrank3")
_STEPS = (0.02, 0.25)
"""Shares of the larger side at which a colour becomes stronger."""


def write(diff: Diff, path: Path) -> Path:
    """Write the page, whole or not at all. Raises EnvironmentFault where it cannot be written."""
    return html.save(path, lambda: render(diff))


def render(diff: Diff) -> str:
    """The page as text: it needs nothing beside it, and no network."""
    drawn = charts(diff)
    return html.assemble(
        "profile_diff.html.j2", Timeline(1.0, (), ()), drawn,
        diff=diff, headline=headline(diff), drawn=drawn, tables=[rows(diff, by) for by in BY],
        kind="memray" if diff.kind == "memray" else "Go heap",
    )  # fmt: skip


def document(diff: Diff) -> ProfileDiff:
    """All of it, as `harness profile diff --json` prints it."""
    rows = {by: [_place(row) for row in diff.rows[by]] for by in BY}
    return ProfileDiff(
        kind=diff.kind, moment=diff.moment, before=list(diff.before), after=list(diff.after), interval=diff.interval,
        bytes=_estimate(diff.bytes), allocations=_estimate(diff.allocations), site=rows["site"], function=rows["function"],
        file=rows["file"], package=rows["package"],
    )  # fmt: skip


def _place(row: Row) -> Place:
    return Place(
        name=row.name, package=row.package, function=row.function, file=row.file, line=row.line, share=row.share,
        bytes=_estimate(row.bytes), allocations=_estimate(row.allocations),
        callers=[frame.text for frame in row.callers[:_CALLERS]],
    )  # fmt: skip


def _estimate(change: Change) -> Estimate:
    return Estimate(
        before=change.before, after=change.after, difference=change.difference, low=change.low, high=change.high,
        certain=change.certain,
    )  # fmt: skip


def headline(diff: Diff) -> str:
    """One sentence: what was held before and after, and who grew most."""
    held = f"{_bytes(diff.bytes.before)} before, {_bytes(diff.bytes.after)} after: {_signed(diff.bytes)}"
    grown = [row for row in diff.rows["function"] if row.bytes.difference > 0]
    if not grown:
        return f"{held}. No function holds more than before."
    first = grown[0]
    share = "" if first.share is None else f", {first.share:.0%} of the growth"
    return f"{held}. {clean(first.name)} grew most: {_signed(first.bytes)}{share}."


def rows(diff: Diff, by: str, most: int = MOST_ROWS) -> Table:
    """What changed, the largest changes first, as text."""
    found = sorted(diff.rows[by], key=lambda row: -abs(row.bytes.difference))[:most]  # type: ignore[index]
    shown = sorted((row for row in found if row.bytes.difference), key=lambda row: -row.bytes.difference)
    cells = [
        [
            format_value(row.bytes.before, "bytes"), format_value(row.bytes.after, "bytes"), _signed(row.bytes),
            _interval(row.bytes, "bytes"), "" if row.share is None else f"{row.share:.1%}",
            f"{row.allocations.before:,.0f}", f"{row.allocations.after:,.0f}", f"{row.allocations.difference:+,.0f}",
            clean(row.name), clean(" ← ".join(frame.function for frame in row.callers[1:5])),
        ]
        for row in shown
    ]  # fmt: skip
    headers = [
        "before", "after", "difference", "95 % interval", "share of growth", "allocations before", "after", "difference", "where",
        "called from",
    ]  # fmt: skip
    return Table(_TITLES[by], headers, cells, (0, 1, 2, 3, 4, 5, 6, 7), diff.interval or "")


def _bytes(value: float) -> str:
    return format_value(value, "bytes")


def _signed(change: Change) -> str:
    sign = "+" if change.difference > 0 else ""
    return f"{sign}{_bytes(change.difference)}"


def _interval(change: Change, dimension: Dimension) -> str:
    if change.low is None or change.high is None:
        return "–"
    text = f"{format_value(change.low, dimension)} to {format_value(change.high, dimension)}"
    return text if change.certain else f"{text}, may be noise"


def charts(diff: Diff) -> list[Chart]:
    """What grew, by stack; and all that is held after, coloured by what became of it."""
    return [
        _icicle(
            "grown", "What grew, by call stack",
            "A box is as wide as the bytes that the stacks below it hold more than before. Click a box to zoom.",
            {stack: (was, now) for stack, (was, now) in diff.stacks.items() if now > was}, growth=True,
        ),
        _icicle(
            "after", "All that is held after, coloured by the difference",
            "A box is as wide as the bytes held after; red grew, blue shrank, the stronger the more of itself.",
            diff.stacks, growth=False,
        ),
    ]  # fmt: skip


def _icicle(
    ident: str, title: str, caption: str, stacks: Mapping[Stack, tuple[float, float]], *, growth: bool
) -> Chart:
    was: dict[tuple[Frame, ...], float] = {}
    now: dict[tuple[Frame, ...], float] = {}
    width: Counter[tuple[Frame, ...]] = Counter()
    total = 0
    for stack, (before, after) in stacks.items():
        outermost = tuple(reversed(stack))[:_DEEPEST]
        wide = round(after - before if growth else after)  # whole, or sums of boxes differ from their parents
        total += wide
        for depth in range(1, len(outermost) + 1):
            node = outermost[:depth]
            was[node] = was.get(node, 0.0) + before
            now[node] = now.get(node, 0.0) + after
            width[node] += wide
    if total <= 0:
        return Chart(ident, title, missing="Nothing.", wide=True)
    ordered = sorted(width.items(), key=lambda item: (-item[1], len(item[0]), item[0]))
    shown = {node: wide for node, wide in ordered[:_NODES] if wide >= _LEAST_SHARE * total}
    ids = {node: str(number) for number, node in enumerate(shown, 1)}
    hidden = len(width) - len(shown)
    left_out = f" {hidden:,} boxes too narrow to see are left out." if hidden else ""
    trace = {
        "type": "icicle", "branchvalues": "total", "ids": ["0", *ids.values()],
        "labels": ["all", *(label(clean(node[-1].function)) for node in shown)],
        "parents": ["", *(ids.get(node[:-1], "0") for node in shown)],
        "values": [total, *shown.values()],
        "text": ["", *(_hover(node[-1], was[node], now[node]) for node in shown)],
        "marker": {
            "line": {"color": "--panel", "width": 1},
            "colors": ["--same", *(_color(was[node], now[node]) for node in shown)],
        },
        "tiling": {"orientation": "v"}, "pathbar": {"visible": False}, "textinfo": "label",
        "hovertemplate": "%{label}<br>%{text}<extra></extra>",
    }  # fmt: skip
    depth = max((len(node) for node in shown), default=0) + 1
    height = min(900, max(200, 24 * depth + 20))
    return Chart(ident, title, caption + left_out, [trace], height=height, wide=True)


def _hover(frame: Frame, was: float, now: float) -> str:
    place = f"{frame.file}:{frame.line}" if frame.file else ""
    change = Change(was, now)
    return label(clean(f"{place}  {_bytes(was)} before, {_bytes(now)} after, {_signed(change)}"))


def _color(was: float, now: float) -> str:
    larger = max(was, now)
    share = (now - was) / larger if larger else 0.0
    if abs(share) < _STEPS[0]:
        return "--same"
    palette: Sequence[str] = _GREW if share > 0 else _SHRANK
    return palette[2 if abs(share) > 0.75 else 1 if abs(share) > _STEPS[1] else 0]
