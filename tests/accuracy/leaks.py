"""Known leaks of the reference controller, and its bounded form, against what `harness leak` says of them: real runs, in turn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import RunFault
from tests.accuracy.sheet import Row
from tests.running import harness_json

REPEATS = 20
CYCLES = 20
BUNDLES = 60
AT_ONCE = 2
RESULT = "result.json"
TRIES = 3
"""Of each run: one that could not be made, or measured nothing (`error`, `invalid`), says nothing of leaks either way."""
JUDGED = ("leak", "clear", "inconclusive")
_TIMEOUT_S = 2700.0
"""Of one run. It takes 4 minutes where others use a busy machine too, and far more with idle CPU time only."""


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
    """Run each form so often, in turn; a row for each.

    Each run's answer is kept in `directory` (`NUMBER-FORM/result.json`), and what is there already is not run again: sixty
    runs take hours, and one that fails or is interrupted must not cost the others. Raises RunFault after the last run where
    some gave no result.
    """
    gate = asyncio.Semaphore(AT_ONCE)
    found: dict[str, list[Mapping[str, Any]]] = {form.name: [] for form in FORMS}
    failed: list[str] = []

    async def one(form: Form, number: int) -> None:
        async with gate:
            name = f"{number}-{form.name}"
            try:
                result = _kept(directory / name) or await _tried(directory / name, form, detail)
            except RunFault as fault:
                failed.append(f"{name}: {fault}")
                return
            heap = _of(result, "heap")
            found[form.name].append(result)
            slope, threshold = (float("nan") if heap[name] is None else heap[name] for name in ("slope", "threshold"))
            detail(
                f"leak: {form.name} {number + 1}/{repeats}: {result['verdict']}, {result['run_id']}, heap "
                f"{slope:,.0f} B per cycle, would find {threshold:,.0f}"
            )

    async with asyncio.TaskGroup() as group:
        for number in range(repeats):
            for form in FORMS:
                group.create_task(one(form, number))
    if failed:
        made = ", ".join(f"{form.name} {len(found[form.name])}" for form in FORMS)
        raise RunFault(
            f"{len(failed)} of {repeats * len(FORMS)} runs gave no result ({made} did); first {failed[0]}",
            place=str(directory),
            remedy="the same call with --keep makes only these",
        )
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
    for each in result["series"]:
        if each["name"] == series:
            one: Mapping[str, Any] = each
            return one
    raise RunFault(f"it was not judged by {series}: {result['verdict']}", place=str(result["run_id"]))


def _kept(directory: Path) -> Mapping[str, Any] | None:
    """The answer of a run that was made before, if it came to one."""
    path = directory / RESULT
    if not path.exists():
        return None
    kept: dict[str, Any] = json.loads(path.read_text())
    return kept


async def _tried(directory: Path, form: Form, detail: Callable[[str], None]) -> Mapping[str, Any]:
    for number in range(1, TRIES + 1):
        try:
            return await _run(directory, form)
        except RunFault as fault:
            detail(f"leak: {directory.name}, try {number} of {TRIES}: no result: {fault}")
            if number == TRIES:
                raise
    raise AssertionError("unreachable")


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
    result = await harness_json(arguments, runs=directory / "runs", log=directory / "run.log", timeout_s=_TIMEOUT_S)
    if result["verdict"] not in JUDGED:
        raise RunFault(f"it was {result['verdict']}: {result['headline']}", place=str(result["run_id"]))
    _of(result, "heap")  # and what cannot be judged is not kept
    unfinished = directory / f"{RESULT}.part"
    unfinished.write_text(json.dumps(result, indent=1) + "\n")
    unfinished.replace(directory / RESULT)
    return result
