"""`harness leak` and `harness coldstart` as a user runs them: a real leak found and named, every watch dropped."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from harness.record.coldstart import Coldstarts
from harness.record.leak import Leak
from tests.integration.harness_run import HARNESS

_LIMIT_S = 800
"""Ten cycles are minutes where the machine is shared with others."""
pytestmark = pytest.mark.timeout(2 * _LIMIT_S)


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A verb with its output; nothing may be left afterwards, which the supervisor's own tests look at."""
    return subprocess.run([*HARNESS, *arguments], capture_output=True, text=True, timeout=_LIMIT_S)


def test_a_leak_is_found_and_its_line_named(tmp_path: Path) -> None:
    done = harness(
        "leak", "leak", "--cycles", "10", "--sites", "1", "--quiet-for", "300ms", "--json", "--out", str(tmp_path),
        "--set", "bundles=8", "--set", "helm_cache=leaking", "--set", "bundle_size=64KB",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr[-2000:]
    leak = Leak.model_validate(json.loads(done.stdout))
    heap = next(each for each in leak.series if each.name == "heap")
    assert (leak.verdict, heap.behaviour, leak.cycles, leak.objects) == ("leak", "grows", 10, 8)
    assert heap.per_object is not None
    assert 50_000 < heap.per_object < 130_000  # a rendered release holds its 64 KB
    assert leak.sites[0].site.startswith("_rendered (")
    assert "helm.py" in leak.sites[0].site
    assert leak.trim is not None
    assert leak.trim.rss_after is not None
    directory = tmp_path / leak.run_id
    assert (directory / "leak.html").stat().st_size > 100_000
    again = harness(
        "leak", "--record", leak.run_id, "--out", str(tmp_path), "--bound", "heap=100KiB", "--bound", "anon=1MiB"
    )
    assert again.returncode == 0, again.stdout


def test_restarts_and_a_relist_storm(tmp_path: Path) -> None:
    done = harness(
        "coldstart", "secrets-8k", "--set", "secrets=150", "--restarts", "1", "--storms", "1", "--quiet-for", "1s",
        "--json", "--out", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = Coldstarts.model_validate(json.loads(done.stdout))
    assert [each.sort for each in found.starts] == ["growth", "restart", "storm"]
    growth, restart, storm = found.starts
    for each in (restart, storm):
        assert each.lists["Secret"] >= 1
        assert each.listed_bytes["secrets"] > 150 * 2000
        assert each.synced_s is not None
        assert each.rss.peak is not None
    assert restart.first_object_s is not None
    assert restart.ready_s is not None
    assert restart.first_object_s <= restart.ready_s + 1
    assert growth.lists == {}
    log = (tmp_path / found.run_id / "subject.log").read_text()
    assert "too old resource version" in log
