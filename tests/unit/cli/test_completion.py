"""Completion through the protocol of the shells' scripts: what a shell asks, and what it is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from harness.cli import examples
from harness.cli.main import VERBS, root
from harness.scenario.load import shipped
from tests import records


def _asked(directory: Path, line: str, **env: str) -> list[str]:
    """What bash is told behind this line; it ends in a space where a new word begins."""
    words = line.split()
    asked = {
        "_HARNESS_COMPLETE": "complete_bash", "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - (not line.endswith(" "))), **env,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli.main"],
        capture_output=True, text=True, timeout=120, cwd=directory, env={**os.environ, **asked},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


def test_verbs_are_completed_without_importing_one(tmp_path: Path) -> None:
    assert _asked(tmp_path, "harness ") == list(VERBS)
    assert _asked(tmp_path, "harness re") == ["report"]
    code = "import sys; from harness.cli import main; main._completed(['harness', 'r']); print('duckdb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"


def test_scenarios_arms_profiles_and_parameters(tmp_path: Path) -> None:
    assert _asked(tmp_path, "harness run ") == shipped()
    assert _asked(tmp_path, "harness run label") == ["label-flip"]
    assert _asked(tmp_path, "harness run smoke --arm ") == ["pass", "oom"]
    assert _asked(tmp_path, "harness gate label-flip --profile q") == ["quick"]
    assert _asked(tmp_path, "harness run label-flip --set st") == ["status_patch="]
    assert _asked(tmp_path, "harness run none-such --arm ") == []


def test_run_ids_their_tails_and_experiments(tmp_path: Path) -> None:
    records.passing(tmp_path / "runs" / records.RUN_ID)
    tail = records.RUN_ID.rpartition("-")[2]
    assert _asked(tmp_path, "harness show ") == [records.RUN_ID]
    assert _asked(tmp_path, f"harness show {tail[:3]}") == [tail]
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    assert _asked(tmp_path, "harness show ") == []
    assert _asked(tmp_path, "harness show --out elsewhere ") == [records.RUN_ID]
    (tmp_path / "experiments" / "20261122-031500-abcde").mkdir(parents=True)
    (tmp_path / "experiments" / "20261122-031500-abcde" / "experiment.json").touch()
    assert _asked(tmp_path, "harness gate --resume ") == ["20261122-031500-abcde"]


def test_metrics(tmp_path: Path) -> None:
    assert _asked(tmp_path, "harness history memory.rss.p") == ["memory.rss.peak"]
    assert "latency.flip.p99" in _asked(tmp_path, "harness sweep label-flip --by latency.")
    assert "writes.total=" in _asked(tmp_path, "harness gate label-flip --primary writes.")
    assert _asked(tmp_path, "harness history ")[:2] == ["show", "import"]
    assert "--since" in _asked(tmp_path, "harness history --")


def test_files_are_left_to_the_shell(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").touch()
    assert _asked(tmp_path, "harness run ./mi") == []
    assert _asked(tmp_path, "harness run smoke --out ") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_see_the_summaries(shell: str, tmp_path: Path) -> None:
    env = {
        "_HARNESS_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "harness run label",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli.main"],
        capture_output=True, text=True, timeout=120, cwd=tmp_path, env={**os.environ, **env},
    )  # fmt: skip
    assert "label-flip" in done.stdout
    assert "One label on one Cluster" in done.stdout


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
    "serve", "baseline", "candidate", "fallback", "run", "namespace", "more_before", "more_after",
}  # fmt: skip
"""Parameters that take any words, or words that only another program knows."""


def test_what_takes_a_name_is_completed() -> None:
    open_ends = {
        f"{' '.join(names)} {parameter.name}"
        for names, command in examples.walk(root(), "harness")
        for parameter in command.params
        if parameter._custom_shell_complete is None
        and parameter.type_descriptor.annotation is str
        and not parameter.type_descriptor.is_choice
        and parameter.name not in _FREE
    }
    assert open_ends == set()


def test_a_completer_that_cannot_read_offers_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("name: [\n")
    assert _asked(tmp_path, "harness run broken.yaml --arm ") == []


def test_the_command_line_is_typer_all_the_way() -> None:
    assert isinstance(root(["show"]), typer.core.TyperGroup)
