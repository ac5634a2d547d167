"""The load generator goes away in the middle of the load. (A lost load worker: tests/integration/test_load_workers.py.)"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.faults.faulted_run import SETTLE, FaultedRun, requests_recorded, scenario

pytestmark = pytest.mark.cluster

ENDLESS = {"create": {"kind": "Secret", "count": 20_000, "size": "500B", "rate": "100/s"}}


def test_a_load_generator_that_is_killed_ends_the_run_with_what_it_had_sent(tmp_path: Path) -> None:
    with FaultedRun(tmp_path, scenario(ENDLESS, SETTLE)) as run:
        run.until(requests_recorded)
        (generator,) = run.children(" -m loadgen ")
        os.kill(generator.pid, signal.SIGKILL)
        code, shown = run.finish()
        run.assert_nothing_left()
    assert (code, shown.verdict) == (3, "error")
    assert "the load generator ended (killed by SIGKILL): " in shown.reasons[0]
    assert run.record.run.state == "sealed"
    assert run.record.sql("SELECT count(*) FROM requests WHERE error IS NULL")[0][0] > 0
