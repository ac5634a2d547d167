"""A long run's record for benchmarks: rows from formulas, written by the code that records runs. Nothing in it was measured.

Who samples what, and how often, is as in a real run of a controller with many series on its `/metrics`: the witnesses of the
harness at their own rates, the rest of the amount the subject's own samples, once a second each; requests and propagation beside.
Parts are as small as a run writes them: one of each table for every two seconds.
"""

from __future__ import annotations

import asyncio
import math
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from harness.core.clock import RunClock
from harness.core.sinks import PropagationRow, RequestRow
from harness.record import owner
from harness.record.models import ExpectedObjects, Outcome, Phase, Run, ScenarioFacts
from harness.record.reader import RunRecord
from harness.record.writer import FLUSH_SECONDS, RecordWriter
from tests.records import CLUSTER, COLLECTORS, MACHINE, MIB, RESOLVED, RUN_ID, STARTED, SUBJECT, VERSIONS, ns

SAMPLES = 5_000_000
SECONDS = 3600
REQUESTS_PER_S = 100
_IDLE_S, _CREATE_S, _FLIP_S, _END_S = 5, 10, 20, 4
_FLIPS_PER_S, _EFFECTS = 1, 10
_BUCKETS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf")
_WITNESSES_PER_S = 72
"""Samples a second of the harness's own witnesses, below."""


@dataclass(frozen=True, slots=True)
class Amount:
    """How much there is in the record."""

    samples: int = SAMPLES
    seconds: int = SECONDS

    @property
    def own_series(self) -> int:
        """Series on the subject's `/metrics`, so that the amount comes about."""
        return max(1, math.ceil(self.samples / self.seconds - _WITNESSES_PER_S))


def build(directory: Path, amount: Amount | None = None) -> RunRecord:
    """Write the record to `directory`, which must not exist yet."""
    amount = amount or Amount()
    return asyncio.run(_build(directory, amount))


async def _build(directory: Path, amount: Amount) -> RunRecord:
    writer = RecordWriter(directory, RunClock())
    phases = _phases(amount.seconds)
    series = list(_own(amount.own_series))
    rng = random.Random(5)
    for phase in phases:
        writer.event("phase", name=phase.name, state="started")
    for second in range(amount.seconds):
        writer.phase = next(phase.name for phase in reversed(phases) if phase.started_ns <= ns(second))
        _witnesses(writer, second)
        for index, (name, labels) in enumerate(series):
            at = ns(second) + 400_000_000 + index
            writer.sample("metrics", name, float(second * (index % 7) + index), labels, at)
        _load(writer, second, amount.seconds, rng)
        if second % FLUSH_SECONDS == 0:
            writer.flush()
    began = time.monotonic()
    await writer.close()
    (directory / "closing-seconds").write_text(f"{time.monotonic() - began}")  # for the benchmark; no part of a record
    if writer.failure is not None:
        raise OSError(writer.failure)
    writer.save_run(facts_of(phases, amount.seconds))
    return RunRecord.open(directory)


def _phases(seconds: int) -> list[Phase]:
    created, flipped = _IDLE_S + _CREATE_S, seconds - _END_S - _FLIP_S
    borders: list[tuple[str, str, int, int, dict[str, Any]]] = [
        ("start", "start", 0, 2, {}),
        ("idle", "idle", 2, _IDLE_S, {}),
        ("create-Secret", "create", _IDLE_S, created, _sent("Secret", _CREATE_S * REQUESTS_PER_S)),
        ("churn-Secret", "churn", created, flipped, _sent("Secret", (flipped - created) * REQUESTS_PER_S)),
        ("flip", "flip", flipped, seconds - _END_S, _sent("Cluster.management.cattle.io", _FLIP_S * _FLIPS_PER_S)),
        ("settled", "settled", seconds - _END_S, seconds - 2, {}),
        ("end", "end", seconds - 2, seconds, {}),
    ]
    return [
        Phase.model_validate({"name": name, "action": action, "started_ns": ns(start), "ended_ns": ns(end), **fields})
        for name, action, start, end, fields in borders
    ]


def _sent(kind: str, count: int) -> dict[str, Any]:
    return {
        "kind": kind,
        "requested": count,
        "done": count,
        "failed": 0,
        "requested_per_s": 100.0,
        "achieved_per_s": 99.9,
    }


def _own(count: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Names and labels of the subject's own series: histograms of work queues and clients, as controllers have them."""
    for index in range(count):
        number, bucket = divmod(index, len(_BUCKETS))
        family = ("workqueue_work_duration_seconds_bucket", "rest_client_request_duration_seconds_bucket")[number % 2]
        yield (
            family,
            {"le": _BUCKETS[bucket], "name": f"controller-{number}", "verb": ("GET", "PATCH", "LIST")[number % 3]},
        )


def _witnesses(writer: RecordWriter, second: int) -> None:
    for tenth in range(10):
        at, grown = ns(second + tenth / 10), 80 + 40 * min(1.0, second / 600) + 3 * math.sin(second + tenth)
        writer.sample("memory", "memory.rss", grown * MIB, t_ns=at)
        writer.sample("memory", "memory.anon", (grown - 21) * MIB, t_ns=at)
        writer.sample("memory", "memory.cgroup", (grown - 14) * MIB, t_ns=at)
        writer.sample("oom", "oom.kills", 0, t_ns=at)
    at = ns(second)
    for source, metric, value in (
        ("memory", "cpu.seconds", 0.7 * second), ("memory", "threads", 9), ("memory", "fds", 31),
        ("memory", "memory.limit", 256 * MIB), ("tasks", "tasks", 60 + second % 7), ("tasks", "loop.lag", 0.002 * (second % 9)),
        ("metrics", "queue.depth", second % 40), ("metrics", "reconciles.total", 90 * second),
        ("metrics", "metrics.series", 1000), ("load", "load.cpu", 0.3 * second), ("load", "load.rss", 57 * MIB),
        ("load", "load.loop_lag", 0.003), ("host", "host.cpu.steal", 0.01 * second), ("host", "host.cpu.busy", 1.5 * second),
        ("host", "overhead.cpu", 0.06 * second), ("host", "overhead.rss", 200 * MIB), ("host", "overhead.loop_lag", 0.004),
        ("apiserver", "apiserver.cpu", 0.5 * second), ("apiserver", "apiserver.rss", 400 * MIB),
        ("apiserver", "controlplane.cpu", 0.6 * second),
    ):  # fmt: skip
        writer.sample(source, metric, value, t_ns=at)
    for coroutine in ("Controller.worker", "Informer.watch", "handle_request"):
        writer.sample("tasks", "tasks", 20 + second % 5, {"coroutine": coroutine}, at)
    for kind in ("Secret", "Cluster.management.cattle.io", "BundleDeployment"):
        writer.sample("latency", "objects", 1000, {"kind": kind}, at)
        writer.sample("latency", "objects.matched", 1000, {"kind": kind}, at)
        labels = {"kind": kind, "subresource": "status", "verb": "patch"}
        writer.sample("audit", "writes.total", 30 * second, labels, at)
        writer.sample("audit", "writes.noop", 10 * second, labels, at)


def _load(writer: RecordWriter, second: int, seconds: int, rng: random.Random) -> None:
    if not _IDLE_S <= second < seconds - _END_S:
        return
    phase, flips = writer.phase, writer.phase == "flip"
    kind, verb = ("Cluster.management.cattle.io", "patch") if flips else ("Secret", "create")
    count = _FLIPS_PER_S if flips else REQUESTS_PER_S
    rows, effects = [], []
    for index in range(count):
        intended = ns(second + index / count)
        done = intended + ns(0.001 + rng.lognormvariate(-5.2, 0.5))
        name = f"{kind.lower()}-{second}-{index}"
        rows.append(RequestRow(phase, 0, 1, intended, intended + 300_000, done, verb, kind, name, 201, None, 4000))
        if flips:
            effects += [
                PropagationRow(
                    "flip", name, intended, intended + 300_000, done, done + ns(rng.random()), "n", f"b-{each}"
                )
                for each in range(_EFFECTS)
            ]
    writer.requests(rows)
    writer.propagation(effects)


def facts_of(phases: list[Phase], seconds: int) -> Run:
    """`run.json` of a sealed run of so many seconds."""
    scenario = ScenarioFacts(
        name="synthetic", path="synthetic.yaml", sha256="0" * 64, arm=None, sets={}, resolved=RESOLVED | {"expect": []}
    )
    return Run.model_validate(
        {
            "run_id": RUN_ID, "state": "sealed", "owner": owner.this_process(), "started_at": STARTED,
            "ended_at": STARTED + timedelta(seconds=seconds), "scenario": scenario, "seed": 5, "profile": None,
            "namespace": f"run-{RUN_ID}", "cluster": CLUSTER, "subject": SUBJECT, "machine": MACHINE, "versions": VERSIONS,
            "collectors": COLLECTORS, "phases": phases, "outcome": Outcome(state="completed"),
            "expected": [ExpectedObjects(kind="Secret", count=1000)],
        }
    )  # fmt: skip


if __name__ == "__main__":
    build(Path(sys.argv[1]), Amount(int(sys.argv[2]), int(sys.argv[3])))
