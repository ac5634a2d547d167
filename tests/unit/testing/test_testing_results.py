"""`Run` over a record that was made up, scenarios from Python, and markers that are written wrongly."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import harness
from harness.core.errors import EnvironmentFault, RunFault, ScenarioError, UsageError
from harness.record.models import Result, Verdict, VerdictName
from harness.testing import markers
from harness.testing import run as running
from harness.testing.results import Run
from tests import records

_ROOT = Path(__file__).parents[3]
_RESULTS = {
    "oom.kills": Result(value=0.0, unit="count"),
    "memory.rss.peak": Result(value=5e7, unit="bytes"),
    "memory.heap.settled": Result(value=None, unit="bytes", reason="no agent in it"),
    "memory.per_object.Secret": Result(value=2048.0, unit="bytes"),
    "tasks.stayed": Result(value=2.0, unit="count", detail="poll +2"),
}


def _run(tmp_path: Path, verdict: VerdictName = "passed") -> Run:
    record = records.RecordBuilder(tmp_path / verdict).write()
    record.save_verdict(
        Verdict(
            run_id=records.RUN_ID, verdict=verdict, exit_code=0, results=_RESULTS, expectations=[], reasons=["too slow"]
        )
    )
    return Run(record.show())


def test_results_are_attributes_and_items(tmp_path: Path) -> None:
    run = _run(tmp_path)
    assert run.oom.kills == 0
    assert run.memory.rss.peak == run["memory.rss.peak"] == 5e7
    assert run.memory.per_object.Secret == 2048
    assert run.passed
    assert run.report.parent == run.path == tmp_path / "passed"


def test_what_is_not_known_makes_no_assertion_pass(tmp_path: Path) -> None:
    with pytest.raises(RunFault, match=r"memory\.heap\.settled is not known: no agent in it"):
        _ = _run(tmp_path).memory.heap.settled
    with pytest.raises(AttributeError, match=r"no result 'memory\.rss\.peek'; did you mean 'memory\.rss\.peak'"):
        _ = _run(tmp_path).memory.rss.peek
    with pytest.raises(UsageError, match=r"did you mean 'oom\.kills'"):
        _ = _run(tmp_path)["oom.kill"]


@pytest.mark.parametrize("verdict", ["invalid", "error", "interrupted"])
def test_a_run_that_says_nothing_has_no_results(tmp_path: Path, verdict: VerdictName) -> None:
    run = _run(tmp_path, verdict)
    assert not run.sound
    with pytest.raises(RunFault, match=f"the run is {verdict}, its figures say nothing: too slow"):
        _ = run.oom.kills


def _mark(name: str, *args: Any, **kwargs: Any) -> Any:
    """What pytest keeps of a marker; the plugin that makes them known is not loaded here."""
    return SimpleNamespace(name=name, args=args, kwargs=kwargs)


def _broken(mark: Any, *runs: Run) -> list[str]:
    markers.check(mark)
    return list(markers.broken(mark, runs))


def test_markers_judge_every_run(tmp_path: Path) -> None:
    run = _run(tmp_path)
    assert _broken(_mark("memory_per_object", "Secret", "2 KiB"), run) == []
    assert _broken(_mark("memory_per_object", kind="Secret", limit="1 KiB"), run) == [
        f"@memory_per_object: 2.0 KiB per Secret, more than 1.0 KiB (report: {run.report})"
    ]
    assert _broken(_mark("no_task_leak", allowed=2), run) == []
    assert _broken(_mark("no_task_leak"), run, run) == 2 * [
        f"@no_task_leak: 2 tasks stayed, more than 0: poll +2 (report: {run.report})"
    ]
    (unknown,) = _broken(_mark("memory_per_object", "GitRepo", "1 KiB"), run)
    assert "this run has no result 'memory.per_object.GitRepo'" in unknown


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        (_mark("memory_per_object", "Secret"), r"takes a kind and a limit; write \('Secret', '1 KiB'\)"),
        (_mark("memory_per_object", "Secrets", "1 KiB"), "unknown kind 'Secrets'; did you mean Secret"),
        (_mark("memory_per_object", "Secret", "1 parsec"), "unit 'parsec'"),
        (_mark("no_task_leak", 1, 2), "takes at most a number"),
        (_mark("no_task_leak", "few"), "'few' is not a number of tasks"),
        (_mark("no_task_leak", allowed=-1), "-1 is not a number of tasks"),
    ],
)
def test_markers_that_are_written_wrongly(mark: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        markers.check(mark)


def test_a_scenario_is_checked_when_it_is_made() -> None:
    made = harness.Scenario("smoke", arm="pass", profile="quick", set={"secrets": 10})
    assert made.sets == {"secrets": "10"}
    for wrong, error, says in (
        ({"name": "smok"}, ScenarioError, "did you mean 'smoke'"),
        ({"name": "smoke"}, UsageError, "has arms; name one: pass, oom"),
        ({"name": "smoke", "arm": "fail"}, UsageError, "no arm 'fail'"),
        ({"name": "secrets-8k", "arm": "fail"}, UsageError, "no arm 'fail'; its arms: none"),
        ({"name": "smoke", "arm": "pass", "profile": "fast"}, UsageError, "fast"),
        ({"name": "smoke", "arm": "pass", "set": {"secret": 1}}, UsageError, "did you mean 'secrets'"),
    ):
        with pytest.raises(error, match=says):
            harness.Scenario(**wrong)


@pytest.mark.parametrize(
    ("code", "said", "error"),
    [
        (2, "harness: --set 'x': wrong", UsageError),
        (4, "harness: no cgroup", EnvironmentFault),
        (70, "a bug", RunFault),
    ],
)
def test_what_the_command_says_is_raised(code: int, said: str, error: type[Exception]) -> None:
    script = f"import sys; sys.stderr.write({said!r}); sys.exit({code})"
    with pytest.raises(error, match=said.removeprefix("harness: ")) as raised:
        running._shown(*running._run([sys.executable, "-c", script], 20))
    assert type(raised.value) is error


def test_a_run_that_takes_too_long_is_told_to_end(capfd: pytest.CaptureFixture[str]) -> None:
    script = (
        "import signal, sys, time\n"
        "def end(*_): sys.stderr.write('cleaned up\\n'); sys.exit(130)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "sys.stderr.write('begun\\n'); sys.stderr.flush()\n"
        "time.sleep(60)"
    )
    with pytest.raises(RunFault, match="took longer than 5 s and was ended"):
        running._run([sys.executable, "-c", script], 5.0)
    assert capfd.readouterr().err == "begun\ncleaned up\n"


def test_the_package_offers_it_and_carries_nothing_until_it_is_asked_for() -> None:
    script = (
        "import sys, harness, harness.controllers.runtime\n"
        "heavy = {'duckdb', 'pydantic', 'kubernetes', 'plotly', 'pytest', 'yaml'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert {'run', 'Scenario', 'Run'} <= set(dir(harness))\n"
        "harness.run, harness.Scenario, harness.Run\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    with pytest.raises(AttributeError, match="no attribute 'runs'"):
        _: Any = harness.runs


def test_the_plugin_is_where_the_entry_point_says() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    (name,) = project["entry-points"]["pytest11"].values()
    assert hasattr(import_module(name), "run_scenario")
