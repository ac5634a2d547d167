"""Runs of scenarios from Python: `from harness import Scenario, run`.

A run is a `harness run` in a process of its own: an event loop, a thread or a large heap of the caller's is in nobody's way,
and Ctrl-C, a deadline and a crash clean up as they do for the command.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from harness.core.errors import EnvironmentFault, ExitCode, HarnessError, RunFault, UsageError
from harness.record.models import OnBusy, Show
from harness.scenario.load import load
from harness.scenario.resolve import resolve
from harness.testing.results import Run

__all__ = ["Run", "Scenario", "run"]

TIMEOUT_S = 3600.0
_CLEAN_UP_S = 120.0
_FAULTS: dict[int, type[HarnessError]] = {ExitCode.USAGE: UsageError, ExitCode.ENVIRONMENT: EnvironmentFault}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario, one of its profiles and arms, and values for its parameters. Wrong ones are told when it is made.

    `name` is a shipped scenario's, or the path of a file. Raises ScenarioError or UsageError.
    """

    name: str | os.PathLike[str]
    profile: str | None = None
    arm: str | None = None
    set: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        file = load(self.name)
        if self.arm is None and file.arms:
            raise UsageError(f"scenario {file.name} has arms", remedy=f"name one: {', '.join(file.arms)}")
        if self.arm is not None and self.arm not in file.arms:
            known = ", ".join(file.arms) or "none"
            raise UsageError(f"scenario {file.name} has no arm {self.arm!r}", remedy=f"its arms: {known}")
        resolve(file, profile=self.profile, sets=self.sets, arm=self.arm)

    @property
    def sets(self) -> dict[str, str]:
        """The values as text, as `--set` takes them."""
        return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in self.set.items()}


def run(
    scenario: Scenario | str | os.PathLike[str],
    *,
    subject: str | Sequence[str] | None = None,
    subject_image: str | None = None,
    memray: str | None = None,
    cluster: str = "embedded",
    on_busy: OnBusy | None = None,
    out: str | os.PathLike[str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Run:
    """Run one arm of a scenario to its verdict; the record stays in `out` (default `runs/`).

    `subject` is a command that takes the place of the scenario's: a list, or text as a shell would split it; `{kubeconfig}`
    in it is the run's. `on_busy` None leaves it to HARNESS_ON_BUSY.
    Raises what `harness run` would have said: UsageError (a wrong scenario or option),
    EnvironmentFault (this machine cannot), RunFault (it wrote no record, or took longer than `timeout_s`).
    """
    wanted = scenario if isinstance(scenario, Scenario) else Scenario(scenario)
    command = [sys.executable, "-m", "harness.cli.main", "run", os.fspath(wanted.name), "--json", "--no-history"]
    options = {
        "--profile": wanted.profile,
        "--arm": wanted.arm,
        "--cluster": cluster,
        "--on-busy": on_busy,
        "--memray": memray,
        "--subject": subject if subject is None or isinstance(subject, str) else shlex.join(subject),
        "--subject-image": subject_image,
        "--out": None if out is None else os.fspath(out),
    }
    for name, value in options.items():
        command += [] if value is None else [name, value]
    for key, value in wanted.sets.items():
        command += ["--set", f"{key}={value}"]
    return _shown(*_run(command, timeout_s))


def _run(command: Sequence[str], timeout_s: float) -> tuple[int, str, str]:
    """Exit code, output and what was said. Whatever ends the wait, the child is told, and cleans up before we go on."""
    with (
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child,
        ThreadPoolExecutor(2) as readers,
    ):
        assert child.stdout is not None
        assert child.stderr is not None
        output = readers.submit(child.stdout.read)
        said = readers.submit(_echo, child.stderr)
        try:
            child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            _end(child)
            raise RunFault(
                f"the run took longer than {timeout_s:g} s and was ended", remedy="give it a longer timeout_s"
            ) from None
        except BaseException:
            _end(child)
            raise
        return child.returncode, output.result(), said.result()


def _echo(lines: Iterable[str]) -> str:
    """Show what the run says as it says it: pytest keeps it for a test that fails, and shows it with `-s`."""
    said = []
    for line in lines:
        sys.stderr.write(line)
        said.append(line)
    return "".join(said)


def _end(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(_CLEAN_UP_S)
    except subprocess.TimeoutExpired:
        child.kill()  # its supervisors clean up after it


def _shown(code: int, output: str, said: str) -> Run:
    lines = output.splitlines()
    if not lines:
        error = _last(said).removeprefix("harness: ")
        raise _FAULTS.get(code, RunFault)(error)
    return Run(Show.model_validate_json(lines[-1]))


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
