"""Runs the load generator as the harness does: a process with commands on stdin and JSON lines on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

DEADLINE_S = 60.0

Line = dict[str, Any]


def _has_ended(phase: str, line: Line) -> bool:
    return line["type"] == "phase" and (line["phase"], line["state"]) == (phase, "ended")


class Process:
    """A load generator on `plan`. It is killed after DEADLINE_S, which fails the test that waits for it."""

    def __init__(self, plan: Mapping[str, Any], directory: Path, env: Mapping[str, str] | None = None) -> None:
        path = directory / "plan.json"
        path.write_text(json.dumps(plan))
        self.stderr_path = directory / "stderr.txt"
        with self.stderr_path.open("wb") as stderr:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "loadgen", str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **(env or {})},
            )
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.stdin, self.stdout = self.popen.stdin, self.popen.stdout
        self.lines: list[Line] = []
        self.longest = 0
        self._watchdog = threading.Timer(DEADLINE_S, self.popen.kill)
        self._watchdog.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._watchdog.cancel()
        self.popen.kill()
        self.popen.wait()
        self.stdin.close()
        self.stdout.close()

    def command(self, text: str) -> None:
        """Write one line to its stdin."""
        self.stdin.write(text.encode() + b"\n")
        self.stdin.flush()

    def until(self, wanted: Callable[[Line], bool]) -> Line:
        """Read lines up to the first that is `wanted`."""
        for raw in self.stdout:
            self.longest = max(self.longest, len(raw))
            self.lines.append(json.loads(raw))
            if wanted(self.lines[-1]):
                return self.lines[-1]
        raise AssertionError(f"ended without the line waited for; stderr: {self.stderr_path.read_text()}")

    def ready(self) -> None:
        """Wait until it takes commands."""
        self.until(lambda line: line["type"] == "ready")

    def run(self, *phases: str) -> None:
        """Run phases one after another, each to its end."""
        for name in phases:
            self.command(json.dumps({"run": name}))
            self.until(partial(_has_ended, name))

    def finish(self) -> int:
        """Read all that is left; its exit code."""
        for raw in self.stdout:
            self.lines.append(json.loads(raw))
        return self.popen.wait(DEADLINE_S)

    def ended(self, phase: str) -> Line:
        """The line that says that `phase` has ended."""
        return next(line for line in self.lines if line.get("phase") == phase and line.get("state") == "ended")

    def rows(self, phase: str) -> list[Sequence[Any]]:
        """Request rows of `phase` that came before it was said to have ended."""
        end = self.lines.index(self.ended(phase))
        rows = [row for line in self.lines[:end] if line["type"] == "requests" for row in line["rows"]]
        return [row for row in rows if row[0] == phase]

    def errors(self, phase: str = "") -> list[str]:
        """Messages of error lines that begin with `phase`."""
        messages = [line["message"] for line in self.lines if line["type"] == "error"]
        return [message for message in messages if message.startswith(phase)]
