"""Every result of one run, by the names of the metric catalogue. A result that cannot be had is null with its reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

from harness.analysis import agents
from harness.analysis.census import census
from harness.analysis.facts import EVER, Facts
from harness.analysis.selfaudit import PhaseAudit, SelfAudit
from harness.analysis.trust import SHORTEST_S
from harness.core import metrics
from harness.core.units import format_value
from harness.record.models import Result
from harness.record.reader import RunRecord

Outcome = tuple[float | None, str | None]
_SETTLED = "settled"
_FIRST = "startup.first_object."
SHORTEST_GROWTH_S = 30.0
"""A load must have lasted so long before what its second half took more than its first says anything."""


def compute(record: RunRecord) -> dict[str, Result]:
    """All results of a record, in the order of the catalogue."""
    facts = Facts(record)
    found = {name: _result(name, value, reason) for name, (value, reason) in _all(facts)}
    found["tasks.stayed"] = _stayed(facts)
    order = {metric.name: index for index, metric in enumerate(metrics.CATALOGUE)}
    return dict(sorted(found.items(), key=lambda item: (order[metrics.resolve(item[0]).metric.name], item[0])))


def _result(name: str, value: float | None, reason: str | None) -> Result:
    unit = metrics.resolve(name).metric.unit
    if value is not None and not math.isfinite(value):
        value, reason = None, "never"
    return Result(value=value, unit=unit, reason=None if value is not None else reason or "no samples")


def _all(facts: Facts) -> Iterator[tuple[str, Outcome]]:
    yield from _memory(facts)
    yield from _per_object(facts)
    yield from _oom(facts)
    yield from _tasks(facts)
    yield from _latency(facts)
    yield from _completeness(facts)
    yield from _startup(facts)
    yield from _load(facts)
    yield from agents.results(facts)
    yield from _self_audit(facts)
    audited = dict(_audit(facts))
    yield from audited.items()
    told = list(_subject_metrics(facts))
    yield from told
    yield "conflicts.per_reconcile", _per_reconcile(audited["writes.conflict"], dict(told)["reconciles.total"])
    yield from _overhead(facts)


def _witnessed(facts: Facts, collector: str, value: Callable[[], float | None], missing: str = "no samples") -> Outcome:
    why = facts.unwitnessed(collector)
    if why is not None:
        return None, why
    answer = value()
    return answer, None if answer is not None else missing


def _settled(facts: Facts, collector: str, metric: str, aggregate: str = "avg") -> Outcome:
    if facts.cut_short:
        return None, facts.cut_short
    missing = "the run did not settle" if facts.run.phase(_SETTLED) is None else "no samples"
    return _witnessed(facts, collector, lambda: facts.series(metric, aggregate, phase=_SETTLED), missing)


def _no_memory(facts: Facts, series: str) -> str:
    """Why there are no samples of a memory series."""
    subject = facts.run.subject
    if series == "memory.working_set":
        return (
            "no kubelet sample in that time"
            if subject.kind == "pod"
            else "only of a subject in a pod: a kubelet tells it"
        )
    if subject.kind == "pod" and not subject.pod.get("cgroup_seen"):
        return (
            "this machine does not see the node's processes, and the kubelet looked about every 10 s or does not tell"
        )
    return "the subject had no cgroup of its own" if series == "memory.cgroup" else "no samples"


def _headroom(facts: Facts, limit: int) -> float | None:
    """What a load can fill: the kernel takes page cache back before it kills."""
    charged = facts.series("memory.cgroup", "avg", phase="idle")
    files = facts.series("memory.file", "avg", phase="idle")
    return None if charged is None else limit - (charged - (files or 0.0))


def _memory(facts: Facts) -> Iterator[tuple[str, Outcome]]:
    for name in ("memory.rss", "memory.anon", "memory.cgroup", "memory.working_set"):
        missing = _no_memory(facts, name)
        highest = [name, f"{name}.peak"] if name == "memory.cgroup" else [name]

        def peak(series: list[str] = highest) -> float | None:
            return max((v for m in series if (v := facts.series(m, "max", source="memory")) is not None), default=None)

        yield f"{name}.peak", _witnessed(facts, "memory", peak, missing)
        value, reason = _settled(facts, "memory", name)
        yield f"{name}.settled", (value, missing if reason == "no samples" else reason)
    for name in ("memory.cgroup", "memory.rss"):
        idle_ = partial(facts.series, name, "avg", phase="idle")
        yield f"{name}.idle", _witnessed(facts, "memory", idle_, _no_memory(facts, name))
    limit = facts.run.subject.memory_limit_bytes
    yield (
        "memory.headroom.idle",
        (None, "no memory limit was set") if limit is None else (_headroom(facts, limit), None),
    )
    load_start = facts.load_started_ns or EVER
    load_end = max((phase.ended_ns or phase.started_ns for phase in facts.loaded_phases), default=0)
    yield "memory.heap.idle", _heap(facts, 0, load_start)
    yield "memory.heap.settled", (None, facts.cut_short) if facts.cut_short else _heap(facts, load_end, EVER)
    for series, name in (("threads", "threads.peak"), ("fds", "fds.peak")):
        yield name, _witnessed(facts, "memory", partial(facts.series, series, "max", source="memory"))

    def cpu() -> float | None:
        start = facts.load_started_ns
        if start is None:
            return None
        return facts.scalar(
            "SELECT max(value) - arg_max(value, t_ns) FILTER (t_ns <= ?) FROM samples "
            "WHERE metric = 'cpu.seconds' AND source = 'memory'",
            start,
        )

    yield "cpu.total", _witnessed(facts, "memory", cpu)
    throttled = partial(facts.series, "cpu.throttled", "max", source="memory")
    yield "cpu.throttled", _witnessed(facts, "memory", throttled, "no CPU limit was set")


def _heap(facts: Facts, after_ns: int, before_ns: int) -> Outcome:
    def value() -> float | None:
        return facts.scalar(
            "SELECT arg_max(value, t_ns) FROM samples WHERE metric = 'memory.heap' AND labels = '{}' AND t_ns > ? AND t_ns < ?",
            after_ns,
            before_ns,
        )

    return _witnessed(facts, "tasks", value, "the runtime gave no heap reading")


def _per_object(facts: Facts) -> Iterator[tuple[str, Outcome]]:
    if any(p.action in ("delete", "churn") for p in facts.load_phases):
        return  # what was there in between is in the resident set, too
    created = {p.kind: p.done or 0 for p in facts.load_phases if p.action == "create" and p.kind}
    if len(created) != 1:
        return
    ((kind, count),) = created.items()
    idle = facts.series("memory.rss", "avg", phase="idle")
    settled, reason = _settled(facts, "memory", "memory.rss")
    if settled is None or idle is None or count <= 0:
        yield f"memory.per_object.{kind}", (None, reason or "no idle reading or no objects")
    else:
        yield f"memory.per_object.{kind}", ((settled - idle) / count, None)


def _oom(facts: Facts) -> Iterator[tuple[str, Outcome]]:
    limited = facts.run.subject.memory_limit_bytes is not None
    why = facts.unwitnessed("oom")
    if facts.oom_kills:
        yield "oom.kills", (float(facts.oom_kills), None)
    elif (limited or facts.run.subject.kind == "process") and why is not None:
        yield "oom.kills", (None, why)
    else:
        yield "oom.kills", (0.0, None)  # without a limit there is nothing to be killed by
    thrash = facts.series("oom.thrash_seconds", "max")
    if thrash is None and why is None and limited:
        thrash = 0.0
    yield "oom.thrash_seconds", (thrash, None if thrash is not None else why or "no memory limit was set")
    # A kubelet may have started its container again several times between two looks.
    yield "restarts", (float(sum(event.get("count", 1) for event in facts.restarts)), None)


_NO_LOOP = "no asyncio loop was seen in it; a program of threads has threads.peak"


def _tasks(facts: Facts) -> Iterator[tuple[str, Outcome]]:
    collector = "tasks" if facts.run.subject.runtime == "python" else "metrics"
    missing = _NO_LOOP if facts.run.subject.runtime == "python" else "the runtime tells no task count"
    yield "tasks.peak", _witnessed(facts, collector, lambda: facts.series("tasks", "max"), missing)
    yield "tasks.idle", _witnessed(facts, collector, partial(facts.series, "tasks", "median", phase="idle"), missing)
    # Not the mean: where a look at the tasks meets a scrape of ours, the subject has a task more just then.
    value, reason = _settled(facts, collector, "tasks", "median")
    yield "tasks.settled", (value, missing if reason == "no samples" else reason)

    def lag() -> float | None:
        return facts.scalar("SELECT quantile_disc(value, 0.99) FROM samples WHERE metric = 'loop.lag'")

    yield "loop.lag.p99", _witnessed(facts, "tasks", lag, "no asyncio loop was seen")


def _stayed(facts: Facts) -> Result:
    """Its detail tells the names."""
    why = facts.unwitnessed("metrics" if facts.run.subject.runtime == "other" else "tasks")
    found = why or census(facts)
    if isinstance(found, str):
        return _result("tasks.stayed", None, found)
    if facts.run.subject.runtime == "python" and not found.tasks and facts.series("tasks", "max") is None:
        return _result("tasks.stayed", None, _NO_LOOP)
    stayed = _result("tasks.stayed", float(sum(change.stayed for change in found.stayed)), None)
    stayed.detail = found.sentence or None
    return stayed


def _latency(facts: Facts) -> Iterator[tuple[str, Outcome]]:
    # An effect that never came counts as later than any other: a quantile that falls on one is never, not left out.
    rows = facts.record.sql(
        f"SELECT probe, count(*), count(*) FILTER (seen_ns IS NULL), "
        f"quantile_disc(coalesce((seen_ns - intended_ns) / 1e9, 'inf'::DOUBLE), {list(metrics.QUANTILES.values())}) "
        "FROM propagation GROUP BY probe ORDER BY probe"
    )
    by_probe = {probe: (count, missing, values) for probe, count, missing, values in rows}
    for probe in dict.fromkeys([*facts.probes, *by_probe]):
        count, missing, values = by_probe.get(probe, (0, 0, []))
        for index, name in enumerate(metrics.QUANTILES):
            metric = f"latency.{probe}.{name}"
            if not count:
                yield metric, (None, facts.cut_short or facts.unwitnessed("latency") or "no cause was sent")
            elif math.isinf(values[index]):
                yield metric, (None, facts.cut_short or f"never: {missing} of {count} effects did not come")
            else:
                yield metric, (values[index], None)


def _completeness(facts: Facts) -> Iterator[tuple[str, Outcome]]:
    for item in facts.run.expected:

        def share(kind: str = item.kind, count: int = item.count) -> float | None:
            seen = facts.scalar(
                "SELECT arg_max(value, t_ns) FROM samples WHERE metric = 'objects.matched' AND labels->>'kind' = ?",
                kind,
            )
            return None if count == 0 else (seen or 0.0) / count

        value, reason = _witnessed(facts, "latency", share, "nothing must exist")
        if facts.cut_short and value != 1:
            seen = "" if value is None else f" with {format_value(value * item.count, 'count')} of {item.count} there"
            value, reason = None, facts.cut_short + seen
        yield f"completeness.{item.kind}", (value, reason)


def _startup(facts: Facts) -> Iterator[tuple[str, Outcome]]:
    start = facts.run.phase("start")
    synced = None if start is None or start.ended_ns is None else (start.ended_ns - start.started_ns) / 1e9
    foreign = facts.run.subject.kind == "process"
    why = "somebody else had started it" if foreign else "the subject never became ready"
    yield "startup.synced", (synced, None if synced is not None else why)

    restarts = [event for event in facts.restarts if event.get("ready_ns") is not None]
    slowest = max(((event["ready_ns"] - event["started_ns"]) / 1e9 for event in restarts), default=None)
    yield "startup.restart", (slowest, None if slowest is not None else "the subject was not restarted")

    if facts.run.subject.replicas > 1:
        failovers = list(facts.record.events("failover"))
        for name, until in (("failover.lease", "lease_ns"), ("failover.first_reconcile", "reconcile_ns")):
            unseen = next((event["reason"] for event in failovers if event[until] is None), None)
            times = [(event[until] - event["killed_ns"]) / 1e9 for event in failovers if event[until] is not None]
            value = None if unseen is not None else max(times, default=None)
            yield name, (value, None if value is not None else unseen or "there was no failover")

    def first(kind: str | None = None) -> float | None:
        asked = "" if kind is None else " AND labels->>'kind' = ?"
        query = f"SELECT min(value) FROM samples WHERE metric = 'startup.first_read'{asked}"
        moment = facts.scalar(query) if kind is None else facts.scalar(query, kind)
        return None if moment is None or start is None else max(0.0, moment - start.started_ns / 1e9)

    yield "startup.first_object", _witnessed(facts, "audit", first, "the subject read none of the scenario's kinds")
    named = [item.metric for item in facts.scenario.engaged] + [item.metric for item in facts.scenario.expect]
    for kind in sorted({name.removeprefix(_FIRST) for name in named if name.startswith(_FIRST)}):
        read = partial(first, kind)
        yield f"{_FIRST}{kind}", _witnessed(facts, "audit", read, f"the subject read no {kind}")


def _load(facts: Facts) -> Iterator[tuple[str, Outcome]]:
    if not facts.load_phases:
        return
    total = facts.scalar("SELECT count(*) FROM requests") or 0.0
    yield "load.requests", (total, None)
    yield "load.failures", (float(sum(phase.failed or 0 for phase in facts.load_phases)), None)
    phases = [phase for phase in facts.load_phases if phase.achieved_per_s is not None]
    fixed = [phase for phase in phases if phase.requested_per_s and not phase.until_failure]
    if fixed:
        worst = min(fixed, key=lambda phase: (phase.achieved_per_s or 0) / (phase.requested_per_s or 1))
    elif phases:
        worst = max(phases, key=lambda phase: phase.done or 0)
    else:
        yield "load.achieved_per_s", (None, facts.cut_short or "no load phase ended")
        worst = None
    if worst is not None:
        yield "load.achieved_per_s", (worst.achieved_per_s, None)
    yield from _sustained(facts)
    asked = ("p50", "p99")
    rows = facts.record.sql(
        f"SELECT verb, kind, quantile_disc((done_ns - intended_ns) / 1e9, {[metrics.QUANTILES[name] for name in asked]}) "
        f"FROM requests WHERE error IS NULL AND verb IN {metrics.VERBS} AND regexp_full_match(kind, '{metrics.KIND}') "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    )  # of other verbs and kinds are rows that none of ours wrote
    for verb, kind, values in rows:
        for name, value in zip(asked, values, strict=True):
            yield f"api.{verb}.{kind}.{name}", (value, None)


def _sustained(facts: Facts) -> Iterator[tuple[str, Outcome]]:
    """Only where a phase looked for it; of several the lowest."""
    seeking = [phase for phase in facts.load_phases if phase.until_failure]
    if not seeking:
        return
    found = [phase.sustained_per_s for phase in seeking if phase.sustained_per_s is not None]
    if len(found) == len(seeking):
        yield "load.sustained_per_s", (min(found), None)
        return
    first = next(phase for phase in seeking if phase.sustained_per_s is None)
    at = format_value(first.failed_at_per_s, "per_second") if first.failed_at_per_s else None
    reason = f"{first.name} did not keep its first step, {at}" if at else f"{first.name} did not end its first step"
    yield "load.sustained_per_s", (None, facts.cut_short or reason)


def _self_audit(facts: Facts) -> Iterator[tuple[str, Outcome]]:
    audit = SelfAudit(facts)
    phases, span = audit.phases(), audit.span()
    if span is None:
        return
    seconds = (span[1] - span[0]) / 1e9
    if not facts.run.observed:
        yield from _own_load(audit, phases)

    def spent() -> float | None:
        cores = audit.grown("apiserver.cpu", *span)
        return None if cores is None else cores * seconds

    elsewhere = "the API server runs elsewhere"
    yield "apiserver.cpu", _witnessed(facts, "apiserver", spent, elsewhere)
    yield "apiserver.rss.peak", _witnessed(facts, "apiserver", lambda: facts.series("apiserver.rss", "max"), elsewhere)
    yield "apiserver.inflight.max", _witnessed(facts, "apiserver", lambda: audit.inflight(*span))
    yield "apiserver.rejected", _witnessed(facts, "apiserver", audit.rejected)
    for verb, p99 in audit.durations().items():
        yield f"apiserver.request.{verb}.p99", (p99, None)
    unknown = "the kernel does not tell"
    yield "host.steal", _witnessed(facts, "host", lambda: audit.steal(*span))
    yield "host.pressure.cpu", _witnessed(facts, "host", lambda: audit.mean("host.pressure.cpu", *span), unknown)
    missing = "the CPU of a part of the run is unknown"
    yield "host.cpu.others", _witnessed(facts, "host", lambda: audit.others(*span), missing)
    yield "overhead.loop_lag.max", _witnessed(facts, "host", lambda: audit.lag("overhead.loop_lag", *span))


def _own_load(audit: SelfAudit, phases: list[PhaseAudit]) -> Iterator[tuple[str, Outcome]]:
    """What the load generator says of itself."""
    fixed = [item.phase.name for item in phases if item.phase.requested_per_s]
    slip = audit.slip(*fixed)
    for index, name in enumerate(("p50", "p99")):
        why = "no requests were sent" if fixed else "no phase had a fixed rate"
        yield f"load.slip.{name}", (None if slip is None else slip[index], why)
    yield "load.retries", (float(sum(item.retries for item in phases)), None)
    long = [item.generator_cores for item in phases if item.seconds >= SHORTEST_S and item.generator_cores is not None]
    yield "load.cpu.share", (max(long, default=None), f"no load phase of {SHORTEST_S:g} s or more was witnessed")
    lags = [item.generator_lag_s for item in phases if item.generator_lag_s is not None]
    yield "load.loop_lag.max", (max(lags, default=None), None)


def _audit(facts: Facts) -> Iterator[tuple[str, Outcome]]:
    for name in ("writes.total", "writes.noop", "writes.conflict"):

        def total(metric: str = name) -> float:
            query = (
                "SELECT sum(last) FROM (SELECT labels, arg_max(value, t_ns) AS last FROM samples "
                "WHERE metric = ? AND source = 'audit' AND labels <> '{}' GROUP BY labels)"
            )
            return facts.scalar(query, metric) or 0.0

        value, reason = _witnessed(facts, "audit", total)
        if name == "writes.noop" and value is not None and (unjudged := _unjudged(facts)):
            reason = f"of {unjudged} updates and patches the audit log does not tell what was there before (of Secrets never)"
            value, reason = None, f"{reason}; {value:.0f} of the others changed nothing"
        yield name, (value, reason)


def _unjudged(facts: Facts) -> int:
    return sum(int(event.get("unjudged_writes") or 0) for event in facts.record.events("audit"))


def _per_reconcile(conflicts: Outcome, reconciles: Outcome) -> Outcome:
    if conflicts[0] is None or reconciles[0] is None:
        return None, conflicts[1] if conflicts[0] is None else reconciles[1]
    if not reconciles[0]:
        return None, "nothing was reconciled"
    return conflicts[0] / reconciles[0], None


def _subject_metrics(facts: Facts) -> Iterator[tuple[str, Outcome]]:
    missing = "the subject's /metrics does not tell"
    for name, series, aggregate in (
        ("reconciles.total", "reconciles.total", "max"),
        ("queue.depth.max", "queue.depth", "max"),
        ("metrics.series", "metrics.series", "last"),
    ):
        yield name, _witnessed(facts, "metrics", partial(facts.series, series, aggregate, source="metrics"), missing)


def _overhead(facts: Facts) -> Iterator[tuple[str, Outcome]]:
    def spent() -> float | None:
        return facts.scalar(
            "SELECT sum(spent) FROM (SELECT max(value) - min(value) AS spent FROM samples "
            "WHERE metric IN ('overhead.cpu', 'overhead.agent.cpu') AND labels = '{}' GROUP BY metric)"
        )

    yield "overhead.cpu", _witnessed(facts, "host", spent)
    yield "overhead.rss", _witnessed(facts, "host", lambda: facts.series("overhead.rss", "max"))
    for series in ("overhead.rss", "overhead.threads", "overhead.fds"):
        yield f"{series}.growth", _growth(facts, series)


def _growth(facts: Facts, series: str) -> Outcome:
    """The first quarter of the load is left out: what is filled once, such as caches and pools, is then filled."""
    start, end = facts.load_started_ns, max((phase.ended_ns or 0 for phase in facts.loaded_phases), default=0)
    if start is None or end - start < SHORTEST_GROWTH_S * 1e9:
        return None, f"the load lasted less than {SHORTEST_GROWTH_S:g} s"
    quarter = (end - start) // 4

    def median(since: int) -> float | None:
        return facts.scalar(
            "SELECT median(value) FROM samples WHERE metric = ? AND labels = '{}' AND t_ns BETWEEN ? AND ?",
            *(series, since, since + quarter),
        )

    def grown() -> float | None:
        early, late = median(start + quarter), median(end - quarter)
        return None if early is None or late is None else late - early

    return _witnessed(facts, "host", grown)
