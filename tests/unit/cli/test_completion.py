"""Completion through the protocol of the shells' scripts: what a shell asks, and what it is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from harness.cli import examples, main
from harness.cli.main import VERBS, root
from harness.scenario.load import shipped
from tests import records

Asked = Callable[..., list[str]]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Asked:
    """What a shell is told behind a line, which ends in a space where a new word begins. The entry point is called here:
    a process for each question would spend most of its time importing.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["harness"])

    def ask(line: str, shell: str = "bash") -> list[str]:
        given = {
            "_HARNESS_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        }  # fmt: skip
        if shell == "bash":
            given |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - (not line.endswith(" ")))}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as done:
            main.main()
        out, err = capsys.readouterr()
        assert (done.value.code, err) == (0, "")
        return out.split("\n")[:-1] if out.strip() else []

    return ask


def test_verbs_are_completed_without_importing_one(asked: Asked) -> None:
    assert asked("harness ") == list(VERBS)
    assert asked("harness re") == ["report"]
    code = "import sys; from harness.cli import main; main._completed(['harness', 'r']); print('duckdb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"


def test_scenarios_arms_profiles_and_parameters(asked: Asked) -> None:
    assert asked("harness run ") == shipped()
    assert asked("harness run label") == ["label-flip"]
    assert asked("harness run smoke --arm ") == ["pass", "oom"]
    assert asked("harness gate label-flip --profile q") == ["quick"]
    assert asked("harness run label-flip --set st") == ["status_patch="]
    assert asked("harness run none-such --arm ") == []


def test_run_ids_their_tails_and_experiments(asked: Asked, tmp_path: Path) -> None:
    records.passing(tmp_path / "runs" / records.RUN_ID)
    tail = records.RUN_ID.rpartition("-")[2]
    assert asked("harness show ") == [records.RUN_ID]
    assert asked(f"harness show {tail[:3]}") == [tail]
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    assert asked("harness show ") == []
    assert asked("harness show --out elsewhere ") == [records.RUN_ID]
    (tmp_path / "experiments" / "20261122-031500-abcde").mkdir(parents=True)
    (tmp_path / "experiments" / "20261122-031500-abcde" / "experiment.json").touch()
    assert asked("harness gate --resume ") == ["20261122-031500-abcde"]


def test_metrics(asked: Asked) -> None:
    assert asked("harness history memory.rss.p") == ["memory.rss.peak"]
    assert "latency.flip.p99" in asked("harness sweep label-flip --by latency.")
    assert "writes.total=" in asked("harness gate label-flip --primary writes.")
    assert asked("harness history ")[:2] == ["show", "import"]
    assert "--since" in asked("harness history --")


def test_files_are_left_to_the_shell(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").touch()
    assert asked("harness run ./mi") == []
    assert asked("harness run smoke --out ") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_see_the_summaries(asked: Asked, shell: str) -> None:
    told = "\n".join(asked("harness run label", shell))
    assert "label-flip" in told
    assert "One label on one Cluster" in told


def test_a_shell_asks_the_program_itself(tmp_path: Path) -> None:
    env = {**os.environ, "_HARNESS_COMPLETE": "complete_bash", "COMP_WORDS": "harness scenarios fr", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli.main"], capture_output=True, text=True, timeout=120, cwd=tmp_path, env=env
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "from-cluster\n", "")


def test_the_script_for_bash_asks_this_way_and_is_installed(tmp_path: Path) -> None:
    env = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-m", "harness.cli.main"]
    shown = subprocess.run(
        [*command, "--show-completion", "bash"], capture_output=True, text=True, timeout=120, env=env
    )
    assert "_HARNESS_COMPLETE=complete_bash" in shown.stdout
    assert "COMP_WORDS" in shown.stdout
    done = subprocess.run(
        [*command, "--install-completion", "bash"], capture_output=True, text=True, timeout=120, env=env
    )
    assert done.returncode == 0, done.stderr
    assert ".bash_completions/harness.sh" in (tmp_path / ".bashrc").read_text()
    assert (tmp_path / ".bash_completions" / "harness.sh").read_text() == shown.stdout.strip()


_FREE = {
    "sets", "subject", "subject_image", "subject_role", "build", "commit", "context", "kind_name", "kind_image", "kind_config",
    "for_", "on_demand", "bound", "quiet_for", "ladder", "limit", "since", "budget", "retry_within", "name", "grafana",
    "serve", "baseline", "candidate", "fallback", "run", "namespace", "more_before", "more_after", "subject_env",
    "subject_metrics", "subject_pprof", "subject_ready", "metrics_address", "workers_listen", "workers_account", "workers_wait",
}  # fmt: skip
"""Parameters that take any words, or words that only another program knows."""


def test_what_takes_a_name_is_completed() -> None:
    parameters: list[tuple[str, Any]] = [
        (" ".join(names), parameter)
        for names, command in examples.walk(root(), "harness")
        for parameter in command.params
    ]
    words = [
        (called, each)
        for called, each in parameters
        if each.type_descriptor.annotation in (str, list[str]) and not each.type_descriptor.is_choice
    ]
    assert len(words) > 60
    open_ends = {
        f"{called} {each.name}"
        for called, each in words
        if each._custom_shell_complete is None and each.name not in _FREE
    }
    assert open_ends == set()


def test_a_completer_that_cannot_read_offers_nothing(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("name: [\n")
    assert asked("harness run broken.yaml --arm ") == []


def test_the_command_line_is_typer_all_the_way() -> None:
    assert isinstance(root(["show"]), typer.core.TyperGroup)
