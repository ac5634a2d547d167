"""The page's tables, as text in rows."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.analysis.census import census
from harness.analysis.facts import Facts as RecordFacts
from harness.analysis.trust import Trust, trust
from harness.core.units import format_value
from harness.record.models import LOAD_ACTIONS, Run, Verdict
from harness.record.reader import RunRecord
from harness.record.windows import windows as profiled_windows
from harness.report import data, traffic
from harness.report.results import NONE, clean

_EVENTS = 400  # shown from the beginning and as many from the end
_LONGEST_CELL = 1000
_CENSUS = 40  # names shown of a census


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headers; `numbers` are the columns set flush right."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int] = ()
    note: str = ""


def under_way(record: RunRecord) -> Table | None:
    """The census before the load and once settled, where both were taken."""
    found = census(RecordFacts(record))
    if isinstance(found, str):
        return None
    rows = [
        [clean(change.sort), clean(change.name), f"{change.before:,}", f"{change.after:,}", f"{change.stayed:+,}",
         clean(change.frame)]
        for change in found.changes[:_CENSUS]
    ]  # fmt: skip
    more = len(found.changes) - len(rows)
    note = "At rest after a forced collection." + (f" {more} more names are in the record." if more > 0 else "")
    headers = ["sort", "started as", "before the load", "settled", "stayed", "where now"]
    return Table("What is under way", headers, rows, (2, 3, 4), " ".join([note, *map(clean, found.reasons)]))


Facts = list[tuple[str, str]]
"""Names and values of a definition list."""


def phases(record: RunRecord) -> Table:
    """The timeline in numbers; the first column is the number that charts show where a name has no room."""
    rows = []
    for number, span in enumerate(data.spans(record), 1):
        facts = span.phase
        took = format_value(span.end_s - span.start_s, "seconds")
        row = [str(number), clean(span.name), f"{span.start_s:.1f} s", took]
        if facts is None:
            rows.append([*row, *[""] * 6])
            continue
        achieved = _rate(facts.achieved_per_s)
        asked = _rate(facts.requested_per_s)
        if facts.action in LOAD_ACTIONS and facts.requested_per_s is None:
            asked = facts.schedule or "max"
        remark = {True: "quiet", False: "not quiet before its timeout", None: ""}[facts.settled]
        if facts.schedule and facts.requested_per_s is not None:
            remark = facts.schedule
        if facts.until_failure:
            remark = f"kept {_rate(facts.sustained_per_s) or 'no step'}"
        if facts.ended_ns is None:
            remark = "did not end"
        rows.append([*row, clean(facts.kind or ""), _count(facts.done), _count(facts.failed), asked, achieved, remark])
    headers = ["#", "phase", "began", "took", "kind", "done", "failed", "rate asked", "rate achieved", ""]
    return Table("Phases", headers, rows, (2, 3, 5, 6, 7, 8))


def requests(record: RunRecord) -> Table:
    """Percentiles of the load's requests, from the time they were meant to be sent and from the time they were."""
    service = traffic.service_percentiles(record)
    rows = [
        [
            *(*map(clean, item.group), _count(item.count), _count(item.missing), *_quantiles(item)),
            *(format_value(value, "seconds") for value in service.get(item.group, ())),
        ]
        for item in traffic.request_percentiles(record)
    ]
    rows = [row + [NONE] * (12 - len(row)) for row in rows]
    headers = [
        "phase",
        "verb",
        "kind",
        "attempts",
        "failed",
        "p50",
        "p90",
        "p95",
        "p99",
        "max",
        "service p50",
        "service p99",
    ]
    note = (
        "p50 to max: response time, from the intended time of each request to the answer it was done with, so that a stalled "
        "server cannot hide the requests it held up (coordinated omission). Service time: from sending the attempt that was "
        "answered. A request that failed for good has neither."
    )
    return Table("Latency of the load's requests", headers, rows, tuple(range(3, 12)), note if rows else "")


def trusted(record: RunRecord, verdict: Verdict) -> tuple[Trust, Table]:
    """Whether the run can be trusted, and the load phases with what its own means were doing."""
    answer = trust(RecordFacts(record), verdict)
    rows = []
    for item, remarks in answer.phases:
        phase = item.phase
        asked = "max" if phase.requested_per_s is None else _rate(phase.requested_per_s)
        slowest = NONE if item.slowest is None else f"{item.slowest[0]} {format_value(item.slowest[1], 'seconds')}"
        rows.append([
            clean(phase.name), asked, _rate(phase.achieved_per_s), _time(item.slip_p50_s), _time(item.slip_p99_s),
            _count(item.retries), _share(item.generator_cores), _time(item.generator_lag_s), _time(item.harness_lag_s),
            _share(item.apiserver_cores), _number(item.inflight), _number(item.rejected), slowest, _share(item.steal),
            _share(item.others), _share(item.pressure), "; ".join(remarks) or "as planned",
        ])  # fmt: skip
    headers = [
        "phase", "rate asked", "achieved", "late p50", "late p99", "repeated", "generator CPU", "its loop late",
        "our loop late", "API server CPU", "in flight", "refused", "its slowest p99", "steal", "others' CPU", "CPU pressure",
        "in words",
    ]  # fmt: skip
    note = (
        "Late: from the intended to the sent time at a fixed rate. CPU of generator and API server in shares of one core; steal "
        "and others' CPU (programs that are no part of the run) in shares of the machine."
    )
    return answer, Table("The run's own means, by load phase", headers, rows, tuple(range(1, 16)), note)


def failures(record: RunRecord) -> Table:
    """The commonest failures of attempts; most were tried again."""
    rows = [
        [clean(phase), clean(kind), str(status) if status else "no answer", _short(error), _count(count)]
        for phase, kind, status, error, count in traffic.failed_requests(record)
    ]
    return Table("Failed attempts", ["phase", "kind", "status", "error", "how many"], rows, (4,))


def propagation(record: RunRecord) -> Table:
    """Percentiles by probe; an effect that never came is worse than any other."""
    rows = [
        [clean(item.group[0]), _count(item.count), _count(item.missing), *_quantiles(item, "never")]
        for item in traffic.propagation_percentiles(record)
    ]
    headers = ["probe", "effects", "never came", "p50", "p90", "p95", "p99", "max"]
    return Table("Time until a change has taken effect", headers, rows, tuple(range(1, 8)))


def windows(record: RunRecord) -> Table | None:
    """Where the run was profiled in windows only: each of them."""
    found = profiled_windows(record)
    if not found:
        return None
    rows = [
        [
            clean(item.number), clean(item.tool), clean(item.why), clean(item.phase),
            format_value(item.started_ns / 1e9, "seconds"),
            "" if item.seconds is None else format_value(item.seconds, "seconds"), clean(item.ended_why or "never told"),
        ]
        for item in found
    ]  # fmt: skip
    note = (
        "What overlaps a window of memray is not judged; memory from the first one on holds what stays of the profiler."
    )
    headers = ["window", "tool", "opened by", "in phase", "at", "for", "ended because"]
    return Table("Profiled only in these windows", headers, rows, (4, 5), note if any(w.heavy for w in found) else "")


def collectors(record: RunRecord) -> Table:
    """Who witnessed the run."""
    rows = [
        [clean(item.name), item.state, "yes" if item.heavy else "", clean(item.reason or "")]
        for item in record.run.collectors
    ]
    return Table("Collectors", ["collector", "state", "changes the subject", "reason"], rows)


def events(record: RunRecord) -> Table:
    """The events in order; of very many the first and the last."""
    first = list(itertools.islice(everything := record.events(), _EVENTS))
    rest = list(everything)
    left_out = len(rest) - _EVENTS
    shown = first + (rest[-_EVENTS:] if left_out > 0 else rest)
    rows = []
    for event in shown:
        fields = {key: value for key, value in event.items() if key not in ("t_ns", "phase", "type")}
        text = " ".join(
            f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in fields.items()
        )
        t_ns = event.get("t_ns")
        when = f"{t_ns / 1e9:.3f} s" if isinstance(t_ns, int | float) else NONE
        rows.append([when, clean(event.get("phase", "")), clean(event.get("type", "")), _short(text)])
    note = f"{left_out:,} events between the first and the last {_EVENTS} are left out." if left_out > 0 else ""
    return Table("Events", ["time", "phase", "event", ""], rows, (0,), note)


def environment(run: Run) -> list[tuple[str, Facts]]:
    """Machine, versions, cluster and subject as titled lists."""
    machine, subject = run.machine, run.subject
    limit = subject.memory_limit_bytes
    runtime = " ".join(filter(None, (subject.runtime, subject.runtime_version)))
    return [
        ("Machine", _facts({
            "CPU": f"{machine.cpus} × {machine.cpu_model}", "memory": format_value(machine.memory_bytes, "bytes"),
            "kernel": machine.kernel, "system": f"{machine.os}, {machine.arch}", "fingerprint": machine.fingerprint,
        })),
        ("Subject", _facts({
            "command": " ".join(subject.command), "controller": subject.controller, "options": subject.options,
            "runtime": runtime, "memory limit": format_value(limit, "bytes") if limit else "none",
            "cgroup version": subject.cgroup_version, "environment": subject.environment, "API identity": subject.user,
            "commit": _commit(run),
        })),
        ("Cluster", _facts(run.cluster)),
        ("Versions", _facts(run.versions)),
        ("Run", _facts({
            "run": run.run_id, "experiment": run.experiment_id, "scenario file": run.scenario.path,
            "sha256": run.scenario.sha256, "set": run.scenario.sets, "profile": run.profile, "seed": run.seed,
            "namespace": run.namespace, "started": f"{run.started_at:%Y-%m-%d %H:%M:%S %Z}", "samples": _samples(run),
        })),
    ]  # fmt: skip


def _samples(run: Run) -> str | None:
    """That not all samples are there, where it is so; results are of all."""
    fewer = run.downsampled
    if fewer is None or fewer.samples_after is None:
        return None
    return (
        f"{fewer.samples_after:,} of {fewer.samples_before:,}: of each series the first, lowest, highest and last in every "
        f"{fewer.interval_s} s of a phase; results were computed of all"
    )


def _commit(run: Run) -> str | None:
    source = run.source
    return None if source is None else f"{source.commit}{', with changes on top' if source.dirty else ''}"


def _facts(values: Mapping[str, object], prefix: str = "") -> Facts:
    """Names and values, nested mappings with dotted names; what is empty is left out."""
    found: Facts = []
    for key, value in values.items():
        name = f"{prefix}{clean(key)}"
        if isinstance(value, Mapping):
            found += _facts(value, f"{name}.")
        elif isinstance(value, list | tuple):
            found.append((name, _short(", ".join(map(str, value)))))
        elif value is not None and value != "":
            found.append((name, _short(str(value))))
    return found


def _short(text: str) -> str:
    plain = clean(text)
    return plain if len(plain) <= _LONGEST_CELL else f"{plain[:_LONGEST_CELL]}… ({len(plain):,} characters)"


def _time(value: float | None) -> str:
    return NONE if value is None else format_value(value, "seconds")


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.0%}"


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _rate(value: float | None) -> str:
    return "" if value is None else format_value(value, "per_second")


def _quantiles(item: traffic.Percentiles, missing: str = NONE) -> list[str]:
    return [
        missing if value is None else format_value(value, "seconds")
        for value in (item.p50, item.p90, item.p95, item.p99, item.max)
    ]
