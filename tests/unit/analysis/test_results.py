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
