"""Lines that another process adds to the events of a run under way: what a person did to its subject by hand.

The run's owner appends to the same file. Both do so a line at a time, with O_APPEND, so that lines do not tear.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from harness.core.errors import UsageError
from harness.record.reader import RunRecord


class LivingRun:
    """A run under way, as its record tells: the newest incarnation of its subject, and a place for events.

    `open` raises UsageError where the run is over, or its subject is not there.
    """

    def __init__(self, record: RunRecord, started: dict[str, Any]) -> None:
        self.record = record
        self.subject = started
        """The newest event `subject_started`; of a pod with the process of the container that the kubelet started last."""
        self._origin_ns = int(started["monotonic_ns"]) - int(started["t_ns"])

    @classmethod
    def open(cls, record: RunRecord) -> LivingRun:
        """The run of a record."""
        run_id = record.run.run_id
        if record.run.state != "running" or record.interrupted:
            verdict = record.show().verdict
            raise UsageError(
                f"run {run_id} is over ({verdict}): there is nothing to attach to",
                remedy=f"harness report {run_id} shows what it kept; run it again with --on-demand or --memray",
            )
        if any(record.events("subject_ended")):
            raise UsageError(f"the subject of run {run_id} has ended, and the run is being closed")
        started = list(record.events("subject_started"))
        if not started:
            raise UsageError(f"the subject of run {run_id} has not started yet", remedy="try again in a moment")
        newest = started[-1]
        if newest.get("in_pod"):
            newest = newest | {
                "pid": next((event.get("pid") for event in reversed([*record.events("container_started")])), None)
            }
        # a Go program is asked by its URL, wherever it is
        seen = newest.get("pid") or (newest.get("runtime") == "go" and newest.get("pprof"))
        if not seen or not newest.get("monotonic_ns"):
            raise UsageError(f"the subject of run {run_id} runs where this machine does not see its process")
        return cls(record, newest)

    @property
    def over(self) -> bool:
        """Whether the run has been sealed, or abandoned, since."""
        now = RunRecord(self.record.path)
        return now.run.state != "running" or now.interrupted

    def now_ns(self) -> int:
        """Run time."""
        return time.monotonic_ns() - self._origin_ns

    def event(self, type_: str, /, **fields: object) -> None:
        """Add an event; the phase is the newest that the run's owner has told of."""
        phase = next((event["name"] for event in reversed(list(self.record.events("phase")))), "start")
        line = {"t_ns": self.now_ns(), "phase": phase, "type": type_, **fields}
        descriptor = os.open(self.record.path / "events.jsonl", os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, json.dumps(line, default=str).encode() + b"\n")
        finally:
            os.close(descriptor)
