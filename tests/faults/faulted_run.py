"""A `harness run` that something is done to while it goes on, and what must be so afterwards whatever it was.

Each has a temporary directory of its own, so that what it leaves in there is seen.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from harness.process import Leftover, leftover_cgroups, leftovers
from harness.record.models import Show
from harness.record.reader import RunRecord

LIMIT_S = 240.0
"""For a run; they take some ten seconds."""
GONE_S = 30.0
"""For what a killed harness leaves to its supervisors."""
HARNESS = [sys.executable, "-m", "harness.cli.main"]

IDLE = {"command": ["sh", "-c", "echo up; exec sleep 600"], "ready": {"log": "^up$"}}
"""A subject that does nothing, and says that it is ready to."""
SECRETS = {"create": {"kind": "Secret", "count": 40, "size": "500B", "rate": "max"}}
SETTLE = {"settle": {"quiet_for": "300ms", "timeout": "60s"}}


def scenario(*load: Mapping[str, Any], subject: Mapping[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    """A scenario with little to do. Without `audit`, for an idle subject asks the API server nothing."""
    return {
        "name": "faulty",
        "summary": "Something goes wrong around it.",
        "subject": subject or IDLE,
        "collect": ["memory", "oom", "latency"],
        "load": list(load) or [SECRETS, SETTLE],
        "expect": ["load.failures == 0", "completeness.Secret == 1"],
        **parts,
    }


class FaultedRun:
    """`harness run SCENARIO` as a user calls it, under way from the beginning of the context."""

    def __init__(self, directory: Path, what: Mapping[str, Any], *options: str, **environment: str) -> None:
        directory.mkdir(exist_ok=True)
        self.runs = directory / "runs"
        self._file = directory / "scenario.yaml"
        self._file.write_text(json.dumps(what))  # JSON is YAML, without anchors
        self._said = directory / "said.txt"
        self._shown = directory / "shown.json"
        self._options = options
        self._environment = environment
        self._mounts = _mounts()

    def __enter__(self) -> Self:
        self.temporary = Path(tempfile.mkdtemp(prefix="hf-"))  # short: sockets are made in it
        out = () if "--out" in self._options else ("--out", str(self.runs))
        command = [*HARNESS, "run", str(self._file), "--json", *out, *self._options]
        environment = {**os.environ, "TMPDIR": str(self.temporary), **self._environment}
        with self._said.open("w") as said, self._shown.open("w") as shown:
            self.process = subprocess.Popen(command, stdout=shown, stderr=said, env=environment)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(LIMIT_S)
        shutil.rmtree(self.temporary, ignore_errors=True)

    @property
    def said(self) -> str:
        """What it wrote for people."""
        return self._said.read_text()

    @property
    def record(self) -> RunRecord:
        """Its record."""
        (path,) = self.runs.glob("*/run.json")
        return RunRecord(path.parent)

    @property
    def run_id(self) -> str:
        """Its id."""
        return self.record.path.name

    def children(self, part: str) -> list[Leftover]:
        """Its live processes with `part` in their command line, without their supervisors."""
        return [one for one in leftovers(self.run_id) if part in one.command and "supervisor.py" not in one.command]

    def until(self, condition: Callable[[RunRecord], object]) -> RunRecord:
        """Wait until it holds of the record; fails where it never does, which the run's end tells."""
        deadline = time.monotonic() + LIMIT_S
        over = False
        while not over:
            over = self.process.poll() is not None or time.monotonic() > deadline
            for path in self.runs.glob("*/run.json"):
                record = RunRecord(path.parent)
                if condition(record):
                    return record
            time.sleep(0.01)
        pytest.fail(f"it did not come to that: {self.said}")

    def finish(self) -> tuple[int, Show]:
        """Wait for its end: the exit code, and what `--json` printed."""
        code = self.process.wait(LIMIT_S)
        printed = self._shown.read_text()
        assert printed, self.said
        assert "Traceback" not in self.said
        return code, Show.model_validate_json(printed)

    def kill(self) -> None:
        """SIGKILL, and wait until nothing of it is left."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(LIMIT_S)

    def assert_nothing_left(self) -> None:
        """No process, cgroup, mount or temporary file, at once or as soon as supervisors have done their work."""
        deadline = time.monotonic() + GONE_S
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == []

    def _left(self) -> list[str]:
        return [
            *(one.command for one in leftovers(self.run_id)),
            *(str(one.path) for one in leftover_cgroups(self.run_id)),
            *(str(path) for path in self.temporary.iterdir()),
            *(_mounts() - self._mounts),
        ]


def phase_began(name: str) -> Callable[[RunRecord], bool]:
    """Whether a phase of the timeline has begun."""
    return lambda record: any(event.get("name") == name for event in record.events("phase"))


def requests_recorded(record: RunRecord) -> bool:
    """Whether rows of the load are on disk."""
    return any((record.path / "requests").glob("part-*.parquet"))


def warned(words: str) -> Callable[[RunRecord], bool]:
    """Whether a warning with these words was told."""
    return lambda record: any(words in event["message"] for event in record.events("warning"))


def sent_in(phase: str) -> Callable[[RunRecord], bool]:
    """Whether rows of a phase's load are on disk: it is under way, which the phase's event does not say of its first request."""
    rows = f"SELECT count(*) FROM requests WHERE phase = '{phase}'"
    return lambda record: requests_recorded(record) and bool(record.sql(rows)[0][0])


def _mounts() -> set[str]:
    """Mount points, but for those of other tests."""
    points = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    return {point for point in points if "harness" in point or "hf-" in point}
