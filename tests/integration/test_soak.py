"""The recorder of a run holds nothing of what it has written, and the record of a long run says so where it does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.analysis.results import compute
from harness.record.reader import RunRecord
from harness.scenario.load import load
from harness.scenario.resolve import resolve
from tests.soak.recorder import LEAKS

_TIMEOUT_S = 300.0
_BROKEN = {
    "rows": "overhead.rss.growth",
    "descriptors": "overhead.fds.growth",
    "threads": "overhead.threads.growth",
}


def _broken(directory: Path, *leak: str) -> list[str]:
    """Which of the soak's bounds on the harness the recorder breaks."""
    command = [sys.executable, "-m", "tests.soak.recorder", str(directory), *leak]
    subprocess.run(command, check=True, timeout=_TIMEOUT_S, cwd=Path(__file__).parents[2])
    results = compute(RunRecord.open(directory))
    bounds = {item.metric: item for item in resolve(load("soak")).expect if item.metric.startswith("overhead.")}
    assert set(_BROKEN.values()) == set(bounds)
    grown = {name: results[name].value for name in bounds}
    assert None not in grown.values(), grown
    print(grown)
    return [name for name, item in bounds.items() if not (grown[name] or 0) <= item.value]


def test_the_recorder_stays_as_it_is(tmp_path: Path) -> None:
    assert _broken(tmp_path / "run") == []


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_in_the_recorder_is_found(leak: str, tmp_path: Path) -> None:
    assert _broken(tmp_path / "run", leak) == [_BROKEN[leak]]
