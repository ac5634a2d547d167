"""Comparisons of stored runs and experiments, and when they are refused. The runs are synthetic."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from harness.core import stacks
from harness.core.errors import UsageError
from harness.core.stacks import Frame, Held, StackProfile
from harness.gate import environment, stored
from harness.gate.compare import Compared, compare
from harness.gate.environment import CHECKOUT_PREFIX
from harness.gate.pairing import Side
from harness.record.experiments import ExperimentRecord
from harness.record.models import Experiment, ExperimentRun, Run
from harness.report import compare_terminal
from tests import records
from tests.unit.gate import gate_pairs

HEAP = "memory.heap.settled"


def stored_run(directory: Path, run_id: str, heap: float, fingerprint: str = "aaaa") -> Side:
    machine = records.MACHINE.model_copy(update={"fingerprint": fingerprint})
    record = records.RecordBuilder(directory / run_id, run_id=run_id, arm=None).write(machine=machine)
    verdict = records.verdict_of(record, {HEAP: heap, "oom.kills": 0.0, "cpu.throttled": "no limit"}, "passed", 0)
    return Side(record, verdict)


def experiment(directory: Path, heaps: dict[str, list[float]]) -> ExperimentRecord:
    runs: list[ExperimentRun] = []
    for arm, values in heaps.items():
        for number, heap in enumerate(values, 1):
            run_id = f"20261122-09000{number}-{arm[0] * 5}"
            stored_run(directory, run_id, heap)
            runs.append(
                ExperimentRun(run_id=run_id, arm=arm, order=len(runs), verdict="passed", exit_code=0, pair=number, seed=number)
            )  # fmt: skip
    record = ExperimentRecord(directory / "experiments" / "20261122-080000-eeeee")
    facts = Experiment(
        experiment_id="20261122-080000-eeeee", scenario="smoke", started_at=datetime.now(UTC), runs=runs, exit_code=0,
        kind="gate",
    )  # fmt: skip
    record.save(facts)
    return record


def shown(directory: Path, a: str, b: str, *, across: bool = False) -> str:
    left, right = stored.find(a, directory), stored.find(b, directory)
    found = compare(left.compared, right.compared, stored.pairs_between(left, right), across_machines=across)
    file = io.StringIO()
    console = Console(file=file, width=60)
    compare_terminal.render(found, console)
    return file.getvalue()


def kept_heap(side: Side, held: int) -> Side:
    """The same run, of a Go subject whose function `store` held so much at its end."""
    place = side.record.path / "profiles" / "heap-end.stacks.json.gz"
    place.parent.mkdir(exist_ok=True)
    stack = (Frame("store", "/src/store.go", 7), Frame("main", "/src/main.go", 1))
    stacks.dump(StackProfile("go-heap", "x", {"inuse": {stack: Held(held, 1)}, "alloc": {}}), place)
    with (side.record.path / "events.jsonl").open("a") as file:
        event = {"t_ns": 1, "phase": "end", "type": "heap_profile", "when": "end", "stacks": f"profiles/{place.name}"}
        file.write(json.dumps(event) + "\n")
    return side


def test_allocation_sites_of_runs_that_keep_profiles_are_told(tmp_path: Path) -> None:
    a, b, c, d = (stored_run(tmp_path, f"20261122-09000{i}-aaaaa", 100e6) for i in range(4))
    for side, held in ((a, 1_000_000), (b, 1_010_000), (c, 3_000_000), (d, 3_010_000)):
        kept_heap(side, held)
    one = compare(Compared("a", "a", [a]), Compared("c", "c", [c]), None, across_machines=False)
    assert [site.sentence for site in one.sites] == [
        "store (/src/store.go:7): 976.6 KiB -> 2.9 MiB, +1.9 MiB, 100% of all growth, in 1 and 1 profiled runs"
    ]
    groups = compare(Compared("a", "a", [a, b]), Compared("c", "c", [c, d]), None, across_machines=False)
    assert (groups.sites[0].rank, groups.sites[0].growth, "95 %" in groups.sites[0].sentence) == (1, 2_000_000, True)
    pairs = [gate_pairs.pair(1, a, c), gate_pairs.pair(2, b, d)]
    paired = compare(Compared("a", "a", [a, b]), Compared("c", "c", [c, d]), pairs, across_machines=False)
    assert paired.sites[0].sentence.endswith("in 2 of 2 profiled pairs")
    assert compare(Compared("c", "c", [c]), Compared("a", "a", [a]), None, across_machines=False).sites == []
    file = io.StringIO()
    console = Console(file=file, width=60)
    compare_terminal.render(one, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Holds more in B, by allocation site\n  1. store (/src/store.go:7): 976.6 KiB -> 2.9 MiB" in text
    assert "     called by main (/src/main.go:1)\n" in text


def test_two_runs_have_no_interval(tmp_path: Path) -> None:
    a, b = (stored_run(tmp_path, f"20261122-09000{i}-aaaaa", 100e6 + i * 10e6) for i in (0, 1))
    found = compare(Compared("a", "a", [a]), Compared("b", "b", [b]), None, across_machines=False)
    assert found.repeats == "none"
    line = next(line for line in found.metrics if line.metric == HEAP)
    assert line.effect == pytest.approx(0.10)
    assert (line.low, line.high) == (None, None)
    assert (
        next(line for line in found.metrics if line.metric == "cpu.throttled").reason
        == "no run of one side has a value"
    )


def test_arms_of_one_experiment_are_pairs(tmp_path: Path) -> None:
    experiment(tmp_path, {"baseline": [100.0, 200.0, 300.0], "candidate": [110.0, 220.0, 330.0]})
    text = shown(tmp_path, "eeeee:baseline", "eeeee:candidate")
    assert "interleaved pairs" in text
    line = next(line for line in text.splitlines() if line.startswith(HEAP))
    assert line.split() == [HEAP, "182", "B", "200", "B", "+10.0", "%", "+10.0", "%", "…", "+10.0", "%", "0.25", "less"]
    assert "The environments are the same" in text


def test_groups_that_were_not_interleaved_say_so(tmp_path: Path) -> None:
    experiment(tmp_path, {"baseline": [100.0, 101.0, 99.0], "candidate": [110.0, 111.0, 109.0]})
    left = stored.find("eeeee:baseline", tmp_path)
    right = stored.find("eeeee:candidate", tmp_path)
    found = compare(left.compared, right.compared, None, across_machines=False)
    line = next(line for line in found.metrics if line.metric == HEAP)
    assert found.repeats == "groups"
    assert line.low is not None
    assert line.effect is not None
    assert line.low < line.effect


def test_other_machines_are_refused_unless_told_and_then_told_in_every_line(tmp_path: Path) -> None:
    stored_run(tmp_path, "20261122-090000-aaaaa", 100.0)
    stored_run(tmp_path, "20261122-090000-bbbbb", 110.0, fingerprint="bbbb")
    with pytest.raises(UsageError, match=r"measured on different machines .aaaa and bbbb.*say --across-machines"):
        shown(tmp_path, "aaaaa", "bbbbb")
    text = shown(tmp_path, "aaaaa", "bbbbb", across=True)
    assert "machine fingerprint: aaaa -> bbbb" in text
    metrics = [line for line in text.splitlines() if line.startswith((HEAP, "oom.kills", "  - cpu.throttled"))]
    assert len(metrics) == 3
    assert all("other machine" in line for line in metrics)


def test_what_a_name_stands_for(tmp_path: Path) -> None:
    record = experiment(tmp_path, {"baseline": [100.0], "candidate": [110.0]})
    assert stored.find(f"{record.path}:candidate", tmp_path).arm == "candidate"
    with pytest.raises(UsageError, match="experiment eeeee has 2 arms; write eeeee:baseline, eeeee:candidate"):
        stored.find("eeeee", tmp_path)
    with pytest.raises(UsageError, match="has no arm 'oom'; its arms: baseline, candidate"):
        stored.find("eeeee:oom", tmp_path)
    with pytest.raises(UsageError, match="no run 'zzz' here"):
        stored.find("zzz", tmp_path)
    (tmp_path / "20261122-090001-bbbbb" / "run.json").unlink()
    with pytest.raises(UsageError, match="its run 20261122-090001-bbbbb is not there; copy the runs together"):
        stored.find("eeeee:baseline", tmp_path)


def test_an_invalid_run_is_left_out_or_warned_of(tmp_path: Path) -> None:
    sound = gate_pairs.side(tmp_path, "20261122-090000-aaaaa", {HEAP: 100.0})
    lost = gate_pairs.side(tmp_path, "20261122-090001-aaaaa", {HEAP: 1.0}, verdict="invalid", reasons=["incomplete"])
    found = compare(Compared("a", "a", [sound, lost]), Compared("b", "b", [lost]), None, across_machines=False)
    assert found.a.left_out == ["20261122-090001-aaaaa: invalid: incomplete"]
    assert found.a.runs == ["20261122-090000-aaaaa"]
    assert found.warnings == ["b is invalid (incomplete): its figures say little about the subject"]


def test_a_command_is_the_same_in_two_runs_although_its_kubeconfig_and_ports_are_not(tmp_path: Path) -> None:
    run = stored_run(tmp_path, "20261122-090001-aaaaa", 1.0).record.run
    written = ["python", "controller.py", "--kubeconfig", "{kubeconfig}", "--port={port:metrics}"]

    def with_command(*words: str, written: object = written) -> Run:
        scenario = run.scenario.model_copy(update={"resolved": {"subject": {"command": written}}})
        subject = run.subject.model_copy(update={"controller": None, "command": list(words)})
        return run.model_copy(update={"scenario": scenario, "subject": subject})

    one = with_command("python", "controller.py", "--kubeconfig", "/tmp/a/k", "--port=1")
    two = with_command("python", "controller.py", "--kubeconfig", "/tmp/b/k", "--port=2")
    assert environment.differences([one], [two]) == []
    assert environment.subject_words(one) == " ".join(written)
    other = with_command("python", "fixed.py", "--kubeconfig", "/tmp/b/k", "--port=2")
    (found,) = environment.differences([one], [other])
    assert found.what == "subject"
    assert found.candidate == "python fixed.py --kubeconfig /tmp/b/k --port=2"
    assert environment.subject_words(with_command("./x", written=None)) == "./x"


def test_where_a_revision_is_checked_out_is_no_difference(tmp_path: Path) -> None:
    run = stored_run(tmp_path, "20261122-090001-aaaaa", 1.0).record.run

    def with_path(path: str) -> Run:
        return run.model_copy(update={"subject": run.subject.model_copy(update={"environment": {"PYTHONPATH": path}})})

    one, two = (with_path(f"/tmp/{CHECKOUT_PREFIX}{name}/tree:/opt/lib") for name in ("3_97hw84", "pqh8stvh"))
    assert environment.differences([one], [two]) == []
    (found,) = environment.differences([one], [with_path("/opt/lib")])
    assert found.what == "subject's environment"
    assert found.baseline == '{"PYTHONPATH": "{worktree}:/opt/lib"}'
