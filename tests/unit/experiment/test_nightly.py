"""Nights: what is held against what, how time is shared, and what comes of gates that find, fail, hang or say nothing.

The git repositories are real. `harness gate` is not: a script of a few lines stands in, which writes what a gate would.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import UsageError
from harness.experiment import last_good, nightly
from harness.experiment.nightly import Plan, Result
from harness.gate import junit, night_report
from harness.gate.acks import NONE
from harness.gate.checks import of_gate, together
from harness.record import schemas
from harness.record.experiments import ExperimentRecord
from harness.record.history import RETRIED, Entry, History
from harness.record.models import Experiment
from tests import ci_gates, histories


def _git(tree: Path, *arguments: str) -> str:
    names = ["-c", "user.name=t", "-c", "user.email=t@t.invalid", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(tree), *names, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with four commits on a line, and one beside it."""
    tree = tmp_path / "tree"
    tree.mkdir()
    _git(tree, "init", "--quiet", "--initial-branch", "main")
    for number in range(4):
        (tree / "file").write_text(f"{number}")
        _git(tree, "add", "file")
        _git(tree, "commit", "--quiet", "--message", f"{number}")
        if number == 1:
            _git(tree, "branch", "beside")
    _git(tree, "checkout", "--quiet", "beside")
    _git(tree, "commit", "--quiet", "--allow-empty", "--message", "beside")
    _git(tree, "checkout", "--quiet", "main")
    return tree


def _entry(number: int, commit: str, verdict: str = "pass", **facts: Any) -> Entry:
    code = {"pass": 0, "improve": 0, "regress": 1, "inconclusive": 3}[verdict]
    given: dict[str, Any] = {
        "kind": "gate", "scenario": "smoke", "profile": "gate", "verdict": verdict, "exit_code": code, "commit": commit,
        "arm": None, "detail": "old -> new",
    }  # fmt: skip
    return histories.entry(number, **(given | facts))


def _choice(
    tree: Path, entries: Sequence[Entry], wanted: str = last_good.LAST_GOOD, **options: Any
) -> last_good.Choice:
    head = last_good.resolved(tree, "HEAD")
    return last_good.choose(wanted, "HEAD^", head, entries, "smoke", "gate", tree, **({"again": False} | options))


def test_the_newest_good_ancestor_is_held_against(tree: Path) -> None:
    first, second, third, head = _git(tree, "rev-list", "--reverse", "main").split()
    beside = _git(tree, "rev-parse", "beside")
    entries = [
        _entry(1, first), _entry(2, second, "improve"), _entry(3, third, "regress"), _entry(4, beside),
        _entry(5, third, "inconclusive"), _entry(6, "f" * 40), _entry(7, third, detail="old -> new (advisory)"),
        _entry(8, third, scenario="other"), _entry(9, third, profile="quick"), _entry(10, third, exit_code=130),
        _entry(11, third, detail=f"old -> new (advisory){RETRIED}"), _entry(12, head, "regress"),
    ]  # fmt: skip
    assert _choice(tree, entries).commit == second
    assert "last good: improve" in _choice(tree, entries).why
    assert _choice(tree, list(reversed(entries))).commit == second
    assert _choice(tree, [*entries, _entry(13, third)]).commit == third


def test_without_anything_good_it_is_the_commit_before(tree: Path) -> None:
    found = _choice(tree, [_entry(1, last_good.resolved(tree, "HEAD^"), "regress")])
    assert found.commit == last_good.resolved(tree, "HEAD^")
    assert "nothing good is in the history" in found.why


def test_a_commit_that_was_found_good_is_not_measured_again_unless_asked(tree: Path) -> None:
    head, first = last_good.resolved(tree, "HEAD"), last_good.resolved(tree, "HEAD~3")
    entries = [_entry(1, first), _entry(2, head)]
    assert _choice(tree, entries).commit is None
    assert _choice(tree, entries, again=True).commit == first
    assert _choice(tree, entries, wanted="HEAD~2").commit == last_good.resolved(tree, "HEAD~2")


@pytest.mark.parametrize("wanted", ["v1.2.3", "--all", "nothing"])
def test_what_is_no_commit_is_told_with_what_to_do(tree: Path, wanted: str) -> None:
    with pytest.raises(UsageError, match="fetch-depth: 0"):
        _choice(tree, [], wanted=wanted)


# -- whole nights ------------------------------------------------------------------------------------------------------

_FAKE = """
import json, pathlib, signal, sys, time
words = sys.argv[1:]
of = lambda name: words[words.index(name) + 1]
what = json.loads(pathlib.Path(__file__).with_name("what.json").read_text())[words[1]]
def end(*_):
    print("interrupted", file=sys.stderr)
    sys.exit(130)
signal.signal(signal.SIGINT, end)
with pathlib.Path(__file__).with_name("called").open("a") as file:
    file.write(json.dumps(words) + "\\n")
print(f"measuring {words[1]}", file=sys.stderr)
if what.get("hangs"):
    time.sleep(600)
if "checks" in what:
    pathlib.Path(of("--checks")).write_text(what["checks"])
    folder = pathlib.Path(of("--out")) / "experiments" / what["id"]
    folder.mkdir(parents=True)
    (folder / "experiment.json").write_text(what["experiment"])
else:
    print("harness: the disk is full", file=sys.stderr)
sys.exit(what["code"])
"""


def _gate(verdict: str, code: int | None = None, **facts: Any) -> dict[str, Any]:
    identity = facts.pop("id", "20261122-030000-xxxxx")
    gate = ci_gates.gate(verdict, experiment_id=identity, **facts)
    experiment = Experiment(experiment_id=identity, scenario="smoke", started_at=ci_gates.STARTED, runs=[], exit_code=0)
    return {
        "checks": together([of_gate(gate, NONE)], NONE).model_dump_json(by_alias=True), "id": identity,
        "experiment": experiment.model_dump_json(by_alias=True), "code": gate.exit_code if code is None else code,
    }  # fmt: skip


def _night(
    tree: Path, what: dict[str, dict[str, Any]], *, stop_at_first: bool = False, **options: Any
) -> tuple[Result, list[list[str]]]:
    place = tree.parent
    script, called = place / "fake.py", place / "called"
    script.write_text(_FAKE)
    (place / "what.json").write_text(json.dumps(what))
    out = place / "nightly"
    (out / "runs").mkdir(parents=True, exist_ok=True)
    given: dict[str, Any] = {"baseline": last_good.LAST_GOOD, "fallback": "HEAD^", "budget_s": 600.0} | options
    plan = Plan(
        tree, tuple(what), "gate", out=out, history=place / "history", program=(sys.executable, str(script)), **given
    )

    async def run() -> Result:
        stop = asyncio.Event()

        async def interrupt() -> None:
            while not (called.exists() and called.read_text().endswith("\n")):  # noqa: ASYNC110 # a file tells it
                await asyncio.sleep(0.05)
            stop.set()

        interrupting = asyncio.create_task(interrupt()) if stop_at_first else None
        try:
            return await nightly.run(plan, print, stop)
        finally:
            if interrupting is not None:
                interrupting.cancel()

    result = asyncio.run(run())
    words = [json.loads(line) for line in called.read_text().splitlines()] if called.exists() else []
    return result, words


def test_each_gate_is_called_with_both_commits_and_its_share_of_the_time(tree: Path) -> None:
    result, called = _night(
        tree, {"a": _gate("pass"), "b": _gate("improve", id="20261122-040000-yyyyy")}, options=("--pairs", "4")
    )
    head, before = (last_good.resolved(tree, name) for name in ("HEAD", "HEAD^"))
    assert [gate.verdict for gate in result.night.gates] == ["pass", "improve"]
    assert result.night.exit_code == 0
    for name, words in zip("ab", called, strict=True):
        assert words[:2] == ["gate", name]
        assert words[words.index("--baseline") + 1] == f"git:{before}"
        assert words[words.index("--candidate") + 1] == f"git:{head}"
        assert "--nightly" in words
        assert words[-2:] == ["--pairs", "4"]
    shares = [float(words[words.index("--retry-within") + 1].removesuffix("s")) for words in called]
    assert 200 < shares[0] <= 300 < shares[1], "what the first did not need is the second's"
    assert "measuring a" in (tree.parent / "nightly" / "gate-a.log").read_text()


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((0, 0), 0),
        ((0, 3), 3),
        ((1, 0), 1),
        ((1, 4), 1),
        ((3, 4), 4),
        ((70, 3), 70),
        ((70, 1), 1),
        ((2, 3), 2),
        ((99, 0), 70),
    ],
)
def test_the_exit_code_is_that_of_what_somebody_must_look_at(tree: Path, codes: tuple[int, int], expected: int) -> None:
    verdicts = {0: "pass", 1: "regress", 3: "inconclusive"}
    what = {
        name: _gate(verdicts[code], id=f"20261122-03000{number}-xxxxx") if code in verdicts else {"code": code}
        for number, (name, code) in enumerate(zip("ab", codes, strict=True))
    }
    result, _ = _night(tree, what)
    assert result.night.exit_code == expected


def test_a_regression_names_what_grew_everywhere(tree: Path) -> None:
    result, _ = _night(tree, {"smoke": _gate("regress"), "other": _gate("pass", id="20261122-040000-yyyyy")})
    (gate, _) = result.night.gates
    assert gate.verdict == "regress"
    assert "grew" in gate.blame[0]
    found = night_report.together(result.night, result.judged)
    text = night_report.render(result.night, found)
    assert "**REGRESS**" in text
    assert "worse" in text.splitlines()[0]
    assert "What grew" in text
    assert "<b>" not in text, "text of a run is no markup"
    assert 'failures="' in junit.render(found)
    assert found.exit_code == 1


def test_a_gate_that_does_not_end_is_interrupted_at_its_share_and_never_good(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nightly, "_LEAST_S", 1.0)
    began = time.monotonic()
    result, called = _night(tree, {"a": {"hangs": True}, "b": _gate("pass")}, budget_s=24.0)
    assert len(called) == 2
    assert time.monotonic() - began < 300, "interrupted, not waited for"
    first, second = result.night.gates
    assert (first.verdict, first.exit_code) == ("error", 4)
    assert "not over after its share" in first.message
    assert second.verdict == "pass"
    assert result.night.exit_code == 4
    found = night_report.together(result.night, result.judged)
    assert [suite.checks[-1].state for suite in found.suites] == ["failed", "passed"]


def test_an_interrupted_night_ends_with_its_gate(tree: Path) -> None:
    result, called = _night(tree, {"a": {"hangs": True}, "b": _gate("pass")}, stop_at_first=True)
    assert len(called) == 1, "what comes after is not begun"
    assert result.interrupted
    assert result.night.exit_code == 130


def test_a_gate_without_a_result_is_told_in_its_own_words(tree: Path) -> None:
    result, _ = _night(tree, {"a": {"code": 4}})
    (gate,) = result.night.gates
    assert (gate.verdict, gate.message, gate.exit_code) == ("error", "the disk is full", 4)
    found = night_report.together(result.night, result.judged)
    assert found.suites[0].checks[0].state == "failed"
    assert "no result" in night_report.render(result.night, found)


def test_no_gate_is_begun_without_time(tree: Path) -> None:
    result, called = _night(tree, {"a": _gate("pass")}, budget_s=10.0)
    assert called == []
    assert result.night.exit_code == 4


def test_what_is_good_already_is_skipped_and_what_is_the_same_refused(tree: Path) -> None:
    head = last_good.resolved(tree, "HEAD")
    History(tree.parent / "history").add([_entry(1, head, scenario="a")])
    result, called = _night(tree, {"a": _gate("pass")})
    assert called == []
    assert [gate.verdict for gate in result.night.gates] == ["skipped"]
    assert result.night.exit_code == 0
    found = night_report.together(result.night, result.judged)
    assert found.suites[0].checks[0].state == "not judged"
    result, called = _night(tree, {"a": _gate("pass")}, baseline="HEAD")
    assert called == []
    assert result.night.exit_code == 2


def test_changes_that_no_commit_holds_are_told(tree: Path) -> None:
    (tree / "file").write_text("changed")
    result, _ = _night(tree, {"a": _gate("pass")})
    assert "what is judged is" in result.night.warnings[0]


def test_the_document_fits_its_schema_and_a_long_arm_is_told(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import jsonschema

    monkeypatch.setattr(nightly, "LONGEST_ARM_S", -1)
    monkeypatch.setattr(ExperimentRecord, "runs", lambda _: [_Ran(timedelta(seconds=91))])
    result, _ = _night(tree, {"a": _gate("pass")})
    assert result.night.gates[0].longest_run_s == 91
    assert "a run took 91 s" in result.night.warnings[-1]
    document = json.loads(result.night.model_dump_json(by_alias=True))
    jsonschema.validate(document, json.loads((schemas.DIRECTORY / "night.v1.json").read_text()))


class _Ran:
    """A record, as far as its length goes."""

    def __init__(self, length: timedelta) -> None:
        self.run = self
        self.started_at = ci_gates.STARTED
        self.ended_at = ci_gates.STARTED + length


def test_the_gates_are_those_of_this_harness_though_the_tree_has_a_folder_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").write_text("raise SystemExit('the one of the tree')")
    program = Plan(tmp_path, (), "gate", "last-good", "HEAD^", tmp_path, tmp_path, budget_s=1.0).program
    done = subprocess.run([*program, "--version"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
