"""Rules of `profile:` that concern other parts of the scenario: its phases, its probes, its limit, its witnesses."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core import metrics
from harness.scenario import names
from harness.scenario.document import Path
from harness.scenario.hints import suggest
from harness.scenario.model import Scenario
from harness.scenario.problems import Problem
from harness.scenario.profiling import DEFAULT_TRIGGER, FIELD, LIVE, Trigger
from harness.scenario.steps import Failover, Restart
from harness.scenario.traffic import Pause


def check(scenario: Scenario) -> Iterator[Problem]:
    """What is wrong with windows and triggers that are each well-formed."""
    profiling = scenario.profiling
    if not profiling.on_demand:
        return
    for key in ("memray", "pyroscope"):
        if getattr(scenario, key) != "off":
            cause = f"profile: on-demand takes its profiles in windows by itself, and {key} would look all the time"
            yield Problem((key,), cause, f"remove {key}, or write profile: continuous")
    if scenario.subject.pid is not None:
        cause = "a process that runs already is profiled by hand, not in windows"
        yield Problem((FIELD,), cause, "remove it; harness profile --pid N")
    phases = [phase.name for phase in names.phases(scenario) if not isinstance(phase.step, Pause | Restart | Failover)]
    for number, name in enumerate(profiling.windows):
        if name not in phases:
            yield Problem((FIELD, "windows", number), f"no phase {name!r} to open a window for", suggest(
                name, phases, title="phases of this load"))  # fmt: skip
    probes = [probe.name for step in names.causing(scenario) for probe in step.step.probes]
    for number, trigger in enumerate(profiling.armed):
        path: Path = (FIELD, "triggers", number) if profiling.triggers else (FIELD,)
        yield from _trigger(scenario, trigger, path, probes)


def _trigger(scenario: Scenario, trigger: Trigger, path: Path, probes: list[str]) -> Iterator[Problem]:
    if trigger.of_limit and scenario.subject.memory_limit is None:
        remedy = "set subject.memory_limit, or name windows or triggers"
        if path == (FIELD,):
            yield Problem(path, f"on-demand alone means the trigger {DEFAULT_TRIGGER!r}, and there is no limit", remedy)
        else:
            yield Problem(path, f"{trigger.text!r} needs a memory limit", "set subject.memory_limit, or name a size")
    elif trigger.probe is not None:
        try:
            metrics.resolve(trigger.metric, probes=probes)
        except ValueError as error:
            yield Problem(path, str(error))
    else:
        collector = LIVE[trigger.metric][1]
        if collector not in scenario.collect:
            cause = f"{trigger.metric} comes from collector {collector!r}, which is not on"
            yield Problem(path, cause, f"add {collector} to collect")
        elif collector == "metrics" and scenario.subject.command is not None and scenario.subject.metrics is None:
            cause = f"{trigger.metric} is read from the subject's metrics"
            yield Problem(path, cause, "say where they are: subject.metrics")
