"""Subjects at their worst: deaf, forking, hanging, killed before they were ready, crashing over and over, thrashing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.experiment import thrash
from harness.subject import ending, limits
from tests.accuracy import kills
from tests.faults.faulted_run import SECRETS, SETTLE, FaultedRun, phase_began, scenario

CAPABILITY = limits.probe()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not CAPABILITY.ok, reason=f"no memory limits here: {CAPABILITY.sentence}"),
]

# Ignores SIGTERM; so do a child, a child in a group of its own and a daemon in a session of its own, and each second
# another one crashes.
DEAF_AND_FORKING = r"""
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleep = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
python = [sys.executable, "-I", "-S", "-c"]
subprocess.Popen([*python, sleep])
subprocess.Popen([*python, sleep], process_group=0)
subprocess.run([*python, f"import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        exec({sleep!r})"])
print("up", flush=True)
while True:
    subprocess.run([*python, "import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()"])
    print("a child crashed", flush=True)
    time.sleep(1)
"""
GROWS = "held = []\nwhile True: held.append(bytearray(b'x' * (1 << 20)))"
HANGS = "import time; print('loading', flush=True); time.sleep(600)"


def _subject(code: str, **parts: Any) -> dict[str, Any]:
    """A Python program as subject, ready when it says `up`."""
    return {
        "command": [sys.executable, "-I", "-S", "-c", code],
        "ready": {"log": "^up$"},
        "memory_limit": "64Mi",
        **parts,
    }


def test_a_deaf_subject_that_forks_and_whose_children_crash_ends_with_all_it_started(tmp_path: Path) -> None:
    with FaultedRun(
        tmp_path, scenario(SECRETS, SETTLE, subject=_subject(DEAF_AND_FORKING, memory_limit="256Mi"))
    ) as run:
        code, shown = run.finish()
        run.assert_nothing_left()
    assert (code, shown.verdict) == (0, "passed"), shown.reasons
    record = run.record
    assert "a child crashed" in (record.path / "subject.log").read_text()
    assert shown.ending is None, "that it had to be killed in the end is the harness's doing, not its own"


@pytest.mark.parametrize(
    ("code", "ready_timeout", "verdict", "exit_code", "says"),
    [
        (GROWS, "60s", "failed", 1, "OOM-killed at its memory limit: 1 OOM kill"),
        (HANGS, "10s", "invalid", 3, "not ready within 10 s; a line that matches '^up$' in "),
    ],
    ids=["OOM-killed-in-start-up", "never-ready"],
)
def test_a_subject_that_does_not_come_up_is_one_line(
    code: str, ready_timeout: str, verdict: str, exit_code: int, says: str, tmp_path: Path
) -> None:
    with FaultedRun(tmp_path, scenario(SECRETS, subject=_subject(code, ready_timeout=ready_timeout))) as run:
        ended, shown = run.finish()
        run.assert_nothing_left()
    assert (ended, shown.verdict) == (exit_code, verdict), shown.reasons
    assert says in shown.reasons[0]
    if verdict == "failed":
        assert shown.reasons[0].endswith("before it was ready")
        assert shown.ending is not None
        assert shown.ending.kind == "oom_limit"
    else:
        assert "subject.log: loading" in shown.reasons[0], "its last words"


def test_a_subject_that_hangs_in_the_load_ends_in_what_never_came(tmp_path: Path) -> None:
    load: list[Mapping[str, Any]] = [
        {"create": {"kind": "Cluster.management.cattle.io", "count": 1}},
        SECRETS,
        {"pause": "10s"},
        {"create": {"kind": "GitRepo", "count": 1, "bundles": 2}},
        {"settle": {"quiet_for": "300ms", "timeout": "5s"}},
    ]
    what = scenario(
        *load,
        subject={"controller": "fleet", "options": {"workers": 2}},
        collect=["memory", "metrics", "tasks", "latency"],
    )
    with FaultedRun(tmp_path, what) as run:
        run.until(phase_began("pause-1"))
        for one in run.children("harness.controllers.fleet"):
            os.kill(one.pid, signal.SIGSTOP)
        code, shown = run.finish()
        run.assert_nothing_left()
    assert (code, shown.verdict) == (3, "invalid"), shown.reasons
    assert "incomplete: 0 of 2 Bundle exist" in shown.reasons
    assert any("/metrics could not be scraped: " in warning for warning in shown.warnings)


def test_a_subject_that_thrashes_at_its_limit_is_ended_and_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real thing, with a tenth of the patience that a run has."""
    for module in (thrash, ending):
        monkeypatch.setattr(module, "THRASH_S", 3.0)
    (seen,) = asyncio.run(kills._several(kills.THRASHING, 1))
    assert (seen.ending.kind, seen.kills) == ("thrashing", 0), seen.ending.sentence
    assert seen.ending.sentence.startswith("stopped while thrashing: ")
