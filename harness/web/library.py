"""What there is to show: the runs and experiments in one folder, each as a row, also those that cannot be read.

Names in addresses come from anyone. A name is one component of a path, and what it names must lie in the folder itself:
neither `..` nor a symbolic link leads out of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from harness.core import paths
from harness.core.errors import HarnessError, UsageError
from harness.record import owner
from harness.record.claims import Claims
from harness.record.experiments import EXPERIMENT_FILE, GATE_FILE, SELF_TEST_FILE, ExperimentRecord
from harness.record.models import Run, Verdict
from harness.record.reader import RunRecord, parse_model

CLAIMS_FILE = "claims.json"
_TRACES = ("events.jsonl", "samples", "verdict.json", "plan.json")
"""What tells that a folder without run.json was to be a record."""
_NOT_RUNS = ("experiments", "history")
Stamp = tuple[tuple[int, int], ...]


class NotServed(UsageError):
    """There is no such thing in the folder that is served."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run of the list. `state` is a verdict, `running`, `sealed` (no verdict yet) or `unreadable`."""

    id: str
    state: str
    why: str = ""
    """One line: why it is not `passed`, or what is wrong with the record."""
    scenario: str = ""
    arm: str = ""
    profile: str = ""
    subject: str = ""
    commit: str = ""
    experiment: str = ""
    started_at: datetime | None = None
    seconds: float | None = None
    peak_bytes: float | None = None
    limit_bytes: int | None = None
    kills: float | None = None


@dataclass(frozen=True, slots=True)
class ExperimentRow:
    """One experiment of the list. `state` is a gate's verdict, or `running`, `interrupted`, `complete`, `unreadable`."""

    id: str
    kind: str
    state: str
    why: str = ""
    scenario: str = ""
    profile: str = ""
    arms: str = ""
    started_at: datetime | None = None
    seconds: float | None = None
    runs: int | None = None


class Library:
    """The runs in `root` and the experiments beside or inside it. Calls read the disk: not for the event loop's thread."""

    def __init__(self, root: Path) -> None:
        self.given = root
        self.root = root.absolute()
        self.experiments_root = paths.experiments_dir(root).absolute()
        self._runs: dict[str, tuple[Stamp, RunRow, Run | None]] = {}
        self._experiments: dict[str, tuple[Stamp, ExperimentRow, ExperimentRecord | None]] = {}

    def runs(self) -> list[RunRow]:
        """All runs, newest first by their id."""
        names = [name for name in _folders(self.root) if name not in _NOT_RUNS]
        found = [row for name in names if (row := self._run_row(name)) is not None]
        for gone in set(self._runs) - set(names):
            del self._runs[gone]
        return sorted(found, key=lambda row: row.id, reverse=True)

    def experiments(self) -> list[ExperimentRow]:
        """All experiments, newest first."""
        names = list(_folders(self.experiments_root))
        found = [row for name in names if (row := self._experiment_row(name)) is not None]
        for gone in set(self._experiments) - set(names):
            del self._experiments[gone]
        return sorted(
            found, key=lambda row: (row.started_at.isoformat() if row.started_at else "", row.id), reverse=True
        )

    def run_row(self, name: str) -> RunRow:
        """One run as a row. Raises NotServed."""
        row = self._run_row(name) if name not in _NOT_RUNS else None
        if row is None:
            raise NotServed(f"no run {name!r} in {self.given}", remedy="go back to the list of runs")
        return row

    def run_path(self, name: str) -> Path:
        """The folder of a run. Raises NotServed."""
        self.run_row(name)
        return self.root / name

    def experiment_path(self, name: str) -> Path:
        """The folder of an experiment. Raises NotServed."""
        if self._experiment_row(name) is None:
            raise NotServed(f"no experiment {name!r} here", remedy="go back to the list of experiments")
        return self.experiments_root / name

    def file(self, name: str, inside: str) -> Path:
        """A file of a run's record. Raises NotServed for what is no part of a record, or leads out of it."""
        folder = self.run_path(name)
        parts = inside.split("/")
        offered = parts[0] == "profiles" if len(parts) > 1 else _is_page_or_log(parts[0])
        if not offered or not all(is_name(part) for part in parts):
            raise NotServed(f"{inside!r} is no file of a record")
        path = folder.joinpath(*parts).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            raise NotServed(f"the record of {name} has no file {inside!r}")
        return path

    def find(self, text: str) -> str:
        """What `gate.stored` opens for an id, its unique beginning or end, or EXPERIMENT:ARM. Raises NotServed."""
        stem, colon, arm = text.strip().rpartition(":")
        for name, suffix in ((text.strip(), ""), *([(stem, f":{arm}")] if colon else [])):
            if (path := _match(name, self.experiments_root, EXPERIMENT_FILE)) is not None:
                return f"{path}{suffix}"
        if (path := _match(text.strip(), self.root, "run.json")) is not None:
            return str(path)
        raise NotServed(f"no run and no EXPERIMENT:ARM is called {text!r}", remedy="write more of the id")

    def _run_row(self, name: str) -> RunRow | None:
        folder = _inside(self.root, name)
        if folder is None:
            return None
        stamp = stamp_of(folder / "run.json", folder / "verdict.json")
        known = self._runs.get(name)
        if known is None or known[0] != stamp:
            row, run = _read_run(folder)
            if row is None:
                return None
            known = self._runs[name] = (stamp, row, run)
        _, row, run = known
        if run is not None and run.state == "running":
            # an owner may die at any time, and nothing on the disk then changes
            alive = owner.is_alive(run.owner)
            why = "" if alive else "the harness went away before the run ended"
            return replace(row, state="running" if alive else "interrupted", why=why)
        return row

    def _experiment_row(self, name: str) -> ExperimentRow | None:
        folder = _inside(self.experiments_root, name)
        if folder is None:
            return None
        stamp = stamp_of(*(folder / file for file in (EXPERIMENT_FILE, GATE_FILE, SELF_TEST_FILE, CLAIMS_FILE)))
        known = self._experiments.get(name)
        if known is None or known[0] != stamp:
            found = _read_experiment(folder)
            if found is None:
                return None
            known = self._experiments[name] = (stamp, *found)
        _, row, record = known
        if row.state == "running" and record is not None and record.interrupted:
            return replace(row, state="interrupted", why="the harness went away before it ended")
        return row


def stamp_of(*files: Path) -> Stamp:
    """When files or folders were changed last, and their sizes; zeros for what is not there."""
    found = []
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            found.append((0, 0))
        else:
            found.append((stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def is_name(text: str) -> bool:
    """Whether a text is one visible component of a path."""
    return bool(text) and not text.startswith(".") and not any(c in text for c in "/\\\0")


def _is_page_or_log(name: str) -> bool:
    """Files of a record's folder that people read; neither what is hidden nor what other processes keep there."""
    known = ("run.json", "verdict.json", "events.jsonl", "plan.json", "oom.html", "oom.md", "leak.json", "leak.html")
    return name in (*known, "coldstart.json") or name.endswith((".log", ".log.1"))


def _folders(root: Path) -> Iterator[str]:
    try:
        entries = sorted(root.iterdir())
    except OSError:
        return
    yield from (entry.name for entry in entries if _inside(root, entry.name) is not None)


def _inside(root: Path, name: str) -> Path | None:
    """The folder `name` of `root`; None where it is none, or a link to somewhere else."""
    if not is_name(name):
        return None
    try:
        path = (root / name).resolve()
        return root / name if path.parent == root.resolve() and path.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # a loop of links, or a name that no file system takes
        return None


def _match(text: str, root: Path, file: str) -> Path | None:
    """The folder with `file` of that name, or the only one whose name begins or ends so."""
    if not is_name(text):
        return None
    known = [name for name in _folders(root) if (root / name / file).is_file()]
    hits = [name for name in known if name == text] or [
        name for name in known if name.startswith(text) or name.endswith(text)
    ]
    if len(hits) > 1:
        raise NotServed(f"{text!r} fits {len(hits)} of them: {', '.join(hits[-4:])}", remedy="write more of the id")
    return root / hits[0] if hits else None


def _read_run(folder: Path) -> tuple[RunRow | None, Run | None]:
    if not (folder / "run.json").exists():
        if not any((folder / trace).exists() for trace in _TRACES):
            return None, None  # no record, and never was one
        return RunRow(folder.name, "unreadable", "it has no run.json: the record is not complete"), None
    try:
        record = RunRecord(folder)
        run = record.run
    except HarnessError as error:
        return RunRow(folder.name, "unreadable", f"run.json: {error.cause}"), None
    row = RunRow(
        folder.name, "sealed", scenario=run.scenario.name, arm=run.scenario.arm or "", profile=run.profile or "",
        subject=run.subject.controller or " ".join(run.subject.command[:3]), commit=run.source.commit if run.source else "",
        experiment=run.experiment_id or "", started_at=run.started_at, limit_bytes=run.subject.memory_limit_bytes,
        seconds=(run.ended_at - run.started_at).total_seconds() if run.ended_at else None,
    )  # fmt: skip
    try:
        verdict = record.verdict
    except HarnessError as error:
        return replace(row, state="unreadable", why=f"verdict.json: {error.cause}"), run
    if verdict is None:
        return replace(row, why="no verdict was written"), run
    return _judged(row, verdict), run


def _judged(row: RunRow, verdict: Verdict) -> RunRow:
    values = {name: result.value for name, result in verdict.results.items()}
    peak = values.get("memory.cgroup.peak")
    return replace(
        row,
        state=verdict.verdict,
        why="" if verdict.verdict == "passed" else "; ".join(verdict.reasons[:2]),
        peak_bytes=values.get("memory.rss.peak") if peak is None else peak,
        kills=values.get("oom.kills"),
    )


def _read_experiment(folder: Path) -> tuple[ExperimentRow, ExperimentRecord | None] | None:
    if (folder / CLAIMS_FILE).is_file():
        try:
            claims = parse_model(folder / CLAIMS_FILE, Claims)
        except HarnessError as error:
            return ExperimentRow(folder.name, "claims", "unreadable", f"{CLAIMS_FILE}: {error.cause}"), None
        state = "interrupted" if claims.state == "running" and not _lives(claims) else claims.state
        return ExperimentRow(
            folder.name, "claims", state, scenario="published cases", profile=claims.profile, started_at=claims.started_at,
        ), None  # fmt: skip
    if not (folder / EXPERIMENT_FILE).exists():
        return None
    record = ExperimentRecord(folder)
    try:
        facts, gate, self_test = record.experiment, record.gate, record.self_test
    except HarnessError as error:
        where = Path(error.place or EXPERIMENT_FILE).name
        return ExperimentRow(folder.name, "", "unreadable", f"{where}: {error.cause}"), None
    state, why = facts.state, facts.message or ""
    words: str = state
    if gate is not None:
        words, why = gate.verdict, "; ".join(gate.reasons[:2])
    elif self_test is not None:
        words, why = "passed" if self_test.ok else "failed", "; ".join(self_test.reasons[:2])
    return ExperimentRow(
        folder.name, facts.kind, words, why, facts.scenario, facts.profile or "",
        ", ".join(arm.words for arm in facts.arms.values()), facts.started_at,
        (facts.ended_at - facts.started_at).total_seconds() if facts.ended_at else None, len(facts.runs),
    ), record  # fmt: skip


def _lives(claims: Claims) -> bool:
    return claims.owner is not None and owner.is_alive(claims.owner)
