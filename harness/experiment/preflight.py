"""What can be known before anything starts: a run that cannot work ends here, in one line, with nothing to clean up."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.cluster import provider
from harness.cluster.choice import EMBEDDED, KUBECONFIG
from harness.core.errors import EnvironmentFault, UsageError
from harness.experiment.options import RunOptions
from harness.experiment.subjects import SubjectCommand, build
from harness.kube.rbac import CLUSTER_ADMIN
from harness.scenario.model import Hook, Restart, Scenario
from harness.scenario.subject_checks import WEBHOOK_FILES
from harness.subject import foreign, limits, webhooks
from harness.subject.placeholders import Placeholders

_MEMRAY = ("launch", "attach", "off")


def check(scenarios: Sequence[Scenario], options: RunOptions, base: Path) -> None:
    """Raises UsageError for options that cannot be meant, EnvironmentFault for what this machine cannot do.

    `base` is the folder that files of the scenario are relative to.
    """
    provider.check(options.cluster)
    _observing(scenarios, options)
    if options.memray is not None and options.memray not in _MEMRAY:
        raise UsageError(f"--memray {options.memray!r} is unknown", remedy=f"use {', '.join(_MEMRAY)}")
    pyroscope = options.pyroscope
    if pyroscope is not None and pyroscope not in ("on", "off") and not pyroscope.startswith(("http://", "https://")):
        raise UsageError(f"--pyroscope {pyroscope!r} is not a URL", remedy="use on, off, or http://HOST:PORT")
    for scenario in scenarios:
        if options.pid is not None or scenario.subject.pid is not None:
            _process(scenario, options)
            continue
        _command(scenario, options)
        if scenario.subject.memory_limit is not None:
            _memory_limit(scenario.name)
        if scenario.subject.cpu_limit is not None:
            limits.check_cpu(scenario.subject.cpu_limit)
        _guest(scenario, options)
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


def _observing(scenarios: Sequence[Scenario], options: RunOptions) -> None:
    if options.observe is not None and len(scenarios) > 1:
        arms = ", ".join(str(scenario.arm) for scenario in scenarios)
        raise UsageError("an observation is one run, and the scenario has several arms", remedy=f"--arm: one of {arms}")
    if options.pid is not None and options.subject is not None:
        raise UsageError("--pid and --subject both say what the subject is", remedy="leave one of the two out")


def _process(scenario: Scenario, options: RunOptions) -> None:
    """A process that runs already: it must be there, and nothing can be put into it."""
    pid = options.pid or scenario.subject.pid
    assert pid is not None
    foreign.check(pid)
    if options.observe is None:
        raise UsageError(
            "a process that runs already does not know the cluster that a run starts, so our load would not reach it",
            place=f"pid {pid}",
            remedy="add --observe and load it yourself",
        )
    profiled = (options.memray or scenario.memray) != "off" or (options.pyroscope or scenario.pyroscope) != "off"
    if profiled:
        raise UsageError(
            "memray and Pyroscope are put into a subject when it starts", place=f"pid {pid}", remedy="switch them off"
        )


def _command(scenario: Scenario, options: RunOptions) -> None:
    built = build(scenario.subject, options.subject)
    command = built.command
    _placeholders(scenario, built)
    if not command:
        raise UsageError("the subject's command is empty", remedy="write --subject 'PROGRAM ARGUMENTS…'")
    if scenario.subject.replicas > 1 and built.lease is None:
        raise UsageError(
            "by which Lease the replicas of --subject elect their leader is not known",
            place=scenario.name,
            remedy="write a scenario with subject: {command: …, replicas: 2, lease: {name: NAME}}",
        )
    if shutil.which(command[0]) is None:
        where = "in this folder" if "/" in command[0] else "on PATH"
        raise UsageError(f"the subject's program {command[0]!r} is not {where}, or not executable", place=scenario.name)


def _guest(scenario: Scenario, options: RunOptions) -> None:
    """What works in a cluster on this machine only, or in one of the run's own."""
    where = options.cluster.provider
    if where != EMBEDDED and scenario.subject.webhooks is not None:
        raise UsageError(
            f"an API server of --cluster {where} cannot call the webhooks of a subject on this machine",
            place=scenario.name,
            remedy="use --cluster embedded",
        )
    if where == KUBECONFIG and scenario.apiserver.inflight != "on":
        raise UsageError(
            "the limits of an API server that is not the run's own cannot be chosen",
            place=scenario.name,
            remedy="leave out apiserver.inflight, or use --cluster embedded or kind",
        )
    needs_all = build(scenario.subject, options.subject).role == CLUSTER_ADMIN
    if where == KUBECONFIG and needs_all and options.subject_role is None:
        raise UsageError(
            "which rights this subject needs cannot be known, and it does not get all in a cluster that is not the run's",
            place=scenario.name,
            remedy="name a ClusterRole with --subject-role",
        )


def _placeholders(scenario: Scenario, built: SubjectCommand) -> None:
    """Fill all of them once with stand-ins: `--subject` was not looked at when the file was read."""
    fill = Placeholders(kubeconfig=Path("kubeconfig"), namespace="namespace", run_id="run-id", new_port=lambda: 1)
    if scenario.subject.webhooks is not None:
        fill.webhook.update(dict.fromkeys(WEBHOOK_FILES, "file"))
    fill.fill_command(built.command, place="subject.command")
    fill.fill_env(built.env, place="subject.env")
    for place, url in (("subject.metrics", built.metrics), ("subject.pprof", built.pprof)):
        if url is not None:
            fill.fill(url, place=place)
    if built.ready is not None:
        built.ready.filled(lambda text: fill.fill(text, place="subject.ready"))


def _steps(scenario: Scenario, options: RunOptions) -> None:
    if scenario.subject.replicas > 1 and (options.memray or scenario.memray) != "off":
        raise UsageError(
            "memray captures one process, and there are two replicas",
            place=scenario.name,
            remedy="leave one of the two out",
        )
    for step in scenario.load:
        if isinstance(step, Restart) and (options.memray or scenario.memray) != "off":
            raise UsageError(
                "a restart would end the capture of memray, which is of one process",
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
