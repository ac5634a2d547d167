"""The JSON Schemas that ship with the package: `python -m harness.record.schemas` writes them from the models."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel

from harness.record.capacity import Capacity
from harness.record.checks import Checks
from harness.record.claims import Claims
from harness.record.coldstart import Coldstarts
from harness.record.comparison import Comparison
from harness.record.gate import Gate
from harness.record.history_models import HistoryDocument
from harness.record.leak import Leak
from harness.record.models import Experiment, Run, Show, Verdict
from harness.record.night import Night
from harness.record.overhead import Overhead
from harness.record.profile_models import Profiled, ProfiledGo, ProfileDiff
from harness.record.selftest import SelfTest
from harness.record.sweep import Sweep

SCHEMAS: dict[str, type[BaseModel]] = {
    "run.v1": Run,
    "verdict.v1": Verdict,
    "show.v1": Show,
    "experiment.v1": Experiment,
    "profile.v1": Profiled,
    "profile-go.v1": ProfiledGo,
    "profile-diff.v1": ProfileDiff,
    "overhead.v1": Overhead,
    "gate.v1": Gate,
    "history.v1": HistoryDocument,
    "checks.v1": Checks,
    "night.v1": Night,
    "compare.v1": Comparison,
    "selftest.v1": SelfTest,
    "leak.v1": Leak,
    "coldstart.v1": Coldstarts,
    "capacity.v1": Capacity,
    "sweep.v1": Sweep,
    "claims.v1": Claims,
}
DIRECTORY = Path(__file__).parent / "schemas"


def render(name: str) -> str:
    """The JSON Schema (draft 2020-12) of one document as text."""
    return (
        json.dumps(SCHEMAS[name].model_json_schema(by_alias=True, mode="serialization"), indent=1, sort_keys=True)
        + "\n"
    )


def write_all() -> None:
    """Write every schema to `record/schemas/`."""
    DIRECTORY.mkdir(exist_ok=True)
    for name in SCHEMAS:
        (DIRECTORY / f"{name}.json").write_text(render(name))


if __name__ == "__main__":
    write_all()
