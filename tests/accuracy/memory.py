"""Bytes per object: runs that hold them against runs that hold none (blanks), in pairs; and memray's peak by line."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.controllers.calibrated.truth import Doses
from tests.accuracy import runs
from tests.accuracy.sheet import Row

ITEMS = 2000
PAIRS = 3
HELD = Doses(seed=11, bytes_per_object=(100, 10240))
MEMRAY_ITEMS = 400
MEMRAY_HELD = Doses(seed=11, bytes_per_object=(1024, 10240))
GOAL = 0.03


NAMES = ("memory.heap.settled", "memory.rss.settled", "memory.anon.settled", "memory.cgroup.settled")


async def measure(
    directory: Path, detail: Callable[[str], None], *, pairs: int = PAIRS, items: int = ITEMS
) -> list[Row]:
    """A subject needs memory for an object beside what it holds on purpose: the blank of each pair takes that out."""
    found: list[dict[str, float]] = []
    for pair in range(pairs):
        made: dict[str, runs.Run] = {}
        for held in ("0", "100..10KiB") if pair % 2 == 0 else ("100..10KiB", "0"):  # whatever drifts hits both alike
            detail(f"memory: pair {pair + 1} of {pairs}, {held} bytes per Item")
            place = directory / f"memory-{pair}-{'blank' if held == '0' else 'held'}"
            made[held] = await runs.run(place, items, bytes_per_object=held, seed=HELD.seed)
        found.append(per_object(made["0"], made["100..10KiB"], items))
    return rows(found, items)


def per_object(blank: runs.Run, held: runs.Run, items: int) -> dict[str, float]:
    """By how many bytes per Item the run that holds is above its blank, by metric."""
    return {name: (held.result(name) - blank.result(name)) / items for name in NAMES}


def rows(found: Sequence[Mapping[str, float]], items: int) -> list[Row]:
    """The median over the pairs, with the error of the worst."""
    true = HELD.total(range(items), items).held_bytes / items
    how = (
        f"{len(found)} pairs of runs of {items:,} Items, one holding 100 B to 10 KiB per Item and one none: the difference per "
        "Item, median; the error is that of the worst pair"
    )
    return [
        Row(
            "tasks" if name == "memory.heap.settled" else "memory", f"bytes per object, {name}", items, "bytes", true,
            statistics.median(pair[name] for pair in found), max(abs(pair[name] / true - 1) for pair in found), "ratio",
            GOAL if name == "memory.heap.settled" else None, how,
        )
        for name in NAMES
    ]  # fmt: skip


async def memray(directory: Path, detail: Callable[[str], None], items: int = MEMRAY_ITEMS) -> list[Row]:
    """The line that makes what is held, in memray's peak, against the sum of what is held."""
    detail(f"memray: a run of {items} Items under memray")
    run = await runs.run(
        directory / "memray", items, "--memray", "launch", bytes_per_object="1KiB..10KiB", seed=MEMRAY_HELD.seed,
        verdict="inconclusive",  # expectations about kills and memory are not judged under memray
    )  # fmt: skip
    true = MEMRAY_HELD.total(range(items), items).held_bytes
    (summary,) = run.record.events("memray")
    sites = [
        site
        for site in summary["top"]
        if site["file"].endswith("calibrated/truth.py") and site["function"] == "content"
    ]
    measured = sum(site["bytes"] for site in sites)
    how = (
        "bytes of the site `content` at the highest point, by memray; a bytearray asks for one byte more than it holds"
    )
    return [
        Row(
            "memray",
            "bytes held, by line",
            items,
            "bytes",
            true,
            measured,
            abs(measured / true - 1),
            "ratio",
            GOAL,
            how,
        )
    ]
