"""What the guard says of a subject that hangs at its limit. The cgroup is a folder of files here; a fault test has a real one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from harness.experiment import thrash
from harness.subject.cgroups import major_faults
from harness.subject.incarnations import Incarnations
from tests.collecting import ListSink


class _Hanging:
    """A subject of which each look finds the limit hit again and `faults` page faults."""

    limit_bytes = 64 << 20

    def __init__(self, path: Path, faults: int) -> None:
        self.path = path
        self.cgroup = self
        self.thrashed_s = 0.0
        self._hits = 0
        self._faults = faults
        self._stopped = False

    def limit_hits(self) -> int:
        self._hits += 100
        (self.path / "memory.stat").write_text(f"pgfault 1\npgmajfault {self._hits // 100 * self._faults}\n")
        return self._hits

    def usage_bytes(self) -> int:
        return self.limit_bytes

    def ending(self) -> bool | None:
        return self._stopped or None

    async def stop(self, _: float) -> None:
        self._stopped = True


def _watched(path: Path, faults: int, monkeypatch: pytest.MonkeyPatch) -> tuple[_Hanging, ListSink]:
    monkeypatch.setattr(thrash, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(thrash, "THRASH_S", 0.1)
    subject, sink = _Hanging(path, faults), ListSink()
    asyncio.run(
        asyncio.wait_for(thrash.ThrashGuard(cast("Incarnations", subject), cast("Any", sink), lambda: 1.0).watch(), 20)
    )
    assert subject.thrashed_s >= 0.1
    return subject, sink


def test_page_faults_that_had_to_read_again_and_again_are_told_as_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sink = _watched(tmp_path, 20_000, monkeypatch)
    (event,) = sink.events
    assert (event["type"], event["source"]) == ("warning", "oom")
    counted = int(event["message"].partition(" page faults")[0].rpartition(" ")[2].replace(",", ""))
    assert counted % 20_000 == 0
    assert counted < (major_faults(tmp_path) or 0), "not those from before it hung"


def test_few_of_them_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _watched(tmp_path, 2, monkeypatch)[1].events == []


@pytest.mark.parametrize(
    ("stat", "faults"),
    [("pgmajfault 3\ntotal_pgmajfault 7\n", 7), ("pgmajfault 3\n", 3), ("anon 1\n", None), (None, None)],
    ids=["v1", "v2", "not-told", "gone"],
)
def test_major_faults(stat: str | None, faults: int | None, tmp_path: Path) -> None:
    if stat is not None:
        (tmp_path / "memory.stat").write_text(stat)
    assert major_faults(tmp_path) == faults
