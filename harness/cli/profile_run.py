"""`harness profile --run ID`: a look by hand into the subject of a run under way. The run's record tells of it."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness.cli import profile_show
from harness.cli.console import CliConsole
from harness.cli.interrupting import until_signal
from harness.cli.progress import TerminalObserver
from harness.collectors.attach.container import Shared
from harness.collectors.attach.record import Notes, record
from harness.collectors.gohand import PulledByHand, pull
from harness.core.errors import UsageError
from harness.core.handles import SharedFolder
from harness.record.appending import LivingRun
from harness.record.profile_models import ProfiledGo
from harness.record.reader import RunRecord
from harness.record.windows import windows
from harness.subject import pod_manifest

_BY_HAND = "by hand"


def of_run(name: str, seconds: float, runs_dir: Path | None, *, json: bool) -> None:
    """Look into the subject of a run for `seconds`; what is found goes into the run's own folder."""
    run = LivingRun.open(RunRecord.open(name, runs_dir))
    console = CliConsole(stderr=json)
    if run.subject.get("runtime") == "go":
        _go(run, seconds, console, json=json)
        return
    _refuse_second(run)
    pod = _shared(run)
    notes = _Told(run)
    with TerminalObserver(console) as progress:
        recording = asyncio.run(
            until_signal(
                lambda stop: record(
                    int(run.subject["pid"]), seconds, run.record.path, progress, stop, notes=notes,
                    name=f"memray-{notes.window}", pod=pod,
                )
            )
        )  # fmt: skip
    if json:
        sys.stdout.write(profile_show.document(recording).model_dump_json(by_alias=True, indent=1) + "\n")
    else:
        profile_show.show(recording, console)
        _say_over(run, console)


def _refuse_second(run: LivingRun) -> None:
    """Raises UsageError while a window of the run's own is open: memray looks once at a time."""
    for window in windows(run.record):
        if window.heavy and window.ended_ns is None and not window.by_hand:
            raise UsageError(
                f"memray looks into the subject already: window {window.number}, {window.why}",
                place=run.record.run.run_id,
                remedy="try again when that is over",
            )


def _shared(run: LivingRun) -> Shared | None:
    """What the subject's pod shares with this machine; None of a process. Raises UsageError where it shares nothing."""
    if not run.subject.get("in_pod"):
        return None
    if (folder := run.subject.get("folder")) is None:
        raise UsageError(
            "the subject is in a pod that shares no folder with this machine, and memray cannot be attached to it",
            place=run.record.run.run_id,
            remedy="run it with --memray launch",
        )
    here = Path(str(folder))
    return Shared(
        SharedFolder(here / "shared", pod_manifest.SHARED), SharedFolder(here / "inject", pod_manifest.INJECTED)
    )


def _go(run: LivingRun, seconds: float, console: Console, *, json: bool) -> None:
    url = run.subject.get("pprof")
    if not url:
        raise UsageError(
            f"the subject of run {run.record.run.run_id} has no pprof URL", remedy="set subject.pprof and run it again"
        )
    window = _window()
    run.event("attach", collector=_BY_HAND, window=window, tool="pprof", why=_BY_HAND, since_ns=run.now_ns())
    began = run.now_ns()
    try:
        with TerminalObserver(console) as progress:
            progress.step(f"reading {url} for {seconds:g} s; Ctrl-C ends it earlier")
            pulled = asyncio.run(until_signal(lambda stop: pull(str(url), seconds, run.record.path, window, stop)))
    finally:
        lasted = (run.now_ns() - began) / 1e9
        run.event("detach", collector=_BY_HAND, window=window, tool="pprof", why="its time is over", seconds=lasted)
    for file in pulled.files:
        run.event("profile", source=_BY_HAND, file=file, labels={"window": window})
    if json:
        sys.stdout.write(_document(run, pulled).model_dump_json(by_alias=True, indent=1) + "\n")
        return
    console.print()
    for file in pulled.files:
        console.print(Text(f"  {pulled.folder / file}"), soft_wrap=True)
    for problem in pulled.problems:
        console.print(Text(f"  - {problem}"))
    console.print(Text("  compare the heap at both ends: harness profile diff BEGIN END"))
    _say_over(run, console)


def _document(run: LivingRun, pulled: PulledByHand) -> ProfiledGo:
    return ProfiledGo(
        run_id=run.record.run.run_id, url=pulled.url, folder=str(pulled.folder), seconds=pulled.seconds, files=pulled.files,
        problems=pulled.problems,
    )  # fmt: skip


def _say_over(run: LivingRun, console: Console) -> None:
    if run.over:
        run_id = run.record.run.run_id
        console.print(
            Text(f"  the run is over meanwhile: harness report {run_id} --recompute takes this into its report")
        )


def _window() -> str:
    return f"hand-{datetime.now(UTC):%H%M%S}"


class _Told(Notes):
    """Events of attaching go into the run's record, as those of a window: its verdict must know."""

    def __init__(self, run: LivingRun) -> None:
        super().__init__()
        self.window = _window()
        self._run = run

    def event(self, type_: str, /, **fields: object) -> None:
        """See `Sink.event`."""
        super().event(type_, **fields)
        whose: dict[str, object] = {"collector": _BY_HAND, "window": self.window, "tool": "memray"}
        if type_ == "attach":
            took_s = fields["took_s"]
            assert isinstance(took_s, float)
            self._run.event(
                "attach", **whose, why=_BY_HAND, since_ns=self._run.now_ns() - round(took_s * 1e9), **fields
            )
        elif type_ == "detach":
            self._run.event("detach", **whose, why="its time is over", **fields)
        elif type_ == "memray":
            self._run.event("memray", window=self.window, **fields)
