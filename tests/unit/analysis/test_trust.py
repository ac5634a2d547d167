"""Whether a run can be trusted: what it says of its own means, from synthetic records, and where it becomes invalid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.analysis.facts import Facts
from harness.analysis.selfaudit import SelfAudit
from harness.analysis.trust import Trust, trust
from harness.analysis.verdict import judge
from harness.record.models import CollectorFacts, EndingFacts, Verdict
from harness.record.reader import RunRecord
from tests import records

_RESOLVED: dict[str, Any] = {
    "name": "case",
    "summary": "A case.",
    "subject": {"controller": "fleet"},
    "load": [
        {"create": {"kind": "Cluster.management.cattle.io", "count": 100}},
        {
            "flip": {"kind": "Cluster.management.cattle.io", "labels": {"env": "prod"}, "count": 50},
            "probes": [{"name": "flip", "until": "Cluster.fleet.cattle.io"}],
        },
    ],
    "expect": ["latency.flip.p99 < 8s", "api.create.Cluster.management.cattle.io.p99 < 8s"],
}


class Case:
    """A run of two load phases (3-13 s at 10/s, 13-18 s at any rate) on two CPUs; each test spoils one thing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.rate: float | None = 10.0
        self.flip_rate: float | None = None
        self.generator = 0.5
        self.steal = 0.02
        self.busy = 1.5
        self.load_lag = {10: 0.01, 16: 0.01}
        self.our_lag = {10: 0.01, 16: 0.01, 20: 0.01}
        self.slip = 0.001
        self.retries = self.refused = 0
        self.expect = list(_RESOLVED["expect"])
        self.load_end = 13.0
        self.create: dict[str, Any] = {}
        self.flip_start = 13
        self.on_busy = "invalid"
        self.workers: dict[str, float] = {}

    def record(self) -> RunRecord:
        made = records.RecordBuilder(self.directory / "run")
        kind = "Cluster.management.cattle.io"
        made.phase("start", "start", 0, 1)
        made.phase("idle", "idle", 1, 3)
        made.phase(
            "create", "create", 3, self.load_end, kind=kind, requested=100, done=100, failed=0, requested_per_s=self.rate,
            achieved_per_s=self.rate or 10.0, **self.create,
        )  # fmt: skip
        made.phase("flip", "flip", self.flip_start, 18, kind=kind, requested=50, done=50, failed=0,
                   requested_per_s=self.flip_rate, achieved_per_s=10.0)  # fmt: skip
        made.phase("settle", "settle", 18, 22, settled=True)
        made.phase("end", "end", 22, 23)
        for t in range(1, 23):
            made.samples("load", "load.cpu", [(t, 0.05 * t if t < 3 else 0.15 + self.generator * (t - 3))])
            for worker, cores in self.workers.items():
                cpu = 0.05 * t if t < 3 else 0.15 + cores * (t - 3)
                made.samples("load", "load.worker.cpu", [(t, cpu)], {"worker": worker})
            made.samples("host", "host.cpu.steal", [(t, 100 + 2 * self.steal * t)])
            made.samples("host", "host.cpu.busy", [(t, 5000 + self.busy * t)])
            made.samples("memory", "cpu.seconds", [(t, 0.2 * t)])
            made.samples("apiserver", "controlplane.cpu", [(t, 0.4 * t)])
            made.samples("apiserver", "apiserver.cpu", [(t, 0.3 * t)])
            made.samples("host", "overhead.cpu", [(t, 0.1 * t)])
            made.samples("host", "host.pressure.cpu", [(t, 0.9)])
        made.samples(
            "audit",
            "api.requests",
            [(2, 3)],
            {"kind": "Cluster.management.cattle.io", "verb": "list", "subresource": ""},
        )
        made.samples("load", "load.loop_lag", self.load_lag.items())
        made.samples("host", "overhead.loop_lag", self.our_lag.items())
        for t, reading, writing in ((4, 1, 3), (9, 2, 40), (12, 30, 5)):
            made.samples("apiserver", "apiserver.inflight", [(t, reading)], {"kind": "readOnly"})
            made.samples("apiserver", "apiserver.inflight", [(t, writing)], {"kind": "mutating"})
        made.samples("apiserver", "apiserver.rejected", [(4, 7), (12, 7 + self.refused)])
        for border, before, after in (("0.1", 10, 50), ("0.5", 20, 119), ("+Inf", 20, 120)):
            labels = {"verb": "create", "le": border}
            made.samples("apiserver", "apiserver.duration", [(3.01, before), (12.9, after)], labels)
        for i in range(100):
            at = 3 + i / 10
            made.request("create", at, at + 0.3, sent=at + (self.slip if i < 98 else 3 * self.slip), kind=kind)
        for i in range(self.retries):
            made.request("create", 3 + i / 10, 4 + i / 10, kind=kind, attempt=2)
        for i in range(50):
            made.request("flip", 13 + i / 10, 13.1 + i / 10, kind=kind, verb="patch")
            made.propagate("flip", f"c{i}", 13 + i / 10, 14 + i / 10)
        names = ("memory", "host", "apiserver", "latency", "audit", "load")
        return made.write(
            on_busy=self.on_busy,
            collectors=[CollectorFacts(name=name, state="on") for name in names],
            scenario={
                "name": "case", "path": "case.yaml", "sha256": "0" * 64, "resolved": _RESOLVED | {"expect": self.expect},
            },
        )  # fmt: skip

    def judge(self) -> Verdict:
        return judge(self.record())

    def trust(self) -> Trust:
        record = self.record()
        return trust(Facts(record), judge(record))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_a_run_whose_means_sufficed_is_judged(case: Case) -> None:
    verdict = case.judge()
    assert (verdict.verdict, verdict.reasons) == ("passed", [])


def test_results_of_the_self_audit(case: Case) -> None:
    case.retries, case.refused = 3, 2
    results = {name: result.value for name, result in case.judge().results.items()}
    assert results["load.slip.p50"] == pytest.approx(0.001)
    assert results["load.slip.p99"] == pytest.approx(0.003)
    assert results["load.retries"] == 3
    assert results["load.cpu.share"] == pytest.approx(0.5)
    assert results["load.loop_lag.max"] == 0.01
    assert results["apiserver.cpu"] == pytest.approx(0.3 * 19)
    assert results["apiserver.inflight.max"] == 42
    assert results["apiserver.rejected"] == 2
    assert results["apiserver.request.create.p99"] == 0.5
    assert results["host.steal"] == pytest.approx(0.02)
    assert results["host.pressure.cpu"] == pytest.approx(0.9)
    # 1.5 cores busy, less 0.2 of the subject, 0.4 of the control plane, 0.1 of ours and 0.5 of the generator, of 2 CPUs
    assert results["host.cpu.others"] == pytest.approx(0.15)
    assert results["overhead.loop_lag.max"] == 0.01


def test_slips_do_not_exist_without_a_fixed_rate(case: Case) -> None:
    case.rate = None
    verdict = case.judge()
    assert verdict.results["load.slip.p99"].reason == "no phase had a fixed rate"
    assert case.trust().phases[0][0].slip_p99_s is None


@pytest.mark.parametrize(("cores", "word"), [(0.89, "passed"), (0.91, "invalid")])
def test_a_generator_at_its_limit_makes_a_fixed_rate_invalid(case: Case, cores: float, word: str) -> None:
    case.generator = cores
    case.expect = ["load.failures == 0"]  # whatever is judged: the load was not the one asked for
    verdict = case.judge()
    assert verdict.verdict == word
    assert all("phase create: the load generator used 91% of a CPU" in reason for reason in verdict.reasons)


def test_of_several_load_workers_the_busiest_is_at_its_limit(case: Case) -> None:
    case.generator, case.expect = 1.5, ["load.failures == 0"]  # all together; no thread can use more than one
    case.workers = {"0": 0.95, "1": 0.4, "master": 0.15}
    verdict = case.judge()
    assert verdict.verdict == "invalid"
    assert verdict.reasons[0].startswith("load phase create: the load generator used 95% of a CPU")
    case.workers = {"0": 0.8, "1": 0.6, "master": 0.1}
    assert case.judge().verdict == "passed"


def test_a_generator_at_its_limit_is_what_rate_max_asks_for(case: Case) -> None:
    case.generator, case.rate = 0.99, None
    assert case.judge().verdict == "passed"
    assert case.trust().phases[0][1][0] == "the generator was at its own limit"


@pytest.mark.parametrize(
    ("cores", "failed_at", "word"), [(0.95, 20.0, "invalid"), (0.85, 20.0, "passed"), (0.95, None, "passed")]
)
def test_a_limit_that_is_the_generators_own_is_not_the_api_servers(
    case: Case, cores: float, failed_at: float | None, word: str
) -> None:
    case.generator, case.rate = cores, None
    case.create = {"until_failure": True, "sustained_per_s": 10.0, "failed_at_per_s": failed_at}
    case.expect = ["load.failures == 0"]
    verdict = case.judge()
    assert verdict.verdict == word
    said = "load phase create: the load generator used 95% of a CPU, more than 90%, while 20/s was not kept"
    assert [reason.startswith(said) for reason in verdict.reasons] == [True] * (word == "invalid")


def test_phases_that_ran_together_say_what_they_share(case: Case) -> None:
    case.refused = 2
    alone = [(item.phase.name, item.beside, item.rejected) for item, _ in case.trust().phases]
    assert alone == [("create", (), 2), ("flip", (), None)]
    case.flip_start = 5
    together = case.trust().phases
    # What the API server refused is told by the time, not by whose name the samples bear.
    assert [(item.beside, item.rejected) for item, _ in together] == [(("flip",), 2), (("create",), 2)]
    assert "ran beside flip: all but its rate, delays and repeated attempts is of them together" in together[0][1]


def test_a_phase_of_less_than_a_second_says_nothing_of_cpu(case: Case) -> None:
    case.generator, case.load_end, case.rate = 0.99, 3.9, 111.0
    assert case.judge().verdict == "passed"


@pytest.mark.parametrize(("share", "word"), [(0.09, "passed"), (0.11, "invalid")])
def test_steal_makes_times_impossible_to_judge(case: Case, share: float, word: str) -> None:
    case.steal = share
    verdict = case.judge()
    assert (verdict.verdict, verdict.exit_code) == (word, 3 if word == "invalid" else 0)
    assert all("its host took 11% of its CPU time (steal)" in reason for reason in verdict.reasons)


def test_a_busy_machine_may_be_accepted_and_is_still_told(case: Case) -> None:
    case.steal, case.on_busy = 0.3, "warn"
    verdict = case.judge()
    assert verdict.verdict == "passed"
    assert [warning.endswith("(accepted by --on-busy warn)") for warning in verdict.warnings] == [True]
    assert case.trust().answer.startswith("Not its times")
    case.generator = 0.91  # that the load was not the one asked for is nothing that a user may accept
    verdict = case.judge()
    assert verdict.verdict == "invalid"
    assert [reason.startswith("load phase create: the load generator used 91%") for reason in verdict.reasons] == [True]


@pytest.mark.parametrize(
    ("expect", "word"),
    [
        (["latency.flip.p99 < 8s"], "passed"),
        (["latency.flip.p99 < 8s", "load.failures == 0"], "passed"),
        (["latency.flip.p99 < 8s", "load.failures == 1"], "failed"),
        (["latency.flip.p99 < 500ms"], "invalid"),  # broken, but perhaps by the machine
        (["latency.flip.p99 < 8s", "latency.flip.p50 < 500ms"], "invalid"),
        (["latency.flip.p99 > 500ms"], "invalid"),  # a quieter machine may not be so slow
        (["latency.flip.p99 < 8s", "latency.deployed.p99 < 8s"], "invalid"),  # of one nothing is known
    ],
)
def test_bounds_that_held_on_a_busy_machine_have_held(case: Case, expect: list[str], word: str) -> None:
    case.steal, case.on_busy, case.expect, case.flip_rate = 0.3, "bounds", expect, 10.0
    verdict = case.judge()
    assert verdict.verdict == word, verdict.reasons
    if word == "invalid":
        assert case.trust().answer.startswith("No: the run is invalid")
    else:
        assert [warning.endswith("(every bound on a time held all the same)") for warning in verdict.warnings] == [True]
        assert case.trust().answer.startswith("Yes, but quote none of its times")


@pytest.mark.parametrize(
    ("expect", "word"),
    [(["latency.flip.p99 < 8s"], "passed"), (["api.create.Cluster.management.cattle.io.p99 < 8s"], "invalid")],
)
def test_a_bound_that_held_under_a_load_of_the_machines_own_making_proves_nothing(
    case: Case, expect: list[str], word: str
) -> None:
    case.steal, case.on_busy, case.expect = 0.3, "bounds", expect
    case.rate, case.flip_rate = None, 10.0
    assert case.judge().verdict == word


def test_a_kill_on_a_busy_machine_leaves_no_bound_that_held(case: Case) -> None:
    case.steal, case.on_busy, case.expect = 0.2, "bounds", ["oom.kills >= 1", "latency.none.p99 < 8s"]
    record = case.record()
    record.run.ending = EndingFacts(
        kind="oom_limit", exit_code=137, t_ns=records.ns(20), sentence="OOM-killed"
    )  # fmt: skip
    verdict = judge(record)
    assert verdict.warnings == []
    assert trust(Facts(record), verdict).answer.startswith("Yes, with care")


@pytest.mark.parametrize(("cores", "word"), [(3.08, "passed"), (3.12, "invalid")])
def test_a_machine_that_others_use_up_judges_no_times(case: Case, cores: float, word: str) -> None:
    case.busy = cores  # of which 1.2 are the run's own
    verdict = case.judge()
    assert verdict.verdict == word
    assert all("other programs used 96% of its CPU time" in reason for reason in verdict.reasons)


def test_steal_does_not_matter_where_no_time_is_judged(case: Case) -> None:
    case.steal, case.expect = 0.5, ["load.failures == 0"]
    assert case.judge().verdict == "passed"


@pytest.mark.parametrize(
    ("load", "ours", "says"),
    [
        (
            {10: 0.9},
            {20: 0.01},
            "judge api.create.Cluster.management.cattle.io.p99 < 8s: the event loop of the load gen",
        ),
        (
            {10: 0.01, 16: 0.9},
            {20: 0.01},
            "judge latency.flip.p99 < 8s: the event loop of the load generator was 900 ms",
        ),
        ({10: 0.01}, {20: 0.9}, "judge latency.flip.p99 < 8s: the event loop of the harness was 900 ms late"),
    ],
)
def test_loops_that_were_late_while_it_mattered(case: Case, load: Any, ours: Any, says: str) -> None:
    case.load_lag, case.our_lag = load, ours
    verdict = case.judge()
    assert verdict.verdict == "invalid"
    assert any(says in reason for reason in verdict.reasons), verdict.reasons


def test_what_is_late_before_latencies_are_measured_does_not_matter(case: Case) -> None:
    case.our_lag = {5: 3.0, 20: 0.01}
    assert case.judge().verdict == "passed"


def test_a_wide_bound_allows_a_tenth_of_itself(case: Case) -> None:
    case.our_lag = {20: 0.9}
    case.expect = ["latency.flip.p99 < 10s"]
    assert case.judge().verdict == "passed"


def test_pressure_alone_is_no_reason(case: Case) -> None:
    """A subject that uses all there is makes tasks wait: measured 0.9 and more in runs in which all was well."""
    assert case.trust().answer.startswith("Yes: ")


def test_what_is_worth_a_word_is_said_and_costs_nothing(case: Case) -> None:
    case.retries, case.refused, case.slip, case.busy = 3, 2, 0.2, 1.9
    found = case.trust()
    assert found.answer.startswith("Yes, with care")
    create, flip = (remarks for _, remarks in found.phases)
    assert create == [
        "requests went out late: latencies hold the wait, service times do not",
        "3 attempts were repeated",
        "the API server refused 2 requests",
    ]
    assert flip == []
    assert [remark[:52] for remark in found.remarks] == ["other programs used 35% of the machine's CPU time fr"]


def test_the_answer_and_the_verdict_never_disagree(case: Case) -> None:
    case.steal = 0.2
    found = case.trust()
    assert found.answer.startswith("No: the run is invalid")
    assert [reason.split(":")[0] for reason in found.spoiled] == ["the machine was too busy to judge latency.flip.p99"]


def test_a_kill_is_a_finding_on_a_busy_machine_too(case: Case) -> None:
    case.steal, case.expect = 0.2, ["oom.kills >= 1", "latency.flip.p99 < 8s"]
    record = case.record()
    kill = EndingFacts(kind="oom_limit", exit_code=137, t_ns=records.ns(20), sentence="OOM-killed")
    record.run.ending = kill
    verdict = judge(record)
    assert verdict.verdict == "passed"
    found = trust(Facts(record), verdict)
    assert found.answer.startswith("Yes, with care")
    assert "its host took 20%" in found.remarks[0]


def test_counters_are_read_between_their_samples(case: Case) -> None:
    audit = SelfAudit(Facts(case.record()))
    assert audit.grown("load.cpu", records.ns(4.5), records.ns(6.25)) == pytest.approx(0.5)
    assert audit.grown("load.cpu", records.ns(30), records.ns(40)) is None
    assert audit.grown("no.such", 0, records.ns(40)) is None


def test_a_record_without_any_of_this_is_judged_as_before(tmp_path: Path) -> None:
    record, _ = records.passing(tmp_path / "run")
    results = judge(record).results
    assert results["apiserver.cpu"].value is None
    assert results["apiserver.cpu"].reason == "collector apiserver was not on"
