"""Tasks, writes, requests, objects and reconciles of a whole run against what the subject's switches say there must be."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from harness.controllers.calibrated.truth import Doses
from tests.accuracy import runs
from tests.accuracy.quantiles import nearest_rank
from tests.accuracy.sheet import Row

ITEMS = 500
RATE = "50/s"
_PATCHES = '{"kind":"Item.calibrated.harness.dev","subresource":"status","verb":"patch"}'
_DURATIONS = (
    "SELECT arg_max(value, t_ns) - arg_min(value, t_ns) FROM samples "
    "WHERE metric = 'apiserver.duration' AND labels->>'verb' = ? AND labels->>'le' = '+Inf'"
)


DOSES = Doses(tasks_left=Fraction(1, 10), noop_writes=Fraction(2), extra_writes=Fraction(1, 2))
"""Each reconcile writes 3.5 times, of which 2 change nothing, and each tenth leaves a task."""


async def measure(directory: Path, detail: Callable[[str], None], items: int = ITEMS) -> list[Row]:
    """One run with DOSES."""
    detail(f"counts: a run of {items} Items at {RATE}")
    return compare(await run(directory / "counts", items, RATE), items)


async def run(directory: Path, items: int, rate: str) -> runs.Run:
    """The run to compare."""
    return await runs.run(
        directory,
        items,
        "--set",
        f"rate={rate}",
        tasks_left="1/10",
        noop_writes=2,
        extra_writes="1/2",
        bytes_per_object=0,
    )


def compare(run: runs.Run, items: int) -> list[Row]:
    """Every count against the truth of DOSES, and the stamps of the effects."""
    true = DOSES.total(range(items), items)
    idle = run.record.sql(
        "SELECT quantile_disc(value, 0.5) FROM samples WHERE metric = 'tasks' AND labels = '{}' AND phase = 'idle'"
    )
    patches = run.record.sql(_DURATIONS, ["patch"])[0][0]
    creates = run.record.sql(_DURATIONS, ["create"])[0][0]
    seen = run.record.sql("SELECT count(seen_ns) FROM propagation")[0][0]
    switches = "true by the switches and the number of Items"

    def row(collector: str, quantity: str, true_: float, measured: float, how: str = switches) -> Row:
        return Row(collector, quantity, items, "count", true_, measured, abs(measured - true_), "count", 0, how)

    return [
        row("tasks", "tasks left, by coroutine", true.tasks_left, run.last("tasks", '{"coroutine":"calibrated.left"}')),
        row("tasks", "tasks.settled minus idle", true.tasks_left, run.result("tasks.settled") - idle[0][0]),
        row("audit", "writes.total", true.writes, run.result("writes.total")),
        row("audit", "writes.noop", true.noop_writes, run.result("writes.noop")),
        row("audit", "status patches of Items", true.writes, run.last("writes.total", _PATCHES)),
        row("audit", "writes.conflict", 0, run.result("writes.conflict")),
        row("metrics", "reconciles.total", true.reconciles, run.result("reconciles.total")),
        row("metrics", "the subject's own count of writes", true.writes, run.last("calibrated_truth_writes_total")),
        row("latency", "effects seen", items, seen),
        row("latency", "objects.matched", items, run.last("objects.matched", f'{{"kind":"{runs.KIND}"}}')),
        row("apiserver", "patches timed by the server", true.writes, patches, "its histogram, first to last reading"),
        row("apiserver", "creates timed by the server", items, creates, "its histogram, first to last reading"),
        *_latency(run),
    ]


def _latency(run: runs.Run) -> list[Row]:
    """Each stamp against the subject's own: the effect is between the sending and the answer of its write."""
    written = {
        line["name"]: (line["sent_ns"] - run.origin_ns, line["done_ns"] - run.origin_ns) for line in run.reconciles
    }
    late, early = [], 0
    for name, seen_ns in run.record.sql("SELECT name, seen_ns FROM propagation"):
        sent_ns, done_ns = written[name]
        late.append(max(0, seen_ns - done_ns) / 1e9)
        early += seen_ns < sent_ns
    how = "seen_ns minus the moment at which the subject had the answer to its write; the API server's own delivery is in it"
    events = run.last("watch.events", f'{{"kind":"{runs.KIND}"}}')

    def row(quantity: str, value: float) -> Row:
        return Row(
            "latency", f"{quantity}, real API server", len(late), "seconds", None, None, value, "seconds", None, how
        )

    return [
        row("seen after the write was answered, p50", nearest_rank(late, 0.5)),
        row("seen after the write was answered, p99", nearest_rank(late, 0.99)),
        Row("latency", "seen before the write was sent", int(events), "count", 0, early, early, "count", 0, how),
    ]
