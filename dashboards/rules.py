"""Recording and alerting rules: one source for Prometheus' own rules and for Grafana's provisioned alerts.

An alert may wait (`for`) only where a run can be expected to last that long; a kill is told at once. What counts is what the
harness sampled, so the rules hold for a run that is scraped and for the process and the pod alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dashboards.names import WHOLE, sampled
from dashboards.parts import PROMETHEUS_UID
from harness.report import families

RUN = "run_id, scenario, arm"
"""Labels by which everything about one run belongs together."""
LOADING = 'action=~"create|flip|delete|patch|read|list|churn|watch"'
INTERVAL = "5s"
SHARE = 0.8
MORE_TASKS = (1.2, 10)
"""A task that stayed: more than so many times, and so many more than, before the load."""


@dataclass(frozen=True, slots=True)
class Record:
    """A series that Prometheus keeps beside those it scrapes."""

    name: str
    expr: str
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that a person should look at. `expr` has a value above 0 where it holds."""

    name: str
    expr: str
    wait: str
    severity: str
    summary: str
    description: str


_ALL = 'coroutine=""'
_WHO = "{{ $labels.scenario }} {{ $labels.arm }} ({{ $labels.run_id }})"


def whole(name: str, *more: str) -> str:
    """A sampled series of the whole subject."""
    return f"{sampled(name)}{{{','.join([*more, WHOLE])}}}"


def _quantile(quantile: str) -> Record:
    buckets = f"{families.PROPAGATION.name}_bucket"
    expr = f"histogram_quantile({quantile}, sum by (le, {RUN}, probe) ({buckets}))"
    return Record("run_probe:harness_propagation_seconds:quantile", expr, {"quantile": quantile})


_SENDING = f"max by ({RUN}) ({families.PHASE.name}{{{LOADING}}}) == 1"
_TASKS = f"max by ({RUN}) ({whole('tasks', _ALL)})"
_QUEUE = f"max by ({RUN}) ({whole('queue.depth')})"
_QUEUE_RANGE = "run:harness_queue_depth:current[1m]"
_REQUESTS = f"{families.REQUEST_DURATION.name}_count"

RECORDS: Sequence[Record] = (
    Record("run:harness_memory_limit:ratio",
           f"max by ({RUN}) ({whole('memory.cgroup')}) / max by ({RUN}) ({whole('memory.limit')})"),
    Record("run:harness_completeness:ratio_min", f"min by ({RUN}) ({families.COMPLETENESS.name})"),
    Record("run:harness_tasks:current", _TASKS),
    Record("run:harness_tasks:idle", f"max by ({RUN}) ({families.TASKS_IDLE.name})"),
    Record("run:harness_queue_depth:current", _QUEUE),
    Record("run_phase:harness_requests:rate30s", f"sum by ({RUN}, phase) (rate({_REQUESTS}[30s]))"),
    *(_quantile(quantile) for quantile in ("0.5", "0.95", "0.99")),
)  # fmt: skip

ALERTS: Sequence[Alert] = (
    Alert("HarnessMemoryNearLimit", f"run:harness_memory_limit:ratio > {SHARE}", "0s", "warning",
          "The subject uses more than 80 % of its memory limit",
          f"{_WHO} is at {{{{ $value | humanizePercentage }}}} of its limit; "
          "at 100 % the kernel kills it."),
    Alert("HarnessOOMKill", f"max by ({RUN}) ({whole('oom.kills')}) > 0", "0s", "critical",
          "The subject was OOM-killed",
          f"{_WHO}: {{{{ $value }}}} kills at its memory limit; `harness show` "
          "and oom.html tell what it held."),
    Alert("HarnessTasksDoNotComeBack",
          f"(run:harness_tasks:current > run:harness_tasks:idle * {MORE_TASKS[0]} + {MORE_TASKS[1]}) "
          f"and on ({RUN}) (run:harness_queue_depth:current == 0) unless on ({RUN}) ({_SENDING})",
          "30s", "warning", "Tasks do not come back after the load",
          f"{_WHO} has {{{{ $value }}}} tasks although nothing is sent and its "
          "queues are empty; that is a fifth and 10 more than before the load."),
    Alert("HarnessTasksStayed",
          f'max by ({RUN}) ({families.RESULT.name}{{metric="tasks.stayed"}}) > {MORE_TASKS[1]}', "0s", "warning",
          "Tasks stayed at the end of a run",
          f"{_WHO} ended with {{{{ $value }}}} tasks that were not there before."),
    Alert("HarnessQueueDoesNotDrain",
          f"(min_over_time({_QUEUE_RANGE}) > 0) and (min_over_time({_QUEUE_RANGE}) >= min_over_time({_QUEUE_RANGE} offset 1m))",
          "30s", "warning", "A work queue does not drain",
          f"The queues of {_WHO} have held {{{{ $value }}}} items or more for a "
          "minute, no fewer than in the minute before."),
    Alert("HarnessPropagationOverObjective",
          f"run_probe:harness_propagation_seconds:quantile > on ({RUN}, probe, quantile) "
          f"max by ({RUN}, probe, quantile) ({families.OBJECTIVE.name})",
          "0s", "warning", "Changes take effect later than the scenario expects",
          f"{{{{ $labels.probe }}}} of {_WHO}: quantile {{{{ $labels.quantile }}}} "
          "is {{ $value | humanizeDuration }}, over its objective."),
)  # fmt: skip


def prometheus() -> dict[str, Any]:
    """The rules as Prometheus reads them."""
    records = [
        {"record": each.name, "expr": each.expr} | ({"labels": each.labels} if each.labels else {}) for each in RECORDS
    ]
    alerts = [
        {"alert": each.name, "expr": each.expr, "for": each.wait, "labels": {"severity": each.severity},
         "annotations": {"summary": each.summary, "description": each.description}}
        for each in ALERTS
    ]  # fmt: skip
    return {
        "groups": [
            {"name": "harness-recording", "interval": INTERVAL, "rules": records},
            {"name": "harness-alerting", "interval": INTERVAL, "rules": alerts},
        ]
    }


def grafana() -> dict[str, Any]:
    """The alerts as Grafana provisions them: each asks Prometheus, and fires where the answer has a value above 0."""
    rules = [
        {
            "uid": f"harness-{each.name.removeprefix('Harness').lower()}", "title": each.name, "condition": "above",
            "for": each.wait, "noDataState": "OK", "execErrState": "Error", "isPaused": False,
            "labels": {"severity": each.severity},
            "annotations": {"summary": each.summary, "description": each.description.replace("$value", "$values.answer.Value")},
            "data": [
                {"refId": "answer", "relativeTimeRange": {"from": 600, "to": 0}, "datasourceUid": PROMETHEUS_UID,
                 "model": {"refId": "answer", "expr": each.expr, "instant": True, "range": False}},
                {"refId": "above", "relativeTimeRange": {"from": 600, "to": 0}, "datasourceUid": "__expr__",
                 "model": {"refId": "above", "type": "threshold", "expression": "answer",
                           "conditions": [{"evaluator": {"type": "gt", "params": [0]}}]}},
            ],
        }
        for each in ALERTS
    ]  # fmt: skip
    group = {"orgId": 1, "name": "harness", "folder": "Controller harness", "interval": "10s", "rules": rules}
    return {"apiVersion": 1, "groups": [group]}
