"""What profilers left in the record: memray's flame graphs and allocation sites, sampled CPU stacks."""

from __future__ import annotations

import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.core.units import format_value
from harness.record.reader import RunRecord
from harness.report.figures import Chart, label
from harness.report.results import clean
from harness.report.tables import Table

_SITES = 20
_FUNCTIONS = 20
_NODES = 600  # boxes of the icicle chart
_LEAST_SHARE = 0.003  # of all samples; a narrower box cannot be seen
_DEEPEST = 40
_CALLERS = 4
_INSTALLED = re.compile(r"(?<![^\s(])/\S*/(?:site-packages|python3\.\d+)/")
_PAGE = re.compile(r"https?://[\w.:\[\]-]+(/[^\s<>\"'`]*)?")
BLACK_BOX = "oom.html"
_SHADES = ("--f1", "--f2", "--f3", "--f4")


@dataclass(frozen=True, slots=True)
class Link:
    """A file of the record that the page links to, relative to the page."""

    href: str
    text: str
    size: str


@dataclass(frozen=True, slots=True)
class Stacks:
    """Folded stacks: samples by stack from the outermost frame."""

    total: int
    by_stack: Mapping[tuple[str, ...], int]


def flame_graphs(record: RunRecord, page: Path) -> list[Link]:
    """Memray's own pages, where they are in the record."""
    names = {
        "flamegraph": "Flame graph of the memory at its peak",
        "flamegraph_at_kill": "Flame graph of the memory at the end",
    }
    return [
        _link(record.path / str(event[key]), page, text + _in_window(event))
        for event in record.events("memray")
        for key, text in names.items()
        if event.get(key) and _inside(record.path, str(event[key]))
    ]


def _in_window(event: Mapping[str, Any]) -> str:
    """Which window a capture is of, where it is of one."""
    return f", window {clean(event['window'])}" if event.get("window") else ""


def black_box(record: RunRecord, page: Path) -> Link | None:
    """The page about a death for memory, where the record has one."""
    path = record.path / BLACK_BOX
    return _link(path, page, "What it was holding when it died") if path.is_file() else None


def _inside(directory: Path, name: str) -> bool:
    """Whether `name` is a file of the record: an event may not make the page link to anything else."""
    path = (directory / name).resolve()
    return path.is_relative_to(directory.resolve()) and path.is_file()


def files(record: RunRecord, page: Path) -> list[Link]:
    """Every file in profiles/, pages first."""
    directory = record.path / "profiles"
    found = [path for path in directory.iterdir() if path.is_file()] if directory.is_dir() else []
    ordered = sorted(found, key=lambda path: (path.suffix != ".html", path.name))
    return [_link(path, page, clean(path.name)) for path in ordered]


def _link(path: Path, page: Path, text: str) -> Link:
    return Link(quote(os.path.relpath(path, page.parent)), text, format_value(path.stat().st_size, "bytes"))


def allocation_sites(record: RunRecord) -> list[Table]:
    """For each `memray` event, what held the memory at its peak and at the end."""
    found = []
    for event in record.events("memray"):
        for key, total, when in (("top", "peak_bytes", "at its peak"), ("left", "left_bytes", "at the end")):
            rows = [row for row in event[key] if isinstance(row, dict)] if isinstance(event.get(key), list) else []
            if rows and not (key == "left" and rows == event.get("top")):  # a kill at the peak leaves the same picture
                found.append(_sites(rows[:_SITES], float(event.get(total) or 0), when + _in_window(event)))
    return found


def _sites(rows: Sequence[Mapping[str, Any]], total: float, when: str) -> Table:
    cells = []
    for row in rows:
        held = float(row.get("bytes") or 0)
        stack = row["stack"][1:] if isinstance(row.get("stack"), list) else []
        cells.append(
            [
                format_value(held, "bytes"), f"{held / total:.0%}" if total else "", f"{int(row.get('allocations') or 0):,}",
                clean(row.get("function", "?")), f"{short_path(str(row.get('file', '')))}:{row.get('line', '')}",
                called_from(stack),
            ]
        )  # fmt: skip
    of = f", {format_value(total, 'bytes')} in all" if total else ""
    headers = ["held", "share", "allocations", "function", "place", "called from"]
    return Table(
        f"What held the memory {when}{of}", headers, cells, (0, 1, 2), "By memray: the innermost Python frame."
    )


def called_from(stack: Sequence[object]) -> str:
    """The callers next to an allocation, and where these are all installed packages the nearest that is not: the reader's own."""
    frames = [str(frame) for frame in stack if "<frozen " not in str(frame)]  # the import system's own frames
    own = next((number for number, frame in enumerate(frames) if not _INSTALLED.search(frame) and "(<" not in frame), 0)
    shown = [short_path(frame) for frame in frames[:_CALLERS]]
    if own >= _CALLERS:
        shown += [*(["…"] if own > _CALLERS else []), short_path(frames[own])]
    return " ← ".join(shown)


def short_path(text: str) -> str:
    """A path without what only says where Python is installed."""
    return _INSTALLED.sub("", clean(text))


def _read_stacks(record: RunRecord, name: str) -> Stacks | None:
    """The stacks in profiles/NAME.folded (`outer;inner COUNT` a line); None where there are none."""
    path = record.path / "profiles" / f"{name}.folded"
    if not path.is_file():
        return None
    found: Counter[tuple[str, ...]] = Counter()
    with path.open(errors="replace") as lines:
        for line in lines:
            stack, _, count = line.rstrip("\n").rpartition(" ")
            if stack and count.isascii() and count.isdigit():  # a kill may have cut the last line short
                found[tuple(stack.split(";"))] += int(count)
    return Stacks(found.total(), found) if found.total() else None


def hottest(stacks: Stacks) -> Table:
    """Functions by the samples in which they themselves ran."""
    own: Counter[str] = Counter()
    with_callees: Counter[str] = Counter()
    for frames, count in stacks.by_stack.items():
        own[frames[-1]] += count
        for frame in set(frames):
            with_callees[frame] += count
    rows = [
        [short_path(name), f"{count / stacks.total:.1%}", f"{with_callees[name] / stacks.total:.1%}"]
        for name, count in own.most_common(_FUNCTIONS)
    ]
    return Table("Hottest functions by CPU", ["function", "itself", "with what it calls"], rows, (1, 2))


_KINDS = {
    "cpu": ("cpu-stacks", "CPU by call stack", "CPU time", "samples"),
    "memory": ("memory-stacks", "Memory in use by call stack, newest snapshot", "the bytes in use", "bytes"),
    "allocs": ("allocs-stacks", "Memory allocated by call stack", "the bytes allocated", "bytes"),
    "goroutines": ("goroutine-stacks", "Goroutines by call stack, newest snapshot", "the goroutines", "goroutines"),
}
"""By the name of the folded stacks: of the chart its id and title, what a box is a share of, and what is counted."""


def read_all_stacks(record: RunRecord) -> dict[str, Stacks]:
    """Those of each kind of profile that was kept, by kind."""
    found = ((kind, _read_stacks(record, kind)) for kind in _KINDS)
    return {kind: stacks for kind, stacks in found if stacks is not None}


def servers(record: RunRecord) -> list[Link]:
    """The profiles on a Pyroscope server, where they were sent to one."""
    return [
        Link(str(url), f"{clean(kind)} on {clean(event.get('server', ''))}", "Pyroscope")
        for event in record.events("pyroscope")
        for kind, url in (event.get("links") or {}).items()
        if _PAGE.fullmatch(str(url))
    ]


def icicle(stacks: Stacks, kind: str) -> Chart:
    """The stacks as boxes: wider is more."""
    ident, title, share, counted = _KINDS[kind]
    nodes: Counter[tuple[str, ...]] = Counter()
    for frames, count in stacks.by_stack.items():
        for depth in range(1, min(len(frames), _DEEPEST) + 1):
            nodes[frames[:depth]] += count
    shown = dict(_visible(nodes, stacks.total))
    ids = {stack: str(number) for number, stack in enumerate(shown, 1)}
    hidden = len(nodes) - len(shown)
    left_out = f" {hidden:,} boxes too narrow or too deep to see are left out." if hidden else ""
    trace = {
        "type": "icicle",
        "branchvalues": "total",
        "ids": ["0", *ids.values()],
        "labels": ["all", *(label(short_path(stack[-1])) for stack in shown)],
        "parents": ["", *(ids.get(stack[:-1], "0") for stack in shown)],
        "values": [stacks.total, *shown.values()],
        "marker": {
            "line": {"color": "--panel", "width": 1},
            "colors": ["--f1", *(_SHADES[zlib.crc32(stack[-1].encode()) % len(_SHADES)] for stack in shown)],
        },
        "tiling": {"orientation": "v"},
        "pathbar": {"visible": False},
        "hovertemplate": f"%{{label}}<br>%{{percentRoot:.1%}} of all {counted}<extra></extra>",
    }
    depth = max(len(stack) for stack in shown) + 1
    return Chart(
        ident, title,
        f"Callers above, what they call below; a box is as wide as its share of {share}. Click a box to zoom.{left_out}",
        [trace], height=min(760, max(200, 24 * depth + 20)), wide=True,
    )  # fmt: skip


def _visible(nodes: Counter[tuple[str, ...]], total: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """The widest boxes; a parent is never narrower than its child, so with ties by depth none loses its parent."""
    ordered = sorted(nodes.items(), key=lambda item: (-item[1], len(item[0]), item[0]))
    return ((stack, count) for stack, count in ordered[:_NODES] if count >= _LEAST_SHARE * total)
