"""docs/scenarios.md: its examples are scenarios, and it knows every key."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest

from harness.scenario.agents import Agents
from harness.scenario.file import Arm
from harness.scenario.load import load
from harness.scenario.model import COLLECTORS, Engaged, GoEnvironment, Ready, Setup, Subject, Webhooks
from harness.scenario.resolve import resolve
from harness.scenario.schema import ScenarioFileModel, build
from harness.scenario.server import ApiServer, InflightLimits
from harness.scenario.steps import CREATABLE, MODELS, Probe, Until
from harness.scenario.subject_parts import LeaseReady

TEXT = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
BESIDE = {block.split("\n", 1)[0].removeprefix("# "): block for block in BLOCKS if block.startswith("# ")}
"""Files that an example needs, by the path in their first line."""
EXAMPLES = [block for block in BLOCKS if block.startswith("name:")]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split("\n", 1)[0])
def test_the_examples_are_valid(tmp_path: Path, example: str) -> None:
    for name, text in BESIDE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    path = tmp_path / "example.yaml"
    path.write_text(example)
    file = load(path)
    assert resolve(file).load
    jsonschema.validate(file.document.data, build())


def test_there_are_three_examples() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize(
    "model",
    [
        ScenarioFileModel,
        Arm,
        Setup,
        Subject,
        Ready,
        Engaged,
        Probe,
        Until,
        GoEnvironment,
        Webhooks,
        ApiServer,
        InflightLimits,
        LeaseReady,
        Agents,
        *(model for model in MODELS.values() if model.alone is None),
    ],
    ids=lambda m: m.__name__,
)
def test_every_key_is_described(model: type[ScenarioFileModel]) -> None:
    missing = [
        name for name in model.model_fields if name != "action" and not re.search(rf"`[^`]*\b{name}\b[^`]*`", TEXT)
    ]
    assert missing == []


def test_every_collector_and_kind_is_named() -> None:
    assert [name for name in (*COLLECTORS, *(kind.alias for kind in CREATABLE)) if f"`{name}`" not in TEXT] == []
