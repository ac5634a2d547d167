"""The command line. Switches bear the same names here, in scenarios and in docs/scenarios.md."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from harness.controllers.calibrated.quantities import duration, factor, share, size, sizes
from harness.controllers.calibrated.truth import Doses
from harness.controllers.runtime.command_line import Parser, count


@dataclass(frozen=True, slots=True)
class Options:
    """What one process was told. Seconds and bytes; `*_at` are numbers of reconciles, None never."""

    kubeconfig: Path
    namespace: str | None
    metrics: tuple[str, int] | None
    workers: int
    doses: Doses
    latency_s: float
    """From the event to the write that is its effect; `latency_factor` is in it."""
    cpu_s: float
    """CPU time that each reconcile burns, on the event loop."""
    truth: Path | None
    kill_at: int | None
    thrash_at: int | None
    exit_at: int | None
    exit_code: int
    signal_at: int | None
    signal: signal.Signals


def parse(arguments: Sequence[str]) -> Options:
    """The options in `arguments`. Ends the process with one line and status 2 where they are wrong."""
    known = vars(_build().parse_all(arguments))
    doses = Doses(**{field.name: known.pop(field.name) for field in fields(Doses)})
    known["latency_s"] = known.pop("latency") * known.pop("latency_factor")
    return Options(doses=doses, cpu_s=known.pop("cpu"), **known)


def _build() -> Parser:
    parser = Parser("calibrated", __doc__)

    def add(name: str, type_: Callable[[str], Any], default: str | None, metavar: str, text: str) -> None:
        shown = "" if default is None else f" (default: {default})"
        parser.add_argument(f"--{name}", dest=name, type=type_, default=default, metavar=metavar, help=text + shown)

    add("workers", count, "10", "N", "reconciles at the same time")
    add("seed", int, "1", "N", "what is held per object is drawn from it")
    add("bytes_per_object", sizes, "0", "SIZE|FROM..TO", "held for each object until it is deleted")
    add("memory_factor", factor, "1.0", "F|+P%", "multiplies bytes_per_object")
    add("ballast", size, "0", "SIZE", "held from the first reconcile on")
    add("leak", size, "0", "SIZE", "left behind for good by each reconcile")
    add("tasks_left", share, "0", "N|A/B", "tasks per reconcile that never end")
    add("extra_writes", share, "0", "N|A/B", "writes per reconcile beside the effect, each of which changes something")
    add("noop_writes", share, "0", "N|A/B", "writes per reconcile that change nothing")
    add("latency", duration, "0", "DURATION", "from the event to the write of its effect")
    add("latency_factor", factor, "1.0", "F|+P%", "multiplies latency")
    add("cpu", duration, "0", "DURATION", "CPU time burnt by each reconcile, on the event loop")
    add("kill_at", count, None, "N", "after N reconciles allocate until the kernel kills")
    add("thrash_at", count, None, "N", "after N reconciles keep the memory limit busy without progress or a kill")
    add("exit_at", count, None, "N", "after N reconciles exit with exit_code")
    add("exit_code", _status, "1", "CODE", "of exit_at")
    add("signal_at", count, None, "N", "after N reconciles send itself `signal`")
    add("signal", _signal, "SEGV", "NAME", "of signal_at, such as SEGV or KILL")
    add("truth", Path, None, "PATH", "file to which a JSON line with the truth is added by each reconcile")
    return parser


def _status(text: str) -> int:
    if not text.isdecimal() or int(text) > 255:
        raise argparse.ArgumentTypeError(f"{text!r} is not an exit code of 0 to 255")
    return int(text)


def _signal(text: str) -> signal.Signals:
    try:
        return signal.Signals[f"SIG{text.upper().removeprefix('SIG')}"]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a signal, such as SEGV or KILL") from None
