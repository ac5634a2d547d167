"""The command line as a user meets it: one clear line, the documented exit code, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import records


def _harness(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli.main", *arguments],
        capture_output=True, text=True, timeout=120, cwd=cwd, env={**os.environ, **env},
    )  # fmt: skip


def _scenario(directory: Path, text: str) -> str:
    path = directory / "mine.yaml"
    path.write_text("name: mine\nsummary: Mine.\n" + text)
    return "mine.yaml"


_SUBJECT = "subject: {controller: fleet, memory_limit: 256Mi}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (_SUBJECT + "lod: []\n", "mine.yaml:4:1: unknown key 'lod'; did you mean 'load'?"),
        (_SUBJECT + "load: [{create: {kind: Secrt, count: 1}}]\n", "mine.yaml:4:24: unknown kind 'Secrt'; did you mean Secret"),
        (_SUBJECT + "expect: [memory.rss.peek < 1Mi]\n", "mine.yaml:4:10: unknown metric 'memory.rss.peek'; did you mean"),
        (_SUBJECT + "expect: [memory.rss.peak < 1Mo]\n", "mine.yaml:4:10: unit 'Mo' of '1Mo' is not one of"),
    ],
)  # fmt: skip
def test_a_wrong_scenario_is_one_line_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    done = _harness("run", _scenario(tmp_path, text), cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr
    assert done.stdout.strip() == ""
    assert not (tmp_path / "runs").exists(), "nothing may start before the file is valid"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("run", "smok"), 2, "did you mean"),
        (("run", "smoke", "--set", "secrets"), 2, "is not KEY=VALUE"),
        (("run", "smoke", "--set", "sercets=3"), 2, "secrets"),
        (("run", "smoke", "--profile", "quik"), 2, "quick"),
        (("run", "smoke", "--arm", "none"), 2, "its arms: pass, oom"),
        (("run", "smoke", "--memray", "atach"), 2, "use launch, attach, off"),
        (("run", "smoke", "--cluster", "minikube"), 2, "use embedded or kind or kubeconfig"),
        (("run", "smoke", "--cluster", "kubeconfig"), 2, "needs a context, by name; add --context NAME"),
        (("run", "smoke", "--kind-name", "x"), 2, "--kind-name is about --cluster kind, not embedded"),
        (("cluster", "up", "--cluster", "kubeconfig"), 2, "cannot be kept up; use embedded or kind"),
        (("clean", "--run", "x"), 2, "--run is about a cluster; name it with --context"),
        (("clean", "--run", "x", "--context", "y"), 2, "'x' is not a run's id"),
        (("run", "smoke", "--pyroscope", "somewhere"), 2, "is not a URL"),
        (("run", "secrets-8k", "--subject", "./no-such-manager"), 2, "'./no-such-manager' is not in this folder"),
        (("run", "secrets-8k", "--subject", " "), 2, "command is empty"),
        (("run", "secrets-8k", "--subject", "'./manager"), 2, "is not a command line: No closing quotation"),
        (("run", "secrets-8k", "--out", "/dev/null/runs"), 2, "/dev/null/runs: run records cannot be kept there"),
        (("show", "zzzzz"), 2, "no run 'zzzzz'"),
        (("report", "zzzzz"), 2, "no run 'zzzzz'"),
        (("frobnicate",), 2, "No such command"),
        (("run",), 2, "Missing argument"),
        (("run", "smoke", "--frobnicate"), 2, "--frobnicate"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_to_do(
    tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = _harness(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bug_of_ours_exits_70_and_keeps_its_traceback_in_a_file(tmp_path: Path) -> None:
    code = (
        "import harness.cli.show as show, sys\n"
        "def explode(*a, **k): raise ZeroDivisionError('boom')\n"
        "show.RunRecord.open = explode\n"
        "sys.argv = ['harness', 'show', 'x']\n"
        "from harness.cli.main import main; main()\n"
    )
    env = {**os.environ, "HARNESS_STATE": str(tmp_path / "state")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 70
    assert len(done.stderr.splitlines()) == 1
    assert "a bug of ours: ZeroDivisionError: boom" in done.stderr
    (kept,) = (tmp_path / "state" / "bugs").iterdir()
    assert "Traceback" in kept.read_text()


def test_show_exits_0_whatever_the_verdict_and_prints_json(tmp_path: Path) -> None:
    record, verdict = records.passing(tmp_path / "runs" / records.RUN_ID)
    record.save_verdict(verdict.model_copy(update={"verdict": "failed", "exit_code": 1}))
    done = _harness("show", "k4x7q", "--json", cwd=tmp_path)
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert (document["schema"], document["verdict"], document["run_id"]) == (
        "harness.show/v1",
        "failed",
        records.RUN_ID,
    )
    assert _harness("show", "k4x7q", cwd=tmp_path).stdout.startswith("FAILED")


def test_recompute_makes_the_verdict_again_from_the_record(tmp_path: Path) -> None:
    record, _ = records.passing(tmp_path / "runs" / records.RUN_ID)
    before = (record.path / "verdict.json").read_text()
    done = _harness("report", "k4x7q", "--recompute", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (record.path / "verdict.json").read_text() != before
    assert Path(tmp_path, done.stdout.strip()).is_file()


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    records.passing(tmp_path / "runs" / records.RUN_ID)
    command = f"{sys.executable} -m harness.cli.main show k4x7q | head -n 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.stderr == ""


def test_doctor_says_what_each_check_found(tmp_path: Path) -> None:
    done = _harness("doctor", "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert {check["name"] for check in document["checks"]} >= {
        "Python",
        "control plane",
        "memory limits",
        "disk for runs",
    }
    assert done.returncode == (0 if document["ok"] else 4)


def test_a_reader_that_goes_away_is_no_failed_expectation(tmp_path: Path) -> None:
    record, _ = records.passing(tmp_path / "run")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        command = [sys.executable, "-m", "harness.cli.main", "show", str(record.path)]
        done = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_log_has_lines_that_are_not_folded_at_80(tmp_path: Path) -> None:
    record, _ = records.passing(tmp_path / "run")
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-m", "harness.cli.main", "show", str(record.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
    assert "resident set of the subject's processes" in done.stdout


def test_a_damaged_verdict_is_made_again(tmp_path: Path) -> None:
    record, _ = records.passing(tmp_path / "run")
    (record.path / "verdict.json").write_text("damaged\n")
    assert _harness("report", str(record.path), cwd=tmp_path).returncode == 2
    assert _harness("report", str(record.path), "--recompute", cwd=tmp_path).returncode == 0
    assert json.loads((record.path / "verdict.json").read_text())["schema"] == "harness.verdict/v1"
