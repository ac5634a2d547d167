"""The history: what came of many runs and gates, one entry each, in a directory that can be copied, merged and shared.

An entry holds what a comparison over time needs (which commit, scenario, arm, machine; verdict and results), not the
record: that may be gone. Runs are made into entries from run.json and verdict.json alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from harness.core.errors import UsageError
from harness.record import history_parts as parts
from harness.record.gate import Gate
from harness.record.models import Result, Run, Verdict

Kind = Literal["run", "gate"]
WITHOUT_RESULTS = ""
"""Metric of the one row of an entry that has no results, so that its verdict is in the history too."""
RETRIED = " (retried)"
"""End of `detail` of a gate that was inconclusive and was followed by another in the same night."""
_JUDGEMENT = ("expect", "engaged", "summary", "name")  # keys of a scenario that do not change what is measured


@dataclass(frozen=True, slots=True)
class Value:
    """One metric of an entry; of a gate the effect of the candidate, with its interval."""

    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One run or one gate. `kind` and `id` say which; one that is added again replaces the older one."""

    id: str
    kind: Kind
    started_at: datetime
    scenario: str
    verdict: str
    exit_code: int
    arm: str | None = None
    profile: str | None = None
    sets: str | None = None
    """What `--set` changed, as a JSON object with sorted keys."""
    load_sha256: str | None = None
    """Of the resolved scenario without what only judges: where it changes, figures may change for that reason."""
    seed: int | None = None
    subject: str | None = None
    commit: str | None = None
    committed_at: datetime | None = None
    dirty: bool | None = None
    machine: str | None = None
    cpu_model: str | None = None
    cluster: str | None = None
    harness: str | None = None
    profilers: str | None = None
    """Heavy profilers that were on; figures with them compare only with their like."""
    experiment_id: str | None = None
    detail: str | None = None
    """Of a gate: baseline and candidate in words."""
    results: Mapping[str, Value] = field(default_factory=dict)

    def cells(self, added_at: datetime) -> tuple[dict[str, object], list[dict[str, object]]]:
        """The entry as `history_parts` writes it: facts, and a row for each result."""
        facts: dict[str, object] = {item.name: getattr(self, item.name) for item in fields(self)}
        del facts["results"]
        facts |= {
            "started_at": _utc(self.started_at),
            "committed_at": _utc(self.committed_at),
            "added_at": _utc(added_at),
        }
        results = self.results or {WITHOUT_RESULTS: Value(None, "")}
        names = [item.name for item in fields(Value)]
        rows = [
            {"metric": metric} | {name: getattr(value, name) for name in names} for metric, value in results.items()
        ]
        return facts | {"digest": self.digest()}, rows

    def digest(self) -> str:
        """Equal for entries that say the same."""
        facts = [str(getattr(self, item.name)) for item in fields(self) if item.name != "results"]
        values = [f"{name} {value}" for name, value in sorted(self.results.items())]
        return hashlib.sha256("\0".join([*facts, *values]).encode(errors="replace")).hexdigest()[:16]


_FACTS = tuple(item.name for item in fields(Entry) if item.name != "results")
_VALUES = tuple(item.name for item in fields(Value))


def of_run(run: Run, verdict: Verdict) -> Entry:
    """The entry of a run."""
    scenario, source = run.scenario, run.source
    sets = {**scenario.sets, **({"observe": "true"} if run.observed else {})}
    measured = {key: value for key, value in scenario.resolved.items() if key not in _JUDGEMENT}
    heavy = sorted(item.name for item in run.collectors if item.heavy and item.state == "on")
    return Entry(
        id=run.run_id, kind="run", started_at=run.started_at, scenario=scenario.name, verdict=verdict.verdict,
        exit_code=verdict.exit_code, arm=scenario.arm, profile=run.profile,
        sets=json.dumps(sets, sort_keys=True) if sets else None,
        load_sha256=hashlib.sha256(json.dumps(measured, sort_keys=True).encode()).hexdigest()[:16],
        seed=run.seed, subject=_name_of(run), commit=source.commit if source else None,
        committed_at=source.committed_at if source else None, dirty=source.dirty if source else None,
        machine=run.machine.fingerprint, cpu_model=run.machine.cpu_model, cluster=_cluster(run),
        harness=run.versions.get("harness"), profilers=", ".join(heavy) or None, experiment_id=run.experiment_id,
        results={name: _value(result) for name, result in verdict.results.items()},
    )  # fmt: skip


def of_gate(gate: Gate, *, retried: bool = False) -> Entry:
    """The entry of a gate: the effect of the candidate on each metric, with its interval.

    `retried`: it was inconclusive, and another followed in the same night.
    """
    machines = gate.environment.fingerprints
    effects = [*gate.primary, *gate.secondary]
    marks = f"{' (advisory)' if gate.advisory else ''}{RETRIED if retried else ''}"
    return Entry(
        id=gate.experiment_id, kind="gate", started_at=gate.started_at, scenario=gate.scenario, verdict=gate.verdict,
        exit_code=gate.exit_code, profile=gate.profile, commit=gate.candidate.revision,
        machine=machines[0] if len(machines) == 1 else ", ".join(machines) or None, cluster=gate.environment.cluster,
        harness=gate.environment.versions.get("harness"), experiment_id=gate.experiment_id,
        detail=f"{gate.baseline.words} -> {gate.candidate.words}{marks}",
        results={
            item.metric: Value(item.effect, "ratio" if item.scale == "relative" else item.unit, item.low, item.high, item.reason)
            for item in effects
        },
    )  # fmt: skip


class History:
    """The store in one directory. It need not exist before the first entry."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.warnings: list[str] = []
        """What the last reading had to leave out."""

    def add(self, entries: Iterable[Entry]) -> int:
        """Add the entries that are not there yet in the same words; returns how many were. Safe beside other writers."""
        given = list(entries)
        known = set(self._query("SELECT DISTINCT kind, id, digest FROM entries")) if len(given) > 1 else set()
        new = [entry for entry in given if (entry.kind, entry.id, entry.digest()) not in known]
        if new:
            now = datetime.now(UTC)
            parts.write(self.directory, (entry.cells(now) for entry in new))
            parts.compact(self.directory)
        return len(new)

    def entries(
        self, metric: str | None = None, *, since: datetime | None = None, scenario: str | None = None,
        kind: Kind | None = None,
    ) -> list[Entry]:  # fmt: skip
        """Entries in order of time: with the one result `metric`, or all of them without results."""
        wanted = {
            "metric = ?": metric, "started_at >= ?": None if since is None else _utc(since), "scenario = ?": scenario,
            "kind = ?": kind,
        }  # fmt: skip
        used = {clause: value for clause, value in wanted.items() if value is not None}
        where = f"WHERE {' AND '.join(used)}" if used else ""
        names = ", ".join(f'"{name}"' for name in (*_FACTS, *(_VALUES if metric is not None else ())))
        view = "heads" if metric is None else "entries"
        rows = self._query(f"SELECT {names} FROM {view} {where} ORDER BY started_at, id", list(used.values()))
        return [_entry(row, metric) for row in rows]

    def metrics(self) -> dict[str, int]:
        """Names of all metrics that have a value in some entry, and in how many."""
        rows = self._query(
            "SELECT metric, count(value) FROM entries GROUP BY metric HAVING count(value) > 0 ORDER BY metric"
        )
        return dict(rows)

    def merge(self, other: Path) -> int:
        """Add every entry of another store, or of a file that `export` wrote; returns how many were new here.

        Raises UsageError where it is neither.
        """
        if other.is_dir() and other.resolve() != self.directory.resolve() and parts.parts_of(other):
            count, self.warnings = parts.absorb(self.directory, other)
        elif other.is_file() and other.suffix == ".parquet":
            count, self.warnings = parts.absorb(self.directory, None, other)
        else:
            raise UsageError("not another history, nor a .parquet file of one", place=str(other))
        parts.compact(self.directory)
        return count

    def export(self, target: Path, *, since: datetime | None = None, scenario: str | None = None) -> None:
        """Write all rows to a .parquet, .csv or .jsonl file. Raises UsageError for another one."""
        options = {".parquet": "FORMAT parquet", ".csv": "FORMAT csv, HEADER", ".jsonl": "FORMAT json"}
        if target.suffix not in options:
            raise UsageError(f"{target.name!r} has none of the endings {', '.join(options)}", place=str(target))
        clauses = [f"started_at >= TIMESTAMP '{_utc(since)}'"] if since is not None else []
        clauses += ["scenario = '" + scenario.replace("'", "''") + "'"] if scenario is not None else []
        where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
        sql = f"SELECT * FROM entries {where} ORDER BY started_at, id, metric"
        self.warnings = parts.copy_out(self.directory, sql, target, options[target.suffix])

    def _query(self, sql: str, parameters: list[object] | None = None) -> list[tuple[Any, ...]]:
        rows, self.warnings = parts.query(self.directory, sql, parameters or [])
        return rows


def _name_of(run: Run) -> str:
    """What a person calls the subject, without its version: controller, image, Python module, or program."""
    if run.subject.controller is not None:
        return run.subject.controller
    if run.subject.image is not None:
        return run.subject.image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    command = run.subject.command
    module = command[command.index("-m") + 1 : command.index("-m") + 2] if "-m" in command else []
    return (module or [Path(word).name for word in command[:1]] or ["?"])[0]


def _cluster(run: Run) -> str | None:
    """The kind of cluster; of a user's own its name, too: another one is another machine."""
    provider = run.cluster.get("provider")
    return f"{provider} {run.cluster.get('name', '?')}" if provider == "kubeconfig" else provider


def _value(result: Result) -> Value:
    return Value(result.value, result.unit, reason=result.reason)


def _entry(row: tuple[Any, ...], metric: str | None) -> Entry:
    """A row of `_FACTS`, and of `_VALUES` where a metric was asked for; there are ten thousand of them."""
    facts = dict(zip(_FACTS, row, strict=False))
    facts["started_at"] = facts["started_at"].replace(tzinfo=UTC)
    if facts["committed_at"] is not None:
        facts["committed_at"] = facts["committed_at"].replace(tzinfo=UTC)
    return Entry(**facts, results={} if metric is None else {metric: Value(*row[len(_FACTS) :])})


def _utc(moment: datetime | None) -> datetime | None:
    """As the tables keep it: without a zone, in UTC."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)
