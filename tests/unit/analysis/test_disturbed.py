"""Profiled in windows only: what overlaps one of memray is not judged, the rest is. Records are synthetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.analysis.verdict import judge
from harness.record.models import CollectorFacts, Phase, Verdict
from harness.record.reader import RunRecord
from harness.record.windows import windows
from tests import records

_EXPECT = ["oom.kills == 0", "latency.flip.p99 < 5s", "memory.rss.peak < 200Mi", "memory.rss.idle < 200Mi"]


class Case:
    """A run with a flip at 10 s, whose effects are seen at 11 s, and windows."""

    def __init__(self, directory: Path) -> None:
        self.builder = records.RecordBuilder(directory / "run")
        self.builder.phase("start", "start", 0, 1)
        self.builder.phase("idle", "idle", 1, 3)
        self.builder.phase("create-Secret", "create", 3, 9, kind="Secret", requested=1, done=1, failed=0)
        self.builder.phase("settle", "settle", 13, 16, settled=True)
        for source, metric in (("memory", "memory.rss"), ("oom", "oom.kills")):
            self.builder.samples(source, metric, [(2, 0.0), (12, 0.0)])
        self.builder.samples("audit", "api.requests", [(2, 3)], {"kind": "Secret", "verb": "list", "subresource": ""})
        self.builder.propagate("flip", "c", 10.0, 11.0)

    def window(self, start: float, end: float | None, tool: str = "memray", collector: str = "on-demand") -> None:
        fields: dict[str, Any] = {
            "collector": collector,
            "window": f"{start:g}",
            "tool": tool,
            "why": f"phase {start:g}",
        }
        self.builder.event("attach", start + 0.5, since_ns=records.ns(start), **fields)
        if end is not None:
            self.builder.event("detach", end, until_ns=records.ns(end), **fields)

    def record(self) -> RunRecord:
        resolved = {
            "name": "case",
            "summary": "A case.",
            "subject": {"controller": "fleet"},
            "load": [
                {"create": {"kind": "Secret", "count": 1}},
                {"create": {"kind": "Cluster.management.cattle.io", "count": 1}},
                {
                    "flip": {"kind": "Cluster.management.cattle.io", "labels": {"env": "prod"}},
                    "probes": [{"name": "flip", "until": "Cluster.fleet.cattle.io"}],
                },
            ],
            "expect": _EXPECT,
        }
        names = ("memory", "oom", "latency", "audit", "on-demand")
        return self.builder.write(
            collectors=[CollectorFacts(name=name, state="on", heavy=name == "on-demand") for name in names],
            scenario={"name": "case", "path": "case.yaml", "sha256": "0" * 64, "resolved": resolved},
        )

    def judge(self) -> Verdict:
        return judge(self.record())

    def judged(self) -> list[bool | None]:
        return [item.ok for item in self.judge().expectations]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_without_a_window_all_is_judged(case: Case) -> None:
    assert case.judged() == [True, True, True, True]


def test_a_window_before_the_flip_leaves_its_latency_and_what_came_before(case: Case) -> None:
    case.window(4, 6)
    assert case.judged() == [None, True, None, True]
    assert case.judge().verdict == "inconclusive"


def test_a_window_while_an_effect_was_awaited_leaves_its_latency_open(case: Case) -> None:
    case.window(10.8, 12)
    verdict = case.judge()
    assert [item.ok for item in verdict.expectations] == [None, None, None, True]
    assert verdict.expectations[1].note == (
        "memray was attached meanwhile (phase 10.8 at 10.8 s), which changes it; run without it to judge"
    )
    assert verdict.warnings[0] == (
        "profiled by memray in 1 window only, 1.2 s in all: phase 10.8 at 10.8 s; figures of memory from the first "
        "window on hold what stays of the profiler"
    )


def test_a_window_that_never_ended_touches_all_that_came_after(case: Case) -> None:
    case.window(4, None)
    assert case.judged() == [None, None, None, True]


def test_a_window_before_the_load_touches_idle_values(case: Case) -> None:
    case.window(2, 2.5)
    assert case.judged() == [None, True, None, None]


def test_pprof_disturbs_nothing_and_is_told(case: Case) -> None:
    case.window(10.8, 12, tool="pprof")
    assert case.judged() == [True, True, True, True]
    assert case.judge().warnings[0] == "profiled by pprof in 1 window only, 1.2 s in all: phase 10.8 at 10.8 s"


def test_a_look_by_hand_counts_as_one_of_the_scenarios(case: Case) -> None:
    case.window(10.8, 12, collector="by hand")
    assert [window.by_hand for window in windows(case.record())] == [True]
    assert case.judged() == [None, None, None, True]


def test_collectors_that_are_attached_are_no_windows(case: Case) -> None:
    case.builder.event("attach", 1.0, collector="memory")
    case.builder.event("detach", 18.0, collector="memory")
    assert windows(case.record()) == []
    assert isinstance(case.builder.phases[0], Phase)
