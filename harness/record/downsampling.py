"""What a long run leaves: its samples, fewer of them. Results and pages are made before, of all of them.

The rule (docs/record.md, "Long runs"): a sealed run of more than `MOST` samples keeps of each series, in every interval of a
phase, the first, the lowest, the highest and the last sample, as they were taken (M4: Jugel, Jerzak, Hackenbroich and Markl,
"M4: a visualization-oriented time series data aggregation", PVLDB 7(10), 2014). The interval is the shortest of `INTERVALS_S`
with which no more than `MOST` can be left. Phases that results are averages of, `WHOLE`, keep all. So lines, peaks, counters
and measuring points are what they were; only means and quantiles taken over a load phase would differ.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import duckdb

from harness.record import parts
from harness.record.models import Downsampled, Run

MOST = 1_000_000
"""Samples that a run may leave behind: some 5 MB of Parquet."""
INTERVALS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
WHOLE = ("start", "idle", "point", "trim", "settled", "end")
"""Actions of phases whose samples stay, however long the run was: seconds each, and results are averages of them."""
_OF_A_CELL = 4  # samples of a series and an interval that stay, at most
_TABLE = "samples"
_SERIES = "phase, source, metric, labels"


def downsample(directory: Path, run: Run, save: Callable[[Run], None], *, most: int = MOST) -> bool:
    """Apply the rule to a sealed record; whether it had more than `most`. Raises OSError where the disk refuses.

    `save` writes run.json, which says so before the first sample goes.
    """
    found = parts.parts_of(directory / _TABLE)
    if not found:
        return False
    source = f"(SELECT * FROM {parts.reading(found)} WHERE value IS NOT NULL)"  # what was no number; no reader sees it
    cell = f"SELECT min(t_ns) AS since, max(t_ns) AS until FROM {source} GROUP BY {_SERIES}"
    series = f"SELECT count(*), max(until) - min(since) FROM ({cell})"
    try:
        with duckdb.connect(":memory:") as database:
            (before,) = database.execute(f"SELECT count(*) FROM {source}").fetchall()[0]
            if before <= most:
                return False
            lines, length_ns = database.execute(series).fetchall()[0]
    except duckdb.Error as error:
        raise OSError(str(error)) from error
    interval = interval_s(lines, length_ns / 1e9, most)
    whole = [phase.name for phase in run.phases if phase.action in WHOLE]
    run.downsampled = Downsampled(interval_s=interval, samples_before=before)
    save(run)
    left = f"SELECT * FROM ({kept(source, interval, whole)}) ORDER BY {parts.ORDER[_TABLE]}"
    merged = parts.replace(directory / _TABLE, found, left)
    with duckdb.connect(":memory:") as database:
        (run.downsampled.samples_after,) = database.execute(
            f"SELECT count(*) FROM {parts.reading([merged])}"
        ).fetchall()[0]
    save(run)
    return True


def interval_s(series: int, seconds: float, most: int = MOST) -> int:
    """The shortest interval with which so many series over so long a time leave no more than `most` samples."""
    cells = most / (_OF_A_CELL * max(1, series))
    return next((each for each in INTERVALS_S if seconds / each <= cells), INTERVALS_S[-1])


def kept(source: str, interval: int, whole: Collection[str]) -> str:
    """SQL for the rows that stay, in the columns' order. An infinity is never the lowest or the highest."""
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in whole) or "NULL"
    chosen = f"coalesce(phase IN ({names}), false)"
    return f"""
        SELECT * FROM {source} WHERE {chosen}
        UNION ALL
        SELECT t_ns: sample.t, phase, source, metric, labels, value: sample.v FROM (
            SELECT {_SERIES}, sample: unnest(list_distinct([
                {{t: min(t_ns), v: arg_min(value, t_ns)}},
                {{t: arg_min(t_ns, value) FILTER (isfinite(value)), v: min(value) FILTER (isfinite(value))}},
                {{t: arg_max(t_ns, value) FILTER (isfinite(value)), v: max(value) FILTER (isfinite(value))}},
                {{t: max(t_ns), v: arg_max(value, t_ns)}}]))
            FROM {source} WHERE NOT {chosen} GROUP BY {_SERIES}, t_ns // {interval * 1_000_000_000})
        WHERE sample.t IS NOT NULL"""
