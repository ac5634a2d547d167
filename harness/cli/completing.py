"""What a shell offers at TAB where a verb takes a name: scenarios, runs, experiments, arms, profiles, parameters, metrics.

A completer writes nothing and raises nothing: what cannot be read offers nothing, and a shell that is offered nothing
completes files. This module imports little, and each completer what it needs, for a person waits at the prompt.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from harness.core import kinds, metrics, paths
from harness.core.errors import HarnessError

if TYPE_CHECKING:
    from harness.scenario.file import ScenarioFile

Offer = str | tuple[str, str]
"""A word, or one with what a shell may show beside it."""
Completer = Callable[[typer.Context, str], list[Offer]]

_NEWEST = 50
"""How many runs or experiments are offered where nothing has been typed yet."""
_LATENCY = "latency."
_SUMMARY = re.compile(r"^summary:\s*(?P<text>.+)$", re.MULTILINE)


def words(environment: dict[str, str] | None = None) -> list[str] | None:
    """The command line that a shell wants completed, None where this is no such call.

    The variables are those of typer's scripts (`harness --show-completion`): bash gives the words, others a line.
    """
    given = os.environ if environment is None else environment
    if "_HARNESS_COMPLETE" not in given:
        return None
    return given.get("COMP_WORDS", given.get("_TYPER_COMPLETE_ARGS", "")).split()


def _quiet(offers: Callable[[typer.Context, str], Iterable[Offer]]) -> Completer:
    @functools.wraps(offers)
    def offered(context: typer.Context, incomplete: str) -> list[Offer]:
        try:
            return list(offers(context, incomplete))
        except (HarnessError, OSError, ValueError):
            return []

    return offered


@_quiet
def scenarios(context: typer.Context, incomplete: str) -> Iterator[Offer]:  # noqa: ARG001 # as typer calls it
    """Names of the shipped scenarios, with their summaries; a file is completed by the shell."""
    for path in sorted(paths.scenarios_dir().glob("*.yaml")):
        found = _SUMMARY.search(path.read_text(encoding="utf-8"))
        yield (path.stem, found["text"].strip()) if found else path.stem


@_quiet
def runs(context: typer.Context, incomplete: str) -> Iterator[Offer]:
    """Run ids, the newest first, and their tails, such as k4x7q."""
    yield from _ids(_runs_dir(context), "run.json", incomplete)


@_quiet
def experiments(context: typer.Context, incomplete: str) -> Iterator[Offer]:
    """Ids of experiments, the newest first."""
    yield from _ids(paths.experiments_dir(_runs_dir(context)), "experiment.json", incomplete)


@_quiet
def runs_and_experiments(context: typer.Context, incomplete: str) -> Iterator[Offer]:
    """Both, for verbs that take either."""
    yield from runs(context, incomplete)
    yield from experiments(context, incomplete)


@_quiet
def arms(context: typer.Context, incomplete: str) -> Iterator[Offer]:  # noqa: ARG001
    """Arms of the scenario that the line names."""
    yield from _scenario(context).arms


@_quiet
def profiles(context: typer.Context, incomplete: str) -> Iterator[Offer]:  # noqa: ARG001
    """Profiles of the scenario that the line names."""
    yield from _scenario(context).profiles


@_quiet
def settings(context: typer.Context, incomplete: str) -> Iterator[Offer]:
    """`KEY=` for `--set`, of each parameter of the scenario that the line names, with its default."""
    if "=" not in incomplete:
        for name, value in _scenario(context).params.items():
            yield f"{name}=", f"default {value}"


@_quiet
def parameters(context: typer.Context, incomplete: str) -> Iterator[Offer]:  # noqa: ARG001
    """Parameters of the scenario that the line names."""
    yield from _scenario(context).params


@_quiet
def metric_names(context: typer.Context, incomplete: str) -> Iterator[Offer]:
    """Names of metrics; latencies are those of the probes of the scenario that the line names, or of all shipped ones."""
    yield from _metrics(context, incomplete)


@_quiet
def primaries(context: typer.Context, incomplete: str) -> Iterator[Offer]:
    """`METRIC=` for a threshold."""
    if "=" not in incomplete:
        for name, meaning in _metrics(context, incomplete):
            yield f"{name}=", meaning


@_quiet
def kept_clusters(context: typer.Context, incomplete: str) -> Iterator[Offer]:  # noqa: ARG001
    """Names of clusters that `harness cluster up` keeps."""
    yield from sorted(path.stem for path in (paths.state_dir() / "clusters").glob("*.json"))


def one_of(*values: str) -> Completer:
    """A completer of fixed words."""

    def offered(context: typer.Context, incomplete: str) -> list[Offer]:  # noqa: ARG001
        return list(values)

    return offered


def _runs_dir(context: typer.Context) -> Path:
    return Path(context.params.get("out") or paths.runs_dir())


def _ids(directory: Path, file: str, incomplete: str) -> list[str]:
    known = sorted((path.parent.name for path in directory.glob(f"*/{file}")), reverse=True)
    tails = [each.rpartition("-")[2] for each in known] if incomplete else []
    return [each for each in [*known, *tails] if each.startswith(incomplete)][:_NEWEST]


def _scenario(context: typer.Context) -> ScenarioFile:
    """The scenario that the line names. Raises ScenarioError where it names none, or one that is not valid."""
    from harness.scenario.load import load

    return load(_named(context) or "")


def _named(context: typer.Context) -> str | None:
    """What the line names as scenario. Before the value of an option is there the parser gives up: then by looking."""
    known = {path.stem for path in paths.scenarios_dir().glob("*.yaml")}
    there = (word for word in (words() or [])[2:] if word in known or word.endswith((".yaml", ".yml")))
    return context.params.get("scenario") or next(there, None)


def _probes(context: typer.Context) -> list[str]:
    from harness.scenario import names
    from harness.scenario.load import load, shipped
    from harness.scenario.resolve import resolve

    named = _named(context)
    try:
        files = [load(name) for name in ([named] if named else shipped())]
    except HarnessError:
        return []
    return sorted(
        {probe.name for file in files for phase in names.causing(resolve(file)) for probe in phase.step.probes}
    )


def _metrics(context: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    probes = _probes(context) if _LATENCY.startswith(incomplete[: len(_LATENCY)]) else []
    for metric in metrics.CATALOGUE:
        for name in _concrete(metric.name, probes):
            yield name, metric.meaning


def _concrete(name: str, probes: Iterable[str]) -> Iterator[str]:
    """The names that a name of the catalogue stands for: any kind that is known, the verbs that a load sends."""
    placeholders = {
        "KIND": [kind.alias for kind in kinds.KINDS], "PROBE": probes, "VERB": ("create", "patch", "get", "list", "delete"),
    }  # fmt: skip
    for placeholder, values in placeholders.items():
        if placeholder in name:
            for value in values:
                yield from _concrete(name.replace(placeholder, value), probes)
            return
    yield name
