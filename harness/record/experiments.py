"""Reads and writes experiments: which runs belong together, and what the gate said of them."""

from __future__ import annotations

import functools
from pathlib import Path

from harness.core import paths
from harness.core.errors import UsageError
from harness.record import owner
from harness.record.gate import Gate
from harness.record.models import Experiment
from harness.record.reader import RunRecord, is_there, parse_model
from harness.record.selftest import SelfTest
from harness.record.writer import write_atomically

EXPERIMENT_FILE = "experiment.json"
GATE_FILE = "gate.json"
SELF_TEST_FILE = "selftest.json"


class ExperimentRecord:
    """One experiment's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def find(cls, name: str | Path, runs_dir: Path | None = None) -> ExperimentRecord | None:
        """The experiment named by a path, an id, or the unique beginning or end of an id; None where there is none.

        Raises UsageError where several fit, or where it cannot be read.
        """
        path = Path(name)
        if not is_there(path / EXPERIMENT_FILE):
            root = paths.experiments_dir(runs_dir or paths.runs_dir())
            known = sorted(p.parent.name for p in root.glob(f"*/{EXPERIMENT_FILE}"))
            text = str(name)
            hits = [each for each in known if each == text] or [
                each for each in known if text and (each.startswith(text) or each.endswith(text))
            ]
            if len(hits) > 1:
                raise UsageError(
                    f"{text!r} fits {len(hits)} experiments: {', '.join(hits[-4:])}", remedy="write more of the id"
                )
            if not hits:
                return None
            path = root / hits[0]
        record = cls(path)
        _ = record.experiment
        return record

    @classmethod
    def open(cls, name: str | Path, runs_dir: Path | None = None) -> ExperimentRecord:
        """As `find`, but raises UsageError where there is none."""
        found = cls.find(name, runs_dir)
        if found is None:
            root = paths.experiments_dir(runs_dir or paths.runs_dir())
            raise UsageError(f"no experiment {str(name)!r} in {root}", remedy="name its id or the path of its folder")
        return found

    @functools.cached_property
    def experiment(self) -> Experiment:
        """The facts of experiment.json."""
        return parse_model(self.path / EXPERIMENT_FILE, Experiment)

    @property
    def gate(self) -> Gate | None:
        """The stored result of a gate, None where there is none."""
        path = self.path / GATE_FILE
        return parse_model(path, Gate) if path.is_file() else None

    @property
    def self_test(self) -> SelfTest | None:
        """The stored result of a self-test of the gate, None where there is none."""
        path = self.path / SELF_TEST_FILE
        return parse_model(path, SelfTest) if path.is_file() else None

    @property
    def interrupted(self) -> bool:
        """Whether it ended before its end, by its own word or because its harness went away."""
        state, holder = self.experiment.state, self.experiment.owner
        return state == "interrupted" or (state == "running" and (holder is None or not owner.is_alive(holder)))

    def run(self, run_id: str) -> RunRecord:
        """One of its runs. Raises UsageError where its record is gone."""
        for directory in self._runs_dirs():
            if (directory / run_id / "run.json").is_file():
                return RunRecord.open(directory / run_id)
        raise UsageError(
            f"its run {run_id} is not there", place=str(self.path), remedy="copy the runs together with the experiment"
        )

    def runs(self, arm: str | None = None) -> list[RunRecord]:
        """Its runs in the order of execution, all or those of one arm. Raises UsageError where a record is gone."""
        wanted = [item for item in self.experiment.runs if arm is None or item.arm == arm]
        return [self.run(item.run_id) for item in wanted]

    def runs_dir(self, otherwise: Path) -> Path:
        """The folder of the runs that it has, where further ones belong; `otherwise` where it has none yet."""
        there = self.runs()
        return there[0].path.parent if there else otherwise

    def take_up(self) -> None:
        """Say on disk that it goes on after an interruption, in this process."""
        facts = self.experiment
        facts.state, facts.owner, facts.message, facts.ended_at = "running", owner.this_process(), None, None
        self.save(facts)

    def save(self, experiment: Experiment) -> None:
        """Write experiment.json whole or not at all."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / EXPERIMENT_FILE, experiment.model_dump_json(by_alias=True, indent=1) + "\n")
        self.__dict__["experiment"] = experiment

    def save_gate(self, gate: Gate) -> None:
        """Write gate.json whole or not at all."""
        write_atomically(self.path / GATE_FILE, gate.model_dump_json(by_alias=True, indent=1) + "\n")

    def save_self_test(self, result: SelfTest) -> None:
        """Write selftest.json whole or not at all."""
        write_atomically(self.path / SELF_TEST_FILE, result.model_dump_json(by_alias=True, indent=1) + "\n")

    def _runs_dirs(self) -> list[Path]:
        """Where the runs may be: in the folder that holds `experiments/`, or in `runs/` beside it."""
        above = self.path.absolute().parent.parent
        return [above, above / paths.runs_dir().name]
