"""What can be known before anything starts: a run that cannot work ends here, in one line, with nothing to clean up."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.cluster import provider
from harness.core.errors import EnvironmentFault, UsageError
from harness.experiment.options import RunOptions
from harness.experiment.subjects import build
from harness.scenario.model import Hook, Restart, Scenario
from harness.subject import limits, webhooks

_MEMRAY = ("launch", "off")


def check(scenarios: Sequence[Scenario], options: RunOptions, base: Path) -> None:
    """Raises UsageError for options that cannot be meant, EnvironmentFault for what this machine cannot do.

    `base` is the folder that files of the scenario are relative to.
    """
    provider.check(options.provider)
    if options.memray is not None and options.memray not in _MEMRAY:
        raise UsageError(f"--memray {options.memray!r} is unknown", remedy=f"use {' or '.join(_MEMRAY)}")
    pyroscope = options.pyroscope
    if pyroscope is not None and pyroscope not in ("on", "off") and not pyroscope.startswith(("http://", "https://")):
        raise UsageError(f"--pyroscope {pyroscope!r} is not a URL", remedy="use on, off, or http://HOST:PORT")
    for scenario in scenarios:
        _command(scenario, options)
        if scenario.subject.memory_limit is not None:
            _memory_limit(scenario.name)
        if scenario.subject.cpu_limit is not None:
            limits.check_cpu(scenario.subject.cpu_limit)
        if scenario.subject.webhooks is not None:
            webhooks.load([base / name for name in scenario.subject.webhooks.configurations])
        _steps(scenario, options)
    _out(options.out)


def _out(directory: Path) -> None:
    remedy = "name another folder with --out"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cause = f"run records cannot be kept there: {error.strerror}"
        raise UsageError(cause, place=str(directory), remedy=remedy) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise UsageError("run records cannot be kept there: it is not writable", place=str(directory), remedy=remedy)


def _command(scenario: Scenario, options: RunOptions) -> None:
    built = build(scenario.subject, options.subject)
    if built.controller is not None:
        return  # one of ours: installed with us, or compiled before it starts
    command = built.command
    if not command:
        raise UsageError("the subject's command is empty", remedy="write --subject 'PROGRAM ARGUMENTS…'")
    if shutil.which(command[0]) is None:
        where = "in this folder" if "/" in command[0] else "on PATH"
        raise UsageError(f"the subject's program {command[0]!r} is not {where}, or not executable", place=scenario.name)


def _steps(scenario: Scenario, options: RunOptions) -> None:
    for step in scenario.load:
        if isinstance(step, Restart) and (options.memray or scenario.memray) == "launch":
            raise UsageError(
                "a restart would overwrite the capture of memray",
                place=scenario.name,
                remedy="leave one of the two out",
            )
        if isinstance(step, Hook) and shutil.which(step.command[0]) is None:
            where = "in this folder" if "/" in step.command[0] else "on PATH"
            raise UsageError(
                f"the hook's program {step.command[0]!r} is not {where}, or not executable", place=scenario.name
            )


def _memory_limit(name: str) -> None:
    capability = limits.probe()
    if not capability.ok:
        raise EnvironmentFault(
            f"the scenario limits the subject's memory, and this machine cannot: {capability.sentence}",
            place=name,
            remedy=capability.remedy,
        )
