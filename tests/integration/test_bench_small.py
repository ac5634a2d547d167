"""The benchmarks of `make bench` do their work and notice what is not done; with so little of it that nothing is measured."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.core.handles import Silent
from tests.bench import flips, history, memory, peers, reports
from tests.bench.bigrecord import Amount
from tests.bench.creates import sides
from tests.bench.rounds import Rounds
from tests.bench.senders import CHECKOUT, BareLoop, Loadgen
from tests.bench.sheet import Sheet

_FAKE = f"""
import asyncio, json, sys
sys.path.insert(0, {str(CHECKOUT)!r})
from pathlib import Path
from harness.core.kinds import find
from harness.kube.api import Api
command = sys.argv
job = json.loads(Path(command[command.index("--config") + 1]).read_text())["jobs"][0]
(item,) = job["objects"]
text = Path(item["objectTemplate"]).read_text().replace("{{{{.payload}}}}", item["inputVars"]["payload"])

async def main():
    async with await Api.connect(Path(command[command.index("--kubeconfig") + 1])) as api:
        for number in range(item["replicas"] - FEWER):
            secret = json.loads(text.replace("{{{{.Replica}}}}", str(number)))
            await api.create(find("Secret"), secret, job["namespace"])

asyncio.run(main())
"""
"""Stands in for kube-burner, which no machine of CI has: it takes the same command line and configuration."""


def _fake(directory: Path, *, fewer: int) -> Path:
    program, script = directory / f"kube-burner-{fewer}", directory / f"fake-{fewer}.py"
    script.write_text(_FAKE.replace("FEWER", str(fewer)))
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
    program.chmod(0o755)
    return program


def test_senders_do_their_work_and_what_is_missing_is_told(tmp_path: Path) -> None:
    quiet: Any = Silent()

    async def scenario() -> None:
        async with sides(tmp_path, quiet) as bench:
            for kind in (Loadgen, BareLoop):
                sent, wrong = await flips.turn(bench, kind, f"flips-{kind.__name__}", 30)
                assert (wrong, sent.done) == (None, 30)
            sheet = Sheet()
            await memory.measure(bench, (20, 40), 1, quiet, sheet)
            assert sheet.problems == []
            assert memory.GROWTH in sheet.figures
            for name, fewer in (("whole", 0), ("short", 3)):
                program = _fake(tmp_path, fewer=fewer)

                async def send(plan: Any, place: Path, program: Path = program) -> Any:
                    return await peers.by_kube_burner(bench.api, program, bench.kubeconfig, plan, place)

                sent, wrong = await bench.turn(send, name, 25, seed=1)
                assert sent.done == 25 - fewer
                assert wrong == (None if not fewer else "22 of 25 created, 3 failed, 22 found in the API")
                assert sent.per_s > 0
                assert sent.peak_rss_bytes > 1 << 20
            sent, wrong = await bench.turn(
                lambda plan, place: peers.by_loadgen(bench.api, plan, place), "ours", 25, seed=1
            )
            assert (wrong, sent.done) == (None, 25)
            assert sent.per_s > 0

    asyncio.run(scenario())


def test_a_long_record_is_made_closed_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sheet, quiet = Sheet(), Silent()
    amount = Amount(samples=30_000, seconds=240)
    asyncio.run(reports.measure(amount, Rounds(1), tmp_path, quiet, sheet))
    assert sheet.problems == []
    assert sheet.figures["parts"].values[0] < 20  # two of three tables were made into one
    assert {reports.TIME, reports.PEAK} <= set(sheet.figures)
    asyncio.run(history.measure(60, Rounds(1), tmp_path, quiet, sheet))
    assert sheet.problems == []
    assert {history.QUERY, history.VERB} <= set(sheet.figures)
