"""Synthetic run records for unit tests of `analysis` and `report`. Nothing here was measured.

`RecordBuilder` writes a record's files from points given in seconds; `passing` and `oom_killed` are two whole records
with the series, requests, propagations and events that a run of `smoke` leaves, made from formulas with a fixed seed.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.core import metrics
from harness.core.sinks import PropagationRow, RequestRow
from harness.record import owner
from harness.record.models import (
    CollectorFacts,
    EndingFacts,
    ExpectationResult,
    ExpectedObjects,
    Machine,
    Outcome,
    Phase,
    Result,
    Run,
    ScenarioFacts,
    SubjectFacts,
    Verdict,
    VerdictName,
)
from harness.record.reader import RunRecord
from harness.record.tables import TABLES, PartWriter

RUN_ID = "20261122-093015-k4x7q"
MIB = 2**20
STARTED = datetime(2026, 11, 22, 9, 30, 15, tzinfo=UTC)
Points = Iterable[tuple[float, float]]


def ns(seconds: float) -> int:
    """Seconds of run time as the record keeps them."""
    return round(seconds * 1e9)


class RecordBuilder:
    """Gathers rows in memory and writes them as a record; times are seconds since the run's start."""

    def __init__(
        self, directory: Path, *, run_id: str = RUN_ID, scenario: str = "smoke", arm: str | None = None
    ) -> None:
        self.directory = directory
        self.run_id = run_id
        self.scenario = scenario
        self.arm = arm
        self.phases: list[Phase] = []
        self._samples: list[tuple[int, str, str, str, float]] = []
        self._requests: list[RequestRow] = []
        self._propagation: list[PropagationRow] = []
        self._events: list[dict[str, Any]] = []

    def phase(self, name: str, action: str, start: float, end: float | None, **fields: Any) -> None:
        """One phase; load phases take requested, done, failed, requested_per_s, achieved_per_s."""
        self.phases.append(
            Phase.model_validate(
                {"name": name, "action": action, "started_ns": ns(start), "ended_ns": None if end is None else ns(end)}
                | fields
            )
        )

    def samples(self, source: str, metric: str, points: Points, labels: Mapping[str, str] | None = None) -> None:
        """A series of (t, value)."""
        encoded = json.dumps(labels or {}, sort_keys=True, separators=(",", ":"))
        self._samples.extend((ns(t), source, metric, encoded, float(value)) for t, value in points)

    def request(
        self, phase: str, intended: float, done: float, *, sent: float | None = None, verb: str = "create",
        kind: str = "Secret", name: str = "secret-k4x7q-00000", status: int = 201, error: str | None = None,
        attempt: int = 1, size: int = 4000,
    ) -> None:  # fmt: skip
        """One request of the load."""
        self._requests.append(
            RequestRow(
                phase, 0, attempt, ns(intended), ns(intended if sent is None else sent), ns(done), verb, kind, name, status,
                error, size,
            )
        )  # fmt: skip

    def propagate(
        self, probe: str, cause: str, intended: float, seen: float | None, *, name: str = "repo-k4x7q-00000-b00000",
        namespace: str = "cluster-k4x7q-00000",
    ) -> None:  # fmt: skip
        """One cause and one object it concerns; `seen` None is an effect that never came."""
        self._propagation.append(
            PropagationRow(
                probe, cause, ns(intended), ns(intended + 0.001), ns(intended + 0.004), None if seen is None else ns(seen),
                namespace, name,
            )
        )  # fmt: skip

    def event(self, type_: str, t: float, **fields: object) -> None:
        """One line of events.jsonl."""
        self._events.append({"t_ns": ns(t), "phase": self._phase_at(ns(t)), "type": type_, **fields})

    def _phase_at(self, t_ns: int) -> str:
        started = [phase for phase in self.phases if phase.started_ns <= t_ns]
        return started[-1].name if started else "start"

    def write(self, **overrides: Any) -> RunRecord:
        """Write the record and open it; `overrides` replace fields of run.json."""
        (self.directory / "profiles").mkdir(parents=True, exist_ok=True)
        rows: dict[str, Sequence[Sequence[Any]]] = {
            "samples": [
                (t, self._phase_at(t), source, metric, labels, v) for t, source, metric, labels, v in self._samples
            ],
            "requests": self._requests,
            "propagation": self._propagation,
        }
        for table in TABLES:
            if rows[table]:  # a writer takes 0.1 s, and many records have facts alone
                parts = PartWriter(self.directory, table)
                parts.write(rows[table])
                parts.close()
        with (self.directory / "events.jsonl").open("w") as events:
            events.writelines(json.dumps(event) + "\n" for event in sorted(self._events, key=lambda e: int(e["t_ns"])))
        end = max((phase.ended_ns or phase.started_ns for phase in self.phases), default=0)
        run = Run.model_validate(
            {
                "run_id": self.run_id, "state": "sealed", "owner": owner.this_process(), "started_at": STARTED,
                "ended_at": STARTED + timedelta(seconds=end / 1e9), "scenario": self._scenario(), "seed": 7,
                "profile": None, "namespace": f"run-{self.run_id}", "cluster": CLUSTER, "subject": SUBJECT,
                "machine": MACHINE, "versions": VERSIONS, "collectors": COLLECTORS, "phases": self.phases,
                "outcome": Outcome(state="completed"),
            }
            | overrides
        )  # fmt: skip
        (self.directory / "run.json").write_text(run.model_dump_json(by_alias=True, indent=1))
        return RunRecord.open(self.directory)

    def _scenario(self) -> ScenarioFacts:
        return ScenarioFacts(
            name=self.scenario, path=f"{self.scenario}.yaml", sha256="0" * 64, arm=self.arm, sets={}, resolved=RESOLVED
        )


CLUSTER: dict[str, Any] = {"provider": "embedded", "version": "v1.36.3", "audit": True}
SUBJECT = SubjectFacts(
    kind="command", command=["python", "-m", "harness.controllers.fleet", "--workers", "50"], controller="fleet",
    options={"workers": 50, "status_patch": "always"}, environment={"PYTHONMALLOC": "pymalloc"}, runtime="python",
    runtime_version="3.11.2", memory_limit_bytes=256 * MIB, cgroup_version=1, user=f"harness:subject:{RUN_ID}",
)  # fmt: skip
MACHINE = Machine(
    cpu_model="Synthetic CPU @ 2.00GHz", cpus=2, memory_bytes=24 * 2**30, kernel="6.18.0", os="Debian GNU/Linux 12",
    arch="x86_64", fingerprint="5f1c0a9b2d3e4f60",
)  # fmt: skip
VERSIONS = {"harness": "0.1.0", "python": "3.11.2", "kubernetes": "v1.36.3", "locust": "2.0", "memray": "1.20.0"}
COLLECTORS = [
    CollectorFacts(name=name, state="on") for name in ("memory", "oom", "tasks", "audit", "latency", "load", "host")
] + [CollectorFacts(name="metrics", state="failed", reason="no metrics URL in the scenario")]
RESOLVED: dict[str, Any] = {
    "name": "smoke",
    "summary": "Secrets, GitRepos and label flips against the reference controller.",
    "seed": 7,
    "subject": {"controller": "fleet", "options": {"workers": 50}, "memory_limit": "256Mi"},
    "load": [
        {"create": {"kind": "Secret", "count": 2000, "rate": "200/s"}},
        {"create": {"kind": "GitRepo", "count": 30, "bundles": 10, "matching": 4}},
        {"settle": {"quiet_for": "3s", "timeout": "10m"}},
        {
            "flip": {"kind": "Cluster.management.cattle.io", "count": 20, "labels": {"env": "prod"}},
            "probes": [
                {"name": "flip", "until": "BundleDeployment"},
                {"name": "deployed", "until": {"kind": "BundleDeployment", "condition": "Ready"}},
            ],
        },
    ],
    "expect": ["oom.kills == 0", "completeness.BundleDeployment == 1", "latency.flip.p99 < 5s"],
}
EXPECTED = [ExpectedObjects(kind="Secret", count=2000), ExpectedObjects(kind="BundleDeployment", count=800)]


def _steps(start: float, end: float, every: float) -> list[float]:
    return [start + i * every for i in range(int((end - start) / every) + 1)]


def _grow(t: float, marks: Sequence[tuple[float, float]]) -> float:
    """The value at t of a line through marks."""
    for (t0, v0), (t1, v1) in itertools.pairwise(marks):
        if t <= t1:
            return v0 + (v1 - v0) * max(0.0, t - t0) / (t1 - t0)
    return marks[-1][1]


def _memory(record: RecordBuilder, marks: Sequence[tuple[float, float]], end: float, limit: float, seed: int) -> None:
    rng = random.Random(seed)
    rss = [(t, (_grow(t, marks) + rng.uniform(0, 1.5)) * MIB) for t in _steps(1.0, end, 0.1)]
    record.samples("memory", "memory.rss", rss)
    record.samples("memory", "memory.anon", [(t, v - 21 * MIB) for t, v in rss])
    record.samples("memory", "memory.cgroup", [(t, v - 14 * MIB) for t, v in rss])
    record.samples("memory", "memory.limit", [(t, limit * MIB) for t, _ in rss[::10]])
    record.samples("memory", "cpu.seconds", [(t, 0.8 * t + 0.1 * math.sin(t)) for t, _ in rss[::5]])
    record.samples("memory", "threads", [(t, 9 + (t > 6)) for t, _ in rss[::5]])
    record.samples("memory", "fds", [(t, 31) for t, _ in rss[::5]])


def _host(record: RecordBuilder, end: float) -> None:
    for t in _steps(1, end, 1):
        record.samples("load", "load.cpu", [(t, 0.3 * t)])
        record.samples("load", "load.rss", [(t, 52 * MIB)])
        record.samples("host", "host.cpu.steal", [(t, 0.01 * t)])
        record.samples("host", "host.cpu.busy", [(t, 1.6 * t)])
        record.samples("host", "overhead.cpu", [(t, 0.08 * t)])
        record.samples("host", "overhead.rss", [(t, 96 * MIB)])


def _creates(record: RecordBuilder, rng: random.Random, start: float, count: int, rate: float) -> None:
    for i in range(count):
        intended = start + i / rate
        slow = 0.4 if 700 < i < 760 else 0.0
        record.request(
            "create-Secret", intended, intended + rng.lognormvariate(-5.2, 0.5) + slow, name=f"secret-k4x7q-{i:05d}"
        )


def passing(directory: Path, *, run_id: str = RUN_ID) -> tuple[RunRecord, Verdict]:
    """A run of 40 s in which everything went as expected, with its verdict."""
    record = RecordBuilder(directory, run_id=run_id, arm="unprofiled")
    rng = random.Random(7)
    record.phase("start", "start", 0.0, 2.1)
    record.phase("idle", "idle", 2.1, 5.0)
    load = {"failed": 0, "requested_per_s": 200.0}
    record.phase(
        "create-Secret", "create", 5.0, 15.0, kind="Secret", requested=2000, done=2000, achieved_per_s=199.4, **load
    )
    record.phase(
        "create-GitRepo", "create", 15.0, 16.2, kind="GitRepo", requested=30, done=30, failed=0, achieved_per_s=25.0
    )
    record.phase("settle", "settle", 16.2, 24.0, settled=True)
    record.phase(
        "flip", "flip", 24.0, 28.0, kind="Cluster.management.cattle.io", requested=20, done=20, failed=0,
        requested_per_s=5.0, achieved_per_s=5.0,
    )  # fmt: skip
    record.phase("settle-2", "settle", 28.0, 36.0, settled=True)
    record.phase("settled", "settled", 36.0, 38.0)
    record.phase("end", "end", 38.0, 40.0)
    _memory(record, [(1, 68), (5, 74), (15, 121), (17, 150), (24, 151), (28, 172), (40, 160)], 38.0, 256, 7)
    _host(record, 38.0)
    _creates(record, rng, 5.0, 2000, 200.0)
    for i in range(30):
        record.request("create-GitRepo", 15.0 + i / 25, 15.02 + i / 25, kind="GitRepo", name=f"repo-k4x7q-{i:05d}")
    for i in range(20):
        at, cause = 24.0 + i / 5, f"cluster-k4x7q-{i:05d}"
        record.request(
            "flip", at, at + rng.lognormvariate(-5, 0.4), verb="patch", kind="Cluster.management.cattle.io", name=cause,
            status=200,
        )  # fmt: skip
        for b in range(40):
            queued = at + 0.15 + b * 0.01 + rng.lognormvariate(-2.5, 0.6)
            name = f"repo-k4x7q-{b // 10:05d}-b{b % 10:05d}"
            record.propagate("flip", cause, at, queued, name=name)
            record.propagate("deployed", cause, at, queued + rng.lognormvariate(-1.2, 0.5), name=name)
    waves = [(t, 51 + 14 * math.sin(t) ** 2 * (15 < t < 34)) for t in _steps(1, 38, 0.5)]
    record.samples("tasks", "tasks", waves)
    record.samples("tasks", "tasks", [(t, v - 31) for t, v in waves], {"coroutine": "Controller.worker"})
    record.samples("tasks", "tasks", [(t, 12) for t, _ in waves], {"coroutine": "Informer.watch"})
    record.samples("tasks", "tasks", [(t, 19) for t, _ in waves], {"coroutine": "handle_request"})
    record.samples("tasks", "loop.lag", [(t, 0.002 + 0.02 * (15 < t < 18)) for t, _ in waves])
    record.samples("tasks", "memory.heap", [(36.1, 74.0 * MIB)])
    record.samples("metrics", "queue.depth", [(t, max(0, 300 - 40 * abs(t - 17))) for t in _steps(1, 38, 0.5)])
    for kind, total, noop in (("BundleDeployment", 2400, 612), ("GitRepo", 330, 190), ("Bundle", 600, 0)):
        for share, t in ((0.1, 16.0), (0.7, 24.0), (1.0, 36.0)):
            labels = {"kind": kind, "verb": "patch", "subresource": "status"}
            record.samples("audit", "writes.total", [(t, total * share)], labels)
            record.samples("audit", "writes.noop", [(t, noop * share)], labels)
            record.samples("audit", "writes.conflict", [(t, 3 * share)], labels)
    for kind, count, start, end in (("Secret", 2000, 5.0, 15.1), ("BundleDeployment", 800, 24.2, 28.9)):
        points = [(t, count * min(1.0, max(0.0, (t - start) / (end - start)))) for t in _steps(1, 38, 0.5)]
        record.samples("latency", "objects.matched", points, {"kind": kind})
    record.event("attach", 2.2, collector="memory")
    record.event("warning", 16.0, message="host.cpu.steal was 1 % of the run")
    record.event("detach", 38.2, collector="memory")
    opened = record.write(expected=EXPECTED)
    return opened, verdict_of(opened, PASSING_RESULTS, "passed", 0, [
        ("oom.kills == 0", 0.0, True, None), ("completeness.BundleDeployment == 1", 1.0, True, None),
        ("latency.flip.p99 < 5s", 0.83, True, None),
    ], ["all 3 expectations are met"])  # fmt: skip


def oom_killed(directory: Path, *, run_id: str = "20261122-093102-m5w2z") -> tuple[RunRecord, Verdict]:
    """A run whose subject the kernel killed at 12.4 s, under memray, as its scenario expected."""
    record = RecordBuilder(directory, run_id=run_id, arm="oom")
    rng = random.Random(11)
    record.phase("start", "start", 0.0, 2.4)
    record.phase("idle", "idle", 2.4, 5.0)
    record.phase(
        "create-Secret", "create", 5.0, 12.5, kind="Secret", requested=4000, done=2230, failed=0, achieved_per_s=297.0
    )
    record.phase("end", "end", 12.5, 14.0)
    _memory(record, [(1, 95), (5, 101), (12.4, 174)], 12.3, 160, 11)
    _host(record, 14.0)
    for i in range(2230):
        at = 5.0 + i / 300
        record.request(
            "create-Secret", at, at + rng.lognormvariate(-4.6, 0.6), name=f"secret-m5w2z-{i:05d}", size=33000
        )
    record.samples("oom", "oom.kills", [(t, float(t > 12.4)) for t in _steps(2, 13.5, 0.5)])
    record.samples("oom", "oom.limit_hits", [(t, max(0.0, 400 * (t - 11))) for t in _steps(2, 13.5, 0.5)])
    record.samples("tasks", "tasks", [(t, 51) for t in _steps(2, 12.4, 0.5)])
    record.event("attach", 2.5, collector="memray")
    stack = ["decode (/usr/lib/python3.11/json/decoder.py:337)", "Informer._store (/app/controllers/informer.py:88)"]
    top = [
        {
            "function": "decode",
            "file": "/usr/lib/python3.11/json/decoder.py",
            "line": 337,
            "bytes": 61_000_000,
            "allocations": 211_000,
            "stack": stack,
        },
        {
            "function": "Informer._store",
            "file": "/app/controllers/informer.py",
            "line": 88,
            "bytes": 20_500_000,
            "allocations": 4400,
            "stack": stack[1:],
        },
    ]
    record.event(
        "memray", 13.5, capture="profiles/memray-start-0.bin", capture_bytes=17_000_000, peak_bytes=118_000_000, top=top,
        left_bytes=117_000_000, left=top[:1], flamegraph="profiles/memray-start-0.html",
    )  # fmt: skip
    sentence = "killed by the kernel: the cgroup reached its limit of 160.0 MiB (oom_kill 0 -> 1, failcnt 0 -> 560)"
    record.event(
        "ending", 12.41, kind="oom_limit", sentence=sentence, evidence={"oom_kill": [0, 1], "failcnt": [0, 560]}
    )
    opened = record.write(
        ending=EndingFacts(
            kind="oom_limit", exit_code=137, t_ns=ns(12.41), sentence=sentence, evidence={"oom_kill": [0, 1]}
        ),
        expected=EXPECTED[:1],
        subject=SUBJECT.model_copy(update={"memory_limit_bytes": 160 * MIB}),
        collectors=[*COLLECTORS, CollectorFacts(name="memray", state="on", heavy=True)],
    )
    (directory / "profiles" / "memray-start-0.html").write_text("<!doctype html><title>synthetic</title>")
    (directory / "profiles" / "cpu.folded").write_text(
        "main;run;decode;scan_once 412\nmain;run;reconcile;patch 201\nmain;run;reconcile 64\nmain;select 88\n"
    )
    results: dict[str, float | str] = {
        "memory.rss.peak": 174.9 * MIB, "memory.rss.settled": "cut short by the OOM kill",
        "memory.rss.idle": 101.0 * MIB, "memory.cgroup.peak": 159.9 * MIB, "memory.headroom.idle": 73 * MIB,
        "oom.kills": 1.0, "oom.thrash_seconds": 0.0, "tasks.peak": 51.0, "latency.flip.p99": "never",
        "completeness.Secret": 0.5575, "load.requests": 2230.0, "load.failures": 0.0, "load.achieved_per_s": 297.0,
        "api.create.Secret.p50": 0.0099, "api.create.Secret.p99": 0.041, "overhead.cpu": 1.1, "overhead.rss": 96 * MIB,
    }  # fmt: skip
    return opened, verdict_of(opened, results, "passed", 0, [
        ("oom.kills >= 1", 1.0, True, None), ("latency.flip.p99 < 5s", None, None, "cut short by the OOM kill"),
    ], [sentence, "the scenario expects the kill"], ["memray ran: memory and latency are not those of a normal run"])  # fmt: skip


PASSING_RESULTS: dict[str, float | str] = {
    "memory.rss.peak": 173.2 * MIB, "memory.rss.settled": 160.4 * MIB, "memory.rss.idle": 73.8 * MIB,
    "memory.anon.peak": 152.2 * MIB, "memory.cgroup.peak": 159.2 * MIB, "memory.heap.settled": 74.0 * MIB,
    "oom.kills": 0.0, "oom.thrash_seconds": 0.0, "restarts": 0.0, "tasks.peak": 65.0, "threads.peak": 10.0,
    "loop.lag.p99": 0.022, "cpu.total": 30.4, "latency.flip.p50": 0.31, "latency.flip.p95": 0.66, "latency.flip.p99": 0.83,
    "latency.flip.max": 1.02, "latency.deployed.p99": 1.71, "completeness.BundleDeployment": 1.0,
    "completeness.Cluster.management.cattle.io": 1.0, "startup.synced": 1.62,
    "startup.first_object": "no reads in the audit log", "api.create.Secret.p50": 0.0055, "api.create.Secret.p99": 0.41,
    "api.patch.Cluster.management.cattle.io.p99": 0.012, "load.requests": 2050.0, "load.failures": 0.0,
    "load.achieved_per_s": 199.4, "writes.total": 3330.0, "writes.noop": 802.0, "writes.conflict": 9.0,
    "queue.depth.max": 300.0, "metrics.series": "the metrics collector failed: no metrics URL in the scenario",
    "overhead.cpu": 3.1, "overhead.rss": 96 * MIB,
}  # fmt: skip


def verdict_of(
    record: RunRecord, results: Mapping[str, float | str], word: VerdictName, exit_code: int,
    expectations: Sequence[tuple[str, float | None, bool | None, str | None]] = (), reasons: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> Verdict:  # fmt: skip
    """A verdict with these results (a string is the reason of a null), saved in the record."""
    verdict = Verdict(
        run_id=record.run.run_id,
        verdict=word,
        exit_code=exit_code,
        results={
            name: Result(
                value=None if isinstance(value, str) else value,
                unit=metrics.resolve(name).metric.unit,
                reason=value if isinstance(value, str) else None,
            )
            for name, value in results.items()
        },
        expectations=[
            ExpectationResult(expr=expr, value=value, ok=ok, counts=ok is not None, note=note)
            for expr, value, ok, note in expectations
        ],
        reasons=list(reasons),
        warnings=list(warnings),
    )
    record.save_verdict(verdict)
    return verdict
