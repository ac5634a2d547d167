"""Verdicts and their precedence: error, interrupted, OOM, invalid, failed, inconclusive, passed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.analysis.verdict import judge
from harness.record.models import CollectorFacts, EndingFacts, ExpectedObjects, Outcome, Verdict
from tests import records

_KILL = EndingFacts(kind="oom_limit", exit_code=137, t_ns=records.ns(12), sentence="OOM-killed at its memory limit")
_CRASH = EndingFacts(kind="crash", exit_code=139, t_ns=records.ns(12), sentence="crashed: a segmentation fault")
_LOAD: dict[str, Any] = {
    "kind": "Secret", "requested": 100, "done": 100, "failed": 0, "requested_per_s": 10.0, "achieved_per_s": 10.0,
}  # fmt: skip


class Case:
    """A small synthetic record that passes; each test spoils one thing."""

    def __init__(self, directory: Path) -> None:
        self.builder = records.RecordBuilder(directory / "run")
        self.load = dict(_LOAD)
        self.expect = ["oom.kills == 0", "latency.flip.p99 < 5s"]
        self.engaged: list[dict[str, Any]] = []
        self.seen = 10
        self.effects: list[float | None] = [11.0] * 10
        self.overrides: dict[str, Any] = {"expected": [ExpectedObjects(kind="BundleDeployment", count=10)]}
        self.kill_at: float | None = None
        self.asked = True
        self.collectors = ["memory", "oom", "metrics", "latency", "audit"]

    def resolved(self, *, expect: list[str]) -> dict[str, Any]:
        return {
            "name": "case",
            "summary": "A case.",
            "subject": {"controller": "fleet", "memory_limit": "256Mi"},
            "load": [
                {"create": {"kind": "Secret", "count": 100}},
                {"create": {"kind": "Cluster.management.cattle.io", "count": 1}},
                {
                    "flip": {"kind": "Cluster.management.cattle.io", "labels": {"env": "prod"}},
                    "probes": [{"name": "flip", "until": "Cluster.fleet.cattle.io"}],
                },
            ],
            "expect": expect,
            "engaged": self.engaged,
        }

    def judge(self) -> Verdict:
        builder = self.builder
        builder.phase("start", "start", 0, 1)
        builder.phase("idle", "idle", 1, 3)
        builder.phase("create-Secret", "create", 3, 13, **self.load)
        builder.phase("settle", "settle", 13, 16, settled=True)
        builder.phase("settled", "settled", 16, 18)
        builder.samples("memory", "memory.rss", [(2, 50.0), (12, 90.0), (17, 80.0)])
        builder.samples("latency", "objects.matched", [(14, self.seen)], {"kind": "BundleDeployment"})
        builder.samples("metrics", "reconciles.total", [(15, 42)])
        if self.asked:
            builder.samples("audit", "api.requests", [(2, 3)], {"kind": "Secret", "verb": "list", "subresource": ""})
        for effect in self.effects:
            builder.propagate("flip", "c", 10.0, effect)
        if self.kill_at is not None:
            builder.samples("oom", "oom.kills", [(self.kill_at, 1)])
            builder.event("oom_kill", self.kill_at)
        collectors = [CollectorFacts(name=name, state="on") for name in self.collectors]
        scenario = {
            "name": "case",
            "path": "case.yaml",
            "sha256": "0" * 64,
            "resolved": self.resolved(expect=self.expect),
        }
        defaults = {"collectors": collectors, "scenario": scenario}
        return judge(builder.write(**(defaults | self.overrides)))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_a_run_in_which_all_holds_passes(case: Case) -> None:
    verdict = case.judge()
    assert (verdict.verdict, verdict.exit_code, verdict.reasons) == ("passed", 0, [])


def test_settled_tasks_do_not_hold_the_one_that_our_own_scrape_makes(case: Case) -> None:
    case.builder.samples("tasks", "tasks", [(16.1, 35), (16.6, 35), (17.1, 36), (17.6, 35)])
    case.collectors.append("tasks")
    results = case.judge().results
    assert (results["tasks.settled"].value, results["tasks.peak"].value) == (35, 36)


def test_an_expectation_that_does_not_hold_fails(case: Case) -> None:
    case.effects[-1] = 16.0
    verdict = case.judge()
    assert (verdict.verdict, verdict.exit_code) == ("failed", 1)
    assert verdict.reasons == ["expected latency.flip.p99 < 5s, measured 6 s"]


def test_an_effect_that_never_came_fails_a_bound_and_is_not_dropped(case: Case) -> None:
    case.effects[0] = None
    verdict = case.judge()
    assert verdict.results["latency.flip.p50"].value == 1.0
    assert verdict.results["latency.flip.p99"].value is None
    assert (verdict.results["latency.flip.p99"].reason or "").startswith("never: 1 of 10")
    assert verdict.verdict == "failed"


def test_what_nobody_witnessed_is_inconclusive(case: Case) -> None:
    case.expect = ["memory.heap.settled < 1Gi"]
    verdict = case.judge()
    assert (verdict.verdict, verdict.exit_code) == ("inconclusive", 3)
    assert verdict.reasons == ["memory.heap.settled < 1Gi: collector tasks was not on"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"done": 94}, "made 94 of 100 requests succeed"),
        ({"done": 94, "failed": 6}, "made 94 of 100 requests succeed"),
        ({"achieved_per_s": 9.4}, "reached 9.4/s of 10.0/s"),
    ],
)
def test_load_that_fell_short_is_invalid(case: Case, change: dict[str, Any], says: str) -> None:
    case.load |= change
    case.expect = ["latency.flip.p99 < 1us"]  # would fail, but a run that is not valid is not judged
    verdict = case.judge()
    assert (verdict.verdict, verdict.exit_code) == ("invalid", 3)
    assert says in verdict.reasons[0]


@pytest.mark.parametrize(
    ("achieved_per_s", "verdict"),
    [(80.0, "passed"), (100 / 1.24, "passed"), (100 / 1.26, "invalid"), (0.0, "invalid"), (None, "invalid")],
)
def test_one_late_wake_up_in_a_short_phase_is_told_and_no_shortfall(
    case: Case, achieved_per_s: float | None, verdict: str
) -> None:
    case.load |= {"requested_per_s": 100.0, "achieved_per_s": achieved_per_s}  # 100 requests: a phase of 1 s
    if achieved_per_s == 80.0:
        case.load |= {"requested": 20, "done": 20}
    judged = case.judge()
    assert judged.verdict == verdict
    told = [text for text in judged.warnings if "late at its end; it is too short for a rate" in text]
    assert len(told) == (verdict == "passed"), judged.warnings


def test_a_lost_load_worker_makes_any_run_invalid(case: Case) -> None:
    case.load |= {"done": 97}  # within what may be missing
    assert case.judge().verdict == "passed"
    message = "load worker 2 of 40 (pid 7) was killed by signal 9: its requests are missing"
    case.builder.event("load_worker_lost", 5, worker=1, message=message)
    verdict = case.judge()
    assert (verdict.verdict, verdict.reasons) == ("invalid", [message])


def test_a_shortfall_names_the_first_object_in_the_api_servers_words(case: Case) -> None:
    case.load |= {"done": 94, "failed": 6}
    case.builder.request("create-Secret", 4, 5, name="tried-again", status=500, error="500 Oops: later")
    case.builder.request("create-Secret", 4, 6, name="tried-again", attempt=2)
    case.builder.request("create-Secret", 5, 6, name="refused", status=500, error="500 Oops: no", sent=5)
    case.builder.request(
        "create-Secret", 5, 7, name="refused", status=403, error="403 Forbidden: no!", sent=6, attempt=2
    )
    case.builder.request("create-Secret", 6, 7, name="later", status=403, error="403 Forbidden: no!")
    reason = "load phase create-Secret made 94 of 100 requests succeed; refused: 403 Forbidden: no!"
    assert case.judge().reasons[0] == reason


def test_what_the_cluster_does_not_take_is_invalid(case: Case) -> None:
    case.overrides["outcome"] = Outcome(state="invalid", message="setup: Gadget mine: no", exit_code=3)
    verdict = case.judge()
    assert (verdict.verdict, verdict.exit_code, verdict.reasons) == ("invalid", 3, ["setup: Gadget mine: no"])


def test_a_shortfall_within_five_percent_is_allowed(case: Case) -> None:
    case.load |= {"done": 96, "achieved_per_s": 9.6}
    assert case.judge().verdict == "passed"


def test_incomplete_coverage_is_invalid(case: Case) -> None:
    case.seen = 9
    assert case.judge().reasons == ["incomplete: 9 of 10 BundleDeployment exist"]


def test_a_subject_that_did_not_work_is_invalid(case: Case) -> None:
    case.engaged = [{"metric": "reconciles.total", "min": 43}]
    verdict = case.judge()
    assert (verdict.verdict, verdict.reasons) == (
        "invalid",
        ["not engaged: reconciles.total is 42, must be at least 43"],
    )


def test_who_read_another_kind_has_not_read_this_one(case: Case) -> None:
    case.engaged = [{"metric": "startup.first_object.Secret", "min": 0}]
    case.builder.samples("audit", "startup.first_read", [(4, 3.5)], {"kind": "Cluster.management.cattle.io"})
    verdict = case.judge()
    assert verdict.results["startup.first_object"].value == 3.5
    assert verdict.verdict == "invalid"
    wanted = (
        "not engaged: startup.first_object.Secret must be at least 0 s, but is unknown (the subject read no Secret)"
    )
    assert verdict.reasons == [wanted]


def test_when_a_kind_was_read_first_is_told_where_the_scenario_asks(case: Case) -> None:
    case.engaged = [{"metric": "startup.first_object.Secret", "min": 0}]
    for at, kind in ((2, "Cluster.management.cattle.io"), (5, "Secret")):
        case.builder.samples("audit", "startup.first_read", [(at, at)], {"kind": kind})
    results = case.judge().results
    assert (results["startup.first_object"].value, results["startup.first_object.Secret"].value) == (2, 5)
    assert "startup.first_object.Cluster.management.cattle.io" not in results


def test_an_unexpected_kill_fails_even_where_the_load_fell_short(case: Case) -> None:
    case.kill_at, case.overrides["ending"] = 12.0, _KILL
    case.load |= {"done": 60}
    verdict = case.judge()
    assert (verdict.verdict, verdict.exit_code) == ("failed", 1)
    assert verdict.reasons[0] == "OOM-killed at its memory limit"


def test_an_expected_kill_passes_and_what_it_cut_short_does_not_count(case: Case) -> None:
    case.kill_at, case.overrides["ending"] = 12.0, _KILL
    case.expect = ["oom.kills >= 1", "memory.rss.settled < 1B", "completeness.BundleDeployment == 1"]
    case.seen, case.load["done"] = 3, 60
    verdict = case.judge()
    assert (verdict.verdict, verdict.exit_code) == ("passed", 0)
    assert [item.counts for item in verdict.expectations] == [True, False, False]
    assert (verdict.results["memory.rss.settled"].reason or "").startswith("cut short by the OOM kill")


def test_an_expected_kill_before_the_load_is_invalid(case: Case) -> None:
    case.kill_at, case.overrides["ending"] = 2.0, _KILL.model_copy(update={"t_ns": records.ns(2)})
    case.expect = ["oom.kills >= 1"]
    verdict = case.judge()
    assert verdict.verdict == "invalid"
    assert "before the load began" in verdict.reasons[0]


def test_an_expected_kill_that_did_not_come_fails(case: Case) -> None:
    case.expect = ["oom.kills >= 1"]
    assert case.judge().verdict == "failed"


def test_a_kill_by_the_node_is_no_finding_about_the_subject(case: Case) -> None:
    case.overrides["ending"] = _KILL.model_copy(update={"kind": "oom_node", "sentence": "OOM-killed by the node"})
    assert case.judge().verdict == "invalid"


@pytest.mark.parametrize(
    "log", [[], [{"limit_of": "/", "killed_in": "/run/subject-0"}], [{"limit_of": None, "killed_in": "/s"}]]
)
def test_a_kill_by_the_node_is_not_the_expected_one_although_the_cgroup_counts_it(
    case: Case, log: list[dict[str, str | None]]
) -> None:
    changes = {"kind": "oom_node", "sentence": "OOM-killed by the node", "evidence": {"kernel_log": log} if log else {}}
    case.kill_at, case.overrides["ending"] = 12.0, _KILL.model_copy(update=changes)
    case.expect = ["oom.kills >= 1"]
    verdict = case.judge()
    assert (verdict.verdict, verdict.reasons) == ("invalid", ["OOM-killed by the node"])
    assert verdict.results["oom.kills"].value == 0


def test_a_kill_of_a_child_at_the_limit_counts_though_the_node_ended_the_subject(case: Case) -> None:
    own, node = ({"limit_of": limit, "killed_in": "/s"} for limit in ("/s", "/"))
    changes = {"kind": "oom_node", "sentence": "OOM-killed by the node", "evidence": {"kernel_log": [own, node]}}
    case.builder.samples("oom", "oom.kills", [(12.5, 2)])
    case.kill_at, case.overrides["ending"] = 12.0, _KILL.model_copy(update=changes)
    assert case.judge().results["oom.kills"].value == 1


def test_a_crash_fails_with_its_sentence(case: Case) -> None:
    case.overrides["ending"] = _CRASH
    verdict = case.judge()
    assert (verdict.verdict, verdict.reasons) == ("failed", ["crashed: a segmentation fault"])


def test_error_and_interruption_come_before_everything(case: Case) -> None:
    case.kill_at, case.overrides["ending"] = 12.0, _KILL
    case.overrides["outcome"] = Outcome(state="error", message="etcd ended", exit_code=4)
    verdict = case.judge()
    assert (verdict.verdict, verdict.exit_code, verdict.reasons) == ("error", 4, ["etcd ended"])


def test_a_record_without_an_outcome_reads_as_interrupted(case: Case) -> None:
    case.overrides["outcome"] = None
    verdict = case.judge()
    assert (verdict.verdict, verdict.exit_code) == ("interrupted", 130)
    assert verdict.results["memory.rss.peak"].value == 90.0


@pytest.mark.parametrize(
    ("expr", "kill", "verdict"),
    [
        ("memory.rss.peak < 1Gi", False, "inconclusive"),
        ("latency.flip.p99 < 5s", False, "inconclusive"),
        ("oom.kills == 0", False, "inconclusive"),
        ("reconciles.total > 1", False, "passed"),
        ("oom.kills >= 1", True, "passed"),
    ],
)
def test_under_a_heavy_profiler_only_what_it_leaves_alone_is_judged(
    case: Case, expr: str, kill: bool, verdict: str
) -> None:
    names = ("memory", "oom", "metrics", "latency")
    case.overrides["collectors"] = [
        *(CollectorFacts(name=name, state="on") for name in names),
        CollectorFacts(name="memray", state="on", heavy=True),
    ]
    case.expect = [expr]
    if kill:
        case.kill_at, case.overrides["ending"] = 12.0, _KILL
    assert case.judge().verdict == verdict


def test_the_verdict_is_the_same_each_time(case: Case) -> None:
    first = case.judge()
    assert judge(records.RunRecord(case.builder.directory)) == first


@pytest.mark.parametrize(("unjudged", "value"), [(0, 2.0), (100, None)])
def test_noop_writes_are_unknown_where_the_audit_log_has_no_answers(
    case: Case, unjudged: int, value: float | None
) -> None:
    case.builder.samples("audit", "writes.noop", [(14, 2)], {"kind": "Bundle", "verb": "patch"})
    case.builder.event("audit", 17, lines=200, unjudged_writes=unjudged)
    case.expect = ["writes.noop == 0"]
    verdict = case.judge()
    assert verdict.results["writes.noop"].value == value
    assert verdict.verdict == ("failed" if value else "inconclusive")


@pytest.mark.parametrize(("expr", "verdict"), [("oom.kills == 0", "failed"), ("oom.kills >= 1", "invalid")])
def test_a_kill_before_the_subject_was_ready_is_a_finding_and_no_error(tmp_path: Path, expr: str, verdict: str) -> None:
    case = Case(tmp_path)
    message = "subject: OOM-killed at its memory limit before it was ready"
    scenario = {"name": "case", "path": "case.yaml", "sha256": "0" * 64, "resolved": case.resolved(expect=[expr])}
    record = case.builder.write(
        scenario=scenario, ending=_KILL.model_copy(update={"t_ns": records.ns(2)}), collectors=[],
        outcome=Outcome(state="error", message=message, exit_code=3),
    )  # fmt: skip
    judged = judge(record)
    assert (judged.verdict, judged.exit_code) == (verdict, 1 if verdict == "failed" else 3)
    if verdict == "failed":
        assert judged.reasons == [
            "OOM-killed at its memory limit, before it was ready",
            "expected oom.kills == 0, measured 1",
        ]


@pytest.mark.parametrize(
    ("kind", "verdict", "code"),
    [("crash", "failed", 1), ("clean", "invalid", 3), ("oom_node", "invalid", 3), (None, "invalid", 3)],
)
def test_a_crash_before_the_subject_was_ready_is_a_finding_and_what_says_nothing_is_invalid(
    tmp_path: Path, kind: str | None, verdict: str, code: int
) -> None:
    case = Case(tmp_path)
    message = "subject: ended before it was ready; last lines of subject.log: no such switch"
    scenario = {"name": "case", "path": "case.yaml", "sha256": "0" * 64, "resolved": case.resolved(expect=[])}
    ending = None if kind is None else EndingFacts(kind=kind, exit_code=2, t_ns=records.ns(2), sentence="ended")  # type: ignore[arg-type] # a case
    outcome = Outcome(state="invalid", message=message, exit_code=3)
    judged = judge(case.builder.write(scenario=scenario, ending=ending, collectors=[], outcome=outcome))
    assert (judged.verdict, judged.exit_code, judged.reasons) == (verdict, code, [message])


def observed(directory: Path, *expect: str, **overrides: Any) -> Verdict:
    builder = records.RecordBuilder(directory / "run")
    builder.phase("start", "start", 0, 1)
    builder.phase("observe", "observe", 3, 13)
    builder.samples("memory", "memory.rss", [(4, 50.0), (12, 90.0)])
    builder.samples("memory", "cpu.seconds", [(1, 1.0), (3, 1.5), (12, 4.0)])
    builder.samples("audit", "api.requests", [(2, 3)], {"kind": "Secret", "verb": "list", "subresource": ""})
    resolved = Case(directory / "case").resolved(expect=list(expect)) | {
        "engaged": [{"metric": "load.requests", "min": 5}, {"metric": "memory.rss.peak", "min": "80B"}]
    }
    names = ("memory", "latency", "audit")
    return judge(
        builder.write(
            scenario={"name": "case", "path": "case.yaml", "sha256": "0" * 64, "resolved": resolved}, expected=[],
            collectors=[CollectorFacts(name=name, state="on") for name in names], observed=True, **overrides,
        )
    )  # fmt: skip


def test_an_observed_run_is_judged_by_what_is_not_about_a_load_of_ours(tmp_path: Path) -> None:
    verdict = observed(tmp_path, "memory.rss.peak < 100B", "latency.flip.p99 < 5s", "load.failures == 0")
    assert (verdict.verdict, verdict.reasons) == ("passed", [])
    assert [(item.ok, item.counts) for item in verdict.expectations] == [(True, True), (None, False), (None, False)]
    assert verdict.results["cpu.total"].value == 2.5
    assert not any(name.startswith("load.") for name in verdict.results)


def test_an_observed_run_of_which_nothing_can_be_judged_is_inconclusive(tmp_path: Path) -> None:
    verdict = observed(tmp_path, "load.failures == 0")
    assert (verdict.verdict, verdict.exit_code) == ("inconclusive", 3)
    assert verdict.reasons == ["no expectation is about what can be seen without a load of ours"]


def test_a_process_that_is_gone_is_no_crash_and_no_success(tmp_path: Path) -> None:
    ending = EndingFacts(kind="gone", exit_code=None, t_ns=records.ns(9), sentence="process 7 has ended")
    verdict = observed(tmp_path, "memory.rss.peak < 100B", ending=ending)
    assert (verdict.verdict, verdict.reasons) == ("invalid", ["process 7 has ended"])


@pytest.mark.parametrize(("reconciled", "value"), [(16.5, 3.5), (None, None)])
def test_the_slowest_failover_counts_and_one_that_was_not_seen_is_not_left_out(
    case: Case, reconciled: float | None, value: float | None
) -> None:
    for killed, held, worked in ((13.0, 14.0, 14.5), (13.0, 15.0, reconciled)):
        case.builder.event(
            "failover", 15, killed_ns=records.ns(killed), lease_ns=records.ns(held), started_ns=records.ns(held),
            reconcile_ns=None if worked is None else records.ns(worked), ready_ns=records.ns(held + 1),
            reason=None if worked else "nothing was reconciled",
        )  # fmt: skip
    case.overrides["subject"] = records.SUBJECT.model_copy(update={"replicas": 2})
    results = case.judge().results
    assert results["failover.lease"].value == 2.0
    assert results["failover.first_reconcile"].value == value
    assert results["failover.first_reconcile"].reason == (None if reconciled else "nothing was reconciled")
    assert (results["restarts"].value, results["startup.restart"].value) == (2, 1.0)


def test_what_the_load_deleted_and_a_finalizer_keeps_is_named(case: Case) -> None:
    case.builder.samples("latency", "objects.surplus", [(14, 2)], {"kind": "BundleDeployment"})
    case.builder.event("undeleted", 17, kind="BundleDeployment", name="held", finalizers=["a.b/c"], count=2)
    assert case.judge().reasons == [
        "2 BundleDeployment exist that the load has deleted; held waits for its finalizers a.b/c"
    ]


def test_a_run_without_any_load_says_so(tmp_path: Path) -> None:
    builder = records.RecordBuilder(tmp_path / "run")
    builder.phase("start", "start", 0, 1)
    builder.phase("settle", "settle", 1, 4, settled=True)
    resolved = {"name": "case", "summary": "A case.", "subject": {"controller": "fleet"}}
    scenario = {"name": "case", "path": "case.yaml", "sha256": "0" * 64, "resolved": resolved}
    verdict = judge(builder.write(scenario=scenario, collectors=[], expected=[]))
    assert (verdict.verdict, verdict.exit_code) == ("invalid", 3)
    assert verdict.reasons == ["no load was sent: these are the figures of an idle subject"]


def test_a_subject_that_asked_the_api_server_nothing_is_invalid(case: Case) -> None:
    case.asked = False
    verdict = case.judge()
    assert verdict.verdict == "invalid"
    assert verdict.reasons[0].startswith("the subject made no request to the API server")


def test_a_hook_that_failed_makes_the_run_invalid(case: Case) -> None:
    case.builder.phase("hook", "hook", 13, 14, failure="sh failed with exit code 3; its last words: no such thing")
    verdict = case.judge()
    assert (verdict.verdict, verdict.exit_code) == ("invalid", 3)
    assert verdict.reasons == ["hook: sh failed with exit code 3; its last words: no such thing"]


def test_a_run_without_restarts(case: Case) -> None:
    assert case.judge().results["startup.restart"].reason == "the subject was not restarted"


def test_the_slowest_restart(case: Case) -> None:
    for started, ready in ((5, 6.5), (8, 8.5)):
        case.builder.event("restart", ready, started_ns=records.ns(started), ready_ns=records.ns(ready))
    case.builder.event("restart", 9, started_ns=records.ns(9), ready_ns=None)
    results = case.judge().results
    assert (results["restarts"].value, results["startup.restart"].value) == (3, 1.5)


def test_a_search_for_the_limit_is_not_invalid_for_finding_it(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.load |= {"until_failure": True, "requested": 60, "done": 40, "failed": 20, "requested_per_s": None}
    case.load |= {"sustained_per_s": 20.0, "failed_at_per_s": 30.0}
    case.expect = ["load.sustained_per_s >= 20/s"]
    verdict = case.judge()
    assert (verdict.verdict, verdict.reasons, verdict.warnings) == ("passed", [], [])


@pytest.mark.parametrize(
    ("found", "value", "text"),
    [
        ({"sustained_per_s": 30.0}, 30.0, "phase create-Secret kept its last step, 30/s: the limit lies above it"),
        ({"failed_at_per_s": 10.0}, None, "create-Secret did not keep its first step, 10/s"),
        ({}, None, "create-Secret did not end its first step"),
    ],
)
def test_a_search_that_found_no_limit_says_so(
    tmp_path: Path, found: dict[str, float], value: float | None, text: str
) -> None:
    case = Case(tmp_path)
    case.load |= {"until_failure": True, "requested_per_s": None, **found}
    verdict = case.judge()
    result = verdict.results["load.sustained_per_s"]
    assert result.value == value
    assert text in (verdict.warnings if value is not None else [result.reason])


def test_objects_that_the_load_has_deleted_and_that_are_still_there_make_a_run_invalid(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.builder.samples("latency", "objects.surplus", [(10, 7.0), (14, 3.0)], {"kind": "BundleDeployment"})
    verdict = case.judge()
    assert verdict.verdict == "invalid"
    assert verdict.reasons == ["3 BundleDeployment exist that the load has deleted"]
