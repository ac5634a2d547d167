"""What terminal and page share: results in groups, values as text, and text from elsewhere made safe to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.core import metrics
from harness.core.units import Dimension, format_value
from harness.record.models import ExpectationResult, Result, Run

GROUPS: dict[str, tuple[str, ...]] = {
    "Memory": ("memory",),
    "OOM": ("oom", "restarts"),
    "Latency of changes": ("latency",),
    "Completeness": ("completeness",),
    "Tasks, CPU and queues": ("tasks", "threads", "fds", "loop", "cpu", "reconciles", "queue", "metrics"),
    "Writes": (
        "writes",
        "conflicts",
    ),
    "Load": ("load", "api", "agents"),
    "Start-up": ("startup",),
    "API server": ("apiserver",),
    "Machine": ("host",),
    "Overhead of the harness": ("overhead",),
}
"""Title of a group to the first words of the metric names in it, in the order in which they are shown."""
_OTHER = "Other"
_DIMENSIONS: dict[str, Dimension] = {
    "B": "bytes",
    "s": "seconds",
    "1/s": "per_second",
    "ratio": "ratio",
    "count": "count",
}
_ORDER = {metric.name: index for index, metric in enumerate(metrics.CATALOGUE)}
_FAMILIES: dict[str, int] = {}
for _name, _index in _ORDER.items():
    _FAMILIES.setdefault(_name.rpartition(".")[0], _index)
_Key = tuple[int, str, int, str]
NONE = "–"


@dataclass(frozen=True, slots=True)
class ResultLine:
    """One result as shown. `text` is `–` where there is no value; `note` then holds the reason, else the meaning."""

    name: str
    text: str
    note: str
    missing: bool


def clean(text: object) -> str:
    """Text from elsewhere (object names, errors, coroutines) on one line, with nothing that steers a terminal.

    Escape sequences and invisible format characters, those that turn the reading direction among them, are shown as
    escapes.
    """
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(c if c.isprintable() else " " if c in "\n\r\t" else ascii(c)[1:-1] for c in plain)


def value_text(value: float | None, unit: str) -> str:
    """A value with its unit as records name it."""
    if value is None:
        return NONE
    dimension = _DIMENSIONS.get(unit)
    return format_value(value, dimension) if dimension else clean(f"{value:g} {unit}".rstrip())


def grouped(results: Mapping[str, Result]) -> list[tuple[str, list[ResultLine]]]:
    """The results by group, families such as `memory.rss.*` or `latency.flip.*` together; empty groups are left out."""
    groups: dict[str, list[tuple[_Key, ResultLine]]] = {title: [] for title in [*GROUPS, _OTHER]}
    for name, result in results.items():
        first = name.partition(".")[0]
        title = next((title for title, words in GROUPS.items() if first in words), _OTHER)
        groups[title].append(_line(name, result))
    return [
        (title, [line for _, line in sorted(lines, key=lambda item: item[0])])
        for title, lines in groups.items()
        if lines
    ]


def _line(name: str, result: Result) -> tuple[_Key, ResultLine]:
    key: _Key = (len(_ORDER), "", 0, name)
    meaning = ""
    try:
        found = metrics.resolve(name)
    except ValueError:
        pass  # a record of another version may hold results this catalogue does not know
    else:
        family = _FAMILIES[found.metric.name.rpartition(".")[0]]
        key = (family, ".".join(filter(None, (found.verb, found.kind, found.probe))), _ORDER[found.metric.name], name)
        meaning = found.metric.meaning.replace("KIND", found.kind or "KIND")
    missing = result.value is None
    note = f"({clean(result.reason or 'no reason was given')})" if missing else clean(result.detail or "") or meaning
    return key, ResultLine(clean(name), value_text(result.value, result.unit), note, missing)


def judged(line: ExpectationResult) -> str:
    """The word for an expectation: `ok`, `FAILED` or `not judged`."""
    return {True: "ok", False: "FAILED", None: "not judged"}[line.ok]


def expectation_value(line: ExpectationResult, results: Mapping[str, Result]) -> str:
    """The measured value of an expectation in the unit of its metric."""
    words = line.expr.split()
    result = results.get(words[0]) if words else None
    return value_text(line.value, result.unit if result is not None else "")


def title_of(run: Run) -> str:
    """Scenario, arm and profile."""
    named = (("arm", run.scenario.arm), ("profile", run.profile))
    return " · ".join([clean(run.scenario.name), *(f"{what} {clean(name)}" for what, name in named if name)])
