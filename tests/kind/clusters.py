"""The harness as a user runs it, and Docker as it is without the harness."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.cluster import kind_tools

HARNESS = [sys.executable, "-m", "harness.cli.main"]
LIMIT_S = 600.0


def harness(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HARNESS, *arguments], capture_output=True, text=True, timeout=LIMIT_S, env={**os.environ, **(env or {})}
    )


def shown(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one run of `harness run --json`."""
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stderr
    document: dict[str, Any] = json.loads(lines[0])
    return document


def docker(*arguments: str) -> str:
    return kind_tools.output(["docker", *arguments], 120)


def containers(cluster: str) -> list[str]:
    return kind_tools.nodes("docker", cluster)


def until(what: str, condition: Callable[[], object], limit_s: float = 120.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {limit_s:g} s"
        time.sleep(0.2)


class Running:
    """A `harness run` under way. It is killed at the end of the `with`, if it still lives."""

    def __init__(self, runs: Path, *arguments: str) -> None:
        self.runs = runs
        self._output = runs.with_suffix(".log")
        with self._output.open("w") as log:
            self.process = subprocess.Popen([*HARNESS, "run", *arguments, "--out", str(runs)], stdout=log, stderr=log)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def record(self) -> Path:
        """The directory of the run; it is there before any child is."""
        until("the record", lambda: list(self.runs.glob("2*/run.json")))
        return next(self.runs.glob("2*"))

    @property
    def run(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.record / "run.json").read_text())
        return document

    def until_phase(self, name: str) -> None:
        until(f"phase {name}", lambda: self._begun(name) or self.process.poll() is not None, 240)
        assert self._begun(name), self.output

    def _begun(self, name: str) -> bool:
        return any(phase["name"] == name for phase in self.run["phases"])

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(120)
