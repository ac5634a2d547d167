"""Known leaks of the reference controller, and its bounded form, against what `harness leak` says of them: real runs, in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.accuracy.sheet import Row
from tests.running import harness_json

REPEATS = 20
CYCLES = 20
BUNDLES = 60
AT_ONCE = 2
_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Form:
    """A form of the controller, and what must be said of it."""

    name: str
    sets: Mapping[str, str]
    verdict: str
    series: str | None = None
    """The quantity that must be named as the one that grows."""


FORMS = (
    Form("helm_cache=leaking", {"helm_cache": "leaking"}, "leak", "heap"),
    Form("metrics=unbounded", {"metrics": "unbounded"}, "leak", "series"),
    Form("bounded", {"helm_cache": "bounded", "metrics": "bounded"}, "clear"),
)


async def measure(directory: Path, detail: Callable[[str], None], repeats: int) -> list[Row]:
    """Run each form so often, in turn; a row for each. Raises RunFault where a run gives no result."""
    gate = asyncio.Semaphore(AT_ONCE)
    found: dict[str, list[Mapping[str, Any]]] = {form.name: [] for form in FORMS}

    async def one(form: Form, number: int) -> None:
        async with gate:
            result = await _run(directory / f"{number}-{form.name}", form)
            found[form.name].append(result)
            thresholds = {each["name"]: each["threshold"] for each in result["series"]}
            detail(
                f"leak: {form.name} {number + 1}/{repeats}: {result['verdict']}, {result['run_id']}, heap "
                f"{_of(result, 'heap')['slope']:,.0f} B per cycle, would find {thresholds['heap'] or float('nan'):,.0f}"
            )

    async with asyncio.TaskGroup() as group:
        for number in range(repeats):
            for form in FORMS:
                group.create_task(one(form, number))
    return [row for form in FORMS for row in _rows(form, found[form.name])]


def _rows(form: Form, results: Sequence[Mapping[str, Any]]) -> list[Row]:
    right = sum(_right(form, result) for result in results)
    wrong = len(results) - right
    what = f"{form.name}: runs called {form.verdict}" + (f", by {form.series}" if form.series else "")
    how = f"`harness leak leak --cycles {CYCLES}` of a form whose truth is known; runs that said something else are the error"
    rows = [
        Row("leak", what, len(results), "count", float(len(results)), float(right), float(wrong), "count", 0.0, how)
    ]
    if form.verdict == "clear":
        alarms = float(sum(result["verdict"] == "leak" for result in results))
        rows.append(
            Row("leak", f"{form.name}: false alarms", len(results), "count", 0.0, alarms, alarms, "count", 0.0, how)
        )
    return rows


def _right(form: Form, result: Mapping[str, Any]) -> bool:
    named = form.series is None or _of(result, form.series)["behaviour"] == "grows"
    return result["verdict"] == form.verdict and named


def _of(result: Mapping[str, Any], series: str) -> Mapping[str, Any]:
    return next(each for each in result["series"] if each["name"] == series)


async def _run(directory: Path, form: Form) -> Mapping[str, Any]:
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  # nothing else runs meanwhile
    arguments = [
        "leak",
        "leak",
        "--cycles",
        str(CYCLES),
        "--quiet-for",
        "500ms",
        "--sites",
        "0",
        "--set",
        f"bundles={BUNDLES}",
    ]
    arguments += [word for name, value in form.sets.items() for word in ("--set", f"{name}={value}")]
    return await harness_json(arguments, runs=directory / "runs", log=directory / "run.log", timeout_s=_TIMEOUT_S)
