"""Results hold any text that Python can: what no file can hold is written as its escape."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.record.experiments import ExperimentRecord
from harness.record.models import ExperimentArm
from harness.record.savable import savable
from tests import ci_gates

LONE = "manager \udcff\ud800 ☃"
SHOWN = r"manager \udcff\ud800 ☃"


@pytest.mark.parametrize(
    ("value", "kept"),
    [(LONE, SHOWN), ([LONE, 1, None], [SHOWN, 1, None]), ({LONE: {"x": LONE}}, {SHOWN: {"x": SHOWN}}), ("plain", "plain")],
)  # fmt: skip
def test_lone_surrogates_are_escaped_wherever_they_are(value: object, kept: object) -> None:
    assert savable(value) == kept


def test_a_gate_with_such_text_is_saved_and_read_again(tmp_path: Path) -> None:
    arm = ExperimentArm(spec=LONE, kind="command", words=LONE, sets={LONE: LONE})
    gate = ci_gates.gate(baseline=arm, reasons=[LONE], warnings=[LONE])
    tmp_path.joinpath("experiment").mkdir()
    record = ExperimentRecord(tmp_path / "experiment")
    record.save_gate(gate)
    assert record.gate == gate
    assert gate.baseline.sets == {SHOWN: SHOWN}
    assert gate.reasons == [SHOWN]
    assert gate.blame[0].name.endswith(r"%0A\ud800")
