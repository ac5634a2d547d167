"""The results of a run by name: `run.oom.kills`, `run["memory.per_object.Secret"]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.core.errors import RunFault, UsageError
from harness.record.models import SOUND, Show
from harness.record.reader import RunRecord
from harness.scenario.hints import suggest


class Results:
    """Results whose names begin alike; another attribute goes on to the next part of the name."""

    def __init__(self, of: Run, prefix: str) -> None:
        self._of = of
        self._prefix = prefix

    def __getattr__(self, part: str) -> Any:  # noqa: ANN401 # a number at the end of a name, Results before
        if part.startswith("_"):
            raise AttributeError(part)
        return self._of._part(f"{self._prefix}.{part}")

    def __repr__(self) -> str:
        return f"<results {self._prefix}.* of {self._of!r}>"


class Run:
    """What came of one run, read from its record.

    A result is an attribute by its name in docs/metrics.md (`run.memory.rss.peak`), or an item where a part of it is no
    Python name (`run["completeness.Cluster.management.cattle.io"]`): a float in the unit of that page. To ask for one
    that could not be witnessed, or for any of a run that is `invalid`, raises RunFault with the reason: neither can make
    an assertion pass.
    """

    def __init__(self, show: Show) -> None:
        self.show = show
        """All of it, as `harness show --json` has it."""
        self.record = RunRecord(Path(show.path))
        """Its tables, events and files; `record.sql(…)` asks for more than results."""

    @property
    def id(self) -> str:
        """The run's id."""
        return self.show.run_id

    @property
    def path(self) -> Path:
        """The record's folder."""
        return self.record.path

    @property
    def report(self) -> Path:
        """The page of it."""
        return self.path / "report.html"

    @property
    def verdict(self) -> str:
        """`passed`, `failed`, `inconclusive`, `invalid`, `error` or `interrupted`."""
        return self.show.verdict

    @property
    def passed(self) -> bool:
        """Whether the load and coverage were whole and every expectation of the scenario held."""
        return self.show.verdict == "passed"

    @property
    def reasons(self) -> list[str]:
        """Why the verdict is what it is, a sentence each; empty for most that passed."""
        return self.show.reasons

    @property
    def sound(self) -> bool:
        """Whether the figures say something about the subject: the run came to its end and its load was the one asked for."""
        return self.show.verdict in SOUND

    def __getitem__(self, name: str) -> float:
        """A result by its full name. Raises RunFault where it is not known, UsageError where there is none of the name."""
        result = self.show.results.get(name)
        if result is None:
            raise UsageError(f"this run has no result {name!r}", remedy=suggest(name, self._names, title="it has"))
        if not self.sound:
            reasons = "; ".join(self.reasons)
            raise RunFault(f"the run is {self.verdict}, its figures say nothing: {reasons}", place=self.id)
        if result.value is None:
            raise RunFault(f"{name} is not known: {result.reason}", place=self.id)
        return result.value

    def detail(self, name: str) -> str:
        """What a result consists of, in words; empty where nothing is said."""
        result = self.show.results.get(name)
        return "" if result is None else result.detail or ""

    def __getattr__(self, part: str) -> Any:  # noqa: ANN401 # as of Results
        if part.startswith("_") or part in ("show", "record"):  # not set yet: while it is copied
            raise AttributeError(part)
        return self._part(part)

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.verdict}>"

    @property
    def _names(self) -> list[str]:
        return list(self.show.results)

    def _part(self, name: str) -> float | Results:
        if name in self.show.results:
            return self[name]
        if any(known.startswith(f"{name}.") for known in self._names):
            return Results(self, name)
        raise AttributeError(f"this run has no result {name!r}; {suggest(name, self._names, title='it has')}")
