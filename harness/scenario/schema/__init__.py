"""The JSON Schema of scenario files, for editors; made from the models, so that it cannot say anything else than they do.

`python -m harness.scenario.schema` writes `scenario.v1.json` again; a test keeps it in step.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from pydantic import Field

from harness.scenario import profiling
from harness.scenario.fields import Expect, Slug
from harness.scenario.file import Arm, Values
from harness.scenario.model import Body, Engaged
from harness.scenario.steps import BARE, MODELS

SCHEMA_PATH = Path(__file__).with_name("scenario.v1.json")

_FILLED = (
    *("Subject", "Ready", "LeaseReady", "GoEnvironment", "Webhooks", "Engaged", "Setup", "Gate", "Profiling", "Agents"),
    *("Create", "Settle", "Flip", "Restart", "Failover", "Hook", "Probe", "Until"),
    *("Delete", "Patch", "Read", "List", "Churn", "Watch", "Pause"),
)
"""Models whose values may be placeholders."""

_PLACEHOLDER: dict[str, Any] = {
    "type": "string",
    "pattern": r"\{[A-Za-z_][\w.-]*(:[\w.-]+)?\}",
    "description": "the value of a parameter, as {name}",
}


class FileArm(Arm):
    """A variant of the scenario: a run of its own."""

    expect: list[Expect] | None = Field(default=None, description="replaces the scenario's expectations")
    engaged: list[Engaged] | None = Field(default=None, description="replaces the scenario's signs of engagement")


class ScenarioFileModel(Body):
    """A scenario file. See docs/scenarios.md."""

    profiles: dict[Slug, Values] = Field(default={}, max_length=20, description="named sets of values, for --profile")
    arms: dict[Slug, FileArm] = Field(default={}, max_length=20, description="variants, each a run of its own")


def build() -> dict[str, Any]:
    """The schema as data."""
    schema = ScenarioFileModel.model_json_schema(mode="validation")
    definitions = schema["$defs"]
    definitions["Placeholder"] = _PLACEHOLDER
    for name in _FILLED:
        _accept_placeholders(definitions[name])
    schema["properties"][profiling.KEY] = _worded(schema["properties"].pop(profiling.FIELD))
    for key in ("memray", "pyroscope", "etcd_quota", profiling.KEY):
        schema["properties"][key] = _or_placeholder(schema["properties"][key])
    _nest_steps(schema, definitions)
    created = definitions["Create"]
    created["required"].remove("kind")
    created["anyOf"] = [{"required": ["kind"]}, {"required": ["template"]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:harness:scenario:v1", **schema}


def text() -> str:
    """The schema as the shipped file holds it."""
    return json.dumps(build(), indent=1, sort_keys=True) + "\n"


def _accept_placeholders(definition: dict[str, Any]) -> None:
    properties = definition["properties"]
    for key, value in properties.items():
        properties[key] = _or_placeholder(value)


def _worded(value: dict[str, Any]) -> dict[str, Any]:
    """A mapping that may also be one word."""
    described: dict[str, Any] = {key: value.pop(key) for key in ("description", "default") if key in value}
    return {"anyOf": [value, {"enum": list(get_args(profiling.Mode))}], **described}


def _or_placeholder(value: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {key: value.pop(key) for key in ("description", "default", "title") if key in value}
    return {"anyOf": [value, {"$ref": "#/$defs/Placeholder"}], **described}


def _nest_steps(schema: dict[str, Any], definitions: dict[str, Any]) -> None:
    """From the flat steps of the models to the file's form: one action as the key, what is lifted beside it."""
    forms = []
    for action, model in MODELS.items():
        name = model.__name__
        properties = definitions[name]["properties"]
        del properties["action"]
        beside = {key: properties.pop(key) for key in model.lifted}
        inner: dict[str, Any] = {"$ref": f"#/$defs/{name}"}
        if action in BARE:
            inner = {"anyOf": [inner, {"type": "null"}]}
        if model.alone is not None:
            inner = definitions.pop(name)["properties"][model.alone]
        if action == "parallel":
            inner["items"] = {"$ref": "#/$defs/Step"}
        forms.append(
            {
                "type": "object",
                "properties": {action: inner, **beside},
                "required": [action],
                "additionalProperties": False,
            }
        )
    definitions["Step"] = {"oneOf": forms}
    schema["properties"]["load"]["items"] = {"$ref": "#/$defs/Step"}
