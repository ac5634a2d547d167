"""`.ci/nightly-issue`: what a night says on GitHub. `gh` is faked: it writes down how it was called."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[3] / ".ci" / "nightly-issue"
_GH = """#!/usr/bin/env bash
echo "$1 $2 $3" >> "$CALLED"
if [ "$1 $2" = "issue list" ]; then printf '%s' "$OPEN"; fi
for word in "$@"; do if [ -f "$word" ]; then cat "$word" >> "$CALLED.body"; fi; done
"""


def _calls(tmp_path: Path, code: str, open_issue: str) -> list[str]:
    gh, summary = tmp_path / "gh", tmp_path / "summary.md"
    gh.write_text(_GH)
    gh.chmod(0o755)
    summary.write_text("what was found\n" + "x" * 100_000)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLED": str(tmp_path / "called"), "OPEN": open_issue}
    command = ["bash", str(_SCRIPT), code, str(summary), "https://github.invalid/run/1"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return (tmp_path / "called").read_text().splitlines()[1:]


@pytest.mark.parametrize(
    ("code", "open_issue", "calls"),
    [
        ("1", "", ["label create nightly-regression", "issue create --label"]),
        ("1", "7", ["issue comment 7"]),
        ("0", "7", ["issue close 7"]),
        ("0", "", []), ("3", "7", []), ("4", "7", []), ("", "7", []),
    ],
)  # fmt: skip
def test_only_a_regression_and_a_good_night_say_something(
    tmp_path: Path, code: str, open_issue: str, calls: list[str]
) -> None:
    assert _calls(tmp_path, code, open_issue) == calls
    body = tmp_path / "called.body"
    if code == "1":
        assert body.read_text().startswith(
            "The night found a regression: https://github.invalid/run/1\n\nwhat was found"
        )
        assert len(body.read_text()) < 65_536, "an issue holds no more"
    else:
        assert not body.exists()
