"""Results of records that somebody else may have written."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.analysis.results import compute
from tests import records


@pytest.mark.parametrize("odd", [{"kind": "-1"}, {"kind": ""}, {"verb": "-1"}])
def test_requests_of_no_kind_and_no_verb_are_no_result(tmp_path: Path, odd: dict[str, str]) -> None:
    """Found by `make fuzz`."""
    build = records.RecordBuilder(tmp_path / "run")
    build.phase("create-Secret", "create", 0.0, 10.0, kind="Secret", requested=1, done=1, failed=0)
    build.request("create-Secret", 1.0, 1.5)
    build.request("create-Secret", 1.0, 9.0, **odd)  # type: ignore[arg-type] # two of its words
    found = compute(build.write())
    assert {name for name in found if name.startswith("api.")} == {"api.create.Secret.p50", "api.create.Secret.p99"}
    assert found["api.create.Secret.p99"].value == 0.5


@pytest.mark.parametrize(("files", "headroom"), [((), 12), ((40, 50), 57)])
def test_page_cache_is_room_that_a_load_can_fill(tmp_path: Path, files: tuple[int, ...], headroom: int) -> None:
    build = records.RecordBuilder(tmp_path / "run")
    build.phase("idle", "idle", 0.0, 2.0)
    build.samples("memory", "memory.cgroup", [(0.5, 90 * records.MIB), (1.5, 110 * records.MIB)])
    build.samples(
        "memory", "memory.file", [(at, mib * records.MIB) for at, mib in zip((0.5, 1.5), files, strict=False)]
    )
    found = compute(build.write(subject=records.SUBJECT.model_copy(update={"memory_limit_bytes": 112 * records.MIB})))
    assert found["memory.headroom.idle"].value == headroom * records.MIB
    assert found["memory.cgroup.idle"].value == 100 * records.MIB
