"""The stream of a load generator that is killed: its last line may be half a line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import RunFault
from harness.core.sinks import RequestRow
from harness.experiment import load
from harness.experiment.load import LoadGenerator
from harness.process import Child, spawn
from tests.collecting import ListSink

# Says that it is ready, then a row and half of another one, and dies in the middle of it.
SCRIPT = r"""
import os, signal, sys
row = '["p", 0, 1, 1, 2, 3, "create", "Secret", "s", 201, null, 9]'
def say(text):
    sys.stdout.write(text)
    sys.stdout.flush()
say('{"type": "ready"}\n')
sys.stdin.readline()
say('{"type": "requests", "rows": [' + row + ']}\n{"type": "requests", "rows": [' + row[:20])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_came_before_a_kill_is_kept_and_how_it_ended_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def instead(_: list[str], **options: Any) -> Child:
        return await spawn([sys.executable, "-I", "-S", "-c", SCRIPT], **options)

    monkeypatch.setattr(load, "spawn", instead)
    taken: list[RequestRow] = []

    class Sink(ListSink):
        def requests(self, rows: Sequence[RequestRow]) -> None:
            taken.extend(rows)

    async def run() -> None:
        plan = {"run_id": "20260101-000000-tests", "phases": [{"name": "p", "count": 2}]}
        generator = await LoadGenerator.start(plan, run_dir=tmp_path, sink=Sink(), on_rows=lambda _: None)
        with pytest.raises(RunFault, match=r"the load generator ended \(killed by SIGKILL\): no message"):
            await generator.run_phase("p", 5.0)
        await generator.stop()

    asyncio.run(run())
    assert [row.name for row in taken] == ["s"]
