"""`harness scenarios`: what comes with the harness, and what can be set in each."""

from __future__ import annotations

import json
import textwrap
from typing import Annotated

import typer

from harness.scenario.fields import ParamValue
from harness.scenario.file import ScenarioFile
from harness.scenario.load import load, shipped

_WIDTH = 110


def scenarios(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the shipped scenarios: what each shows, its arms and profiles, and the parameters for `--set`."""
    files = [load(name) for name in shipped()]
    if as_json:
        typer.echo(json.dumps({"scenarios": [_facts(file) for file in files]}, indent=1))
        return
    typer.echo("\n\n".join(_paragraph(file) for file in files))
    typer.echo("\nRun one: harness run NAME [--profile PROFILE] [--set PARAMETER=VALUE]")


def _facts(file: ScenarioFile) -> dict[str, object]:
    return {
        "name": file.name,
        "summary": file.summary,
        "path": str(file.path),
        "arms": file.arms,
        "profiles": {name: dict(values) for name, values in file.head.profiles.items()},
        "params": dict(file.params),
    }


def _paragraph(file: ScenarioFile) -> str:
    lines = [file.name, *_wrapped("", file.summary)]
    if file.arms:
        lines += _wrapped("arms: ", ", ".join(file.arms))
    if file.profiles:
        profiles = (f"{name} ({_settings(values)})" for name, values in file.head.profiles.items())
        lines += _wrapped("profiles: ", ", ".join(profiles))
    if file.params:
        lines += _wrapped("parameters: ", _settings(file.head.params))
    return "\n".join(lines)


def _wrapped(title: str, text: str) -> list[str]:
    indent = "  "
    return textwrap.wrap(
        title + text, _WIDTH, initial_indent=indent, subsequent_indent=indent * 2, break_long_words=False
    )


def _settings(values: dict[str, ParamValue]) -> str:
    return ", ".join(f"{name}={_written(value)}" for name, value in values.items())


def _written(value: ParamValue) -> str:
    """As it would stand behind `--set`."""
    if isinstance(value, list):
        return f"[{','.join(_written(item) for item in value)}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
