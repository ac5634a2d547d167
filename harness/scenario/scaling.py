"""A scenario as `harness capacity` varies it: how many objects, how large, restarted at the end, under another limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.core.errors import UsageError
from harness.scenario.file import ScenarioFile
from harness.scenario.hints import suggest
from harness.scenario.model import Scenario, Step
from harness.scenario.names import creates, phases
from harness.scenario.rates import Changing
from harness.scenario.resolve import resolve
from harness.scenario.sizes import Distribution
from harness.scenario.steps import SMALLEST_BUNDLE, Create, Parallel, Restart, Settle
from harness.scenario.traffic import Churn, Delete

_LARGEST_PAYLOAD = 2**20
_TRIAL = 7919
"""A count that no scenario has: which steps follow the parameter shows when it is set to this."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The parameter that says how many objects there are."""

    parameter: str
    kind: str
    """Alias of the kind of the first step that it counts."""
    phase: str
    """That step's name in the record."""
    default: int


def counted(file: ScenarioFile, *, profile: str | None, sets: Mapping[str, str], objects: str | None = None) -> Counted:
    """The parameter of the largest count of a `create`, or the one named `objects`.

    Raises UsageError where no count is a parameter, or where the objects that are created do not stay, or are as many as time
    allows.
    """
    scenario = resolve(file, profile=profile, sets=sets)
    _refuse(scenario, file.name)
    names = dict.fromkeys(_parameters(file.document.data.get("load")))
    if objects is not None and objects not in names:
        remedy = suggest(objects, names, title="parameters that count objects")
        raise UsageError(f"{objects!r} is not the count of a create step", place=f"--objects {objects}", remedy=remedy)
    found: list[Counted] = []
    for name in [objects] if objects is not None else names:
        trial = resolve(file, profile=profile, sets={**sets, name: str(_TRIAL)})
        step = next((phase for phase in creates(trial) if phase.step.count == _TRIAL), None)
        value = scenario.params.get(name)
        if step is not None:
            found.append(Counted(name, step.step.resource.alias, step.name, value if isinstance(value, int) else 0))
    if not found:
        raise UsageError(
            f"no create step of {file.name} has a parameter as its count, so the number of objects cannot be varied",
            place=str(file.path), remedy='write params: {objects: 1000} and count: "{objects}"',
        )  # fmt: skip
    return max(found, key=lambda item: item.default)


def _parameters(load: object) -> Iterator[str]:
    """Parameters that stand alone as a create's count, in the file's order."""
    for item in load if isinstance(load, list) else ():
        if not isinstance(item, dict):
            continue
        members = item.get("parallel")
        yield from _parameters(members)
        create = item.get("create")
        count = create.get("count") if isinstance(create, dict) else None
        if isinstance(count, str) and count.startswith("{") and count.endswith("}"):
            yield count[1:-1]


def _refuse(scenario: Scenario, name: str) -> None:
    if scenario.subject.pid is not None:
        raise UsageError("a process that runs already has its limit and its load from others", place=name)
    for phase in phases(scenario):
        if isinstance(phase.step, Delete | Churn):
            raise UsageError(
                f"step {phase.name} deletes objects, so their number is not what memory is for", place=name,
                remedy="use a scenario whose objects stay",
            )  # fmt: skip
        rate = getattr(phase.step, "rate", None)
        if isinstance(rate, Changing) and rate.until_failure:
            raise UsageError(f"step {phase.name} sends as much as is kept, not a number of objects", place=name)


def unjudged(scenario: Scenario, *, limit: int, restart: bool) -> Scenario:
    """The scenario under another limit and without expectations, and with a restart of the subject at its end."""
    load: list[Step] = [*scenario.load]
    if restart:
        if not load or not isinstance(load[-1], Settle):
            load.append(Settle())
        load += [Restart(), Settle.model_validate({"quiet_for": "3s", "timeout": "5m"})]
    subject = scenario.subject.model_copy(update={"memory_limit": limit})
    return scenario.model_copy(update={"load": load, "subject": subject, "expect": [], "gate": None})


def restarts(scenario: Scenario) -> bool:
    """Whether a restart at the end can be had: replicas are never restarted together."""
    return scenario.subject.replicas == 1


def sized(scenario: Scenario, phase: str, factor: float) -> Scenario | None:
    """The scenario with payloads of one step `factor` times as large; None where it has none that can be varied.

    A distribution is scaled as a whole. Nothing grows beyond what the API server takes.
    """
    step = next((each.step for each in creates(scenario) if each.name == phase), None)
    if step is None or step.payload is None:
        return None
    size = step.payload
    changed: tuple[int, int] | Distribution
    if isinstance(size, Distribution):
        changed = Distribution(size.kind, max(1, round(size.scale * factor)), size.shape, size.max)
        if changed.scale > size.max:
            return None
    else:
        changed = (max(SMALLEST_BUNDLE, round(size[0] * factor)), max(SMALLEST_BUNDLE, round(size[1] * factor)))
        if changed[1] > _LARGEST_PAYLOAD:
            return None
    return scenario.model_copy(update={"load": [_with(item, step, changed) for item in scenario.load]})


def _with(item: Step, step: Create, size: tuple[int, int] | Distribution) -> Step:
    if isinstance(item, Parallel):
        return item.model_copy(
            update={"steps": [each.model_copy(update={"size": size}) if each is step else each for each in item.steps]}
        )
    return item.model_copy(update={"size": size}) if item is step else item
