"""What can be known before anything starts: a run that cannot work ends here, in one line, with nothing to clean up."""

from __future__ import annotations

import ipaddress
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from harness.cluster import provider
from harness.cluster.choice import EMBEDDED, GUESTS
from harness.core.errors import EnvironmentFault, UsageError
from harness.experiment import quota, source, subjects
from harness.experiment.options import RunOptions
from harness.experiment.subjects import SubjectCommand, of
from harness.kube.rbac import CLUSTER_ADMIN
from harness.process.ports import is_free
from harness.scenario.model import Hook, Restart, Scenario
from harness.scenario.subject_checks import WEBHOOK_FILES
from harness.subject import foreign, limits, webhooks
from harness.subject.placeholders import Placeholders
from loadgen import secret
from loadgen.fields import PlanError

_LOOPBACK = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1"}
_MEMRAY = ("launch", "attach", "off")


def check(scenarios: Sequence[Scenario], options: RunOptions, base: Path) -> None:
    """Raises UsageError for options that cannot be meant, EnvironmentFault for what this machine cannot do.

    `base` is the folder that files of the scenario are relative to.
    """
    provider.check(options.cluster)
    _observing(scenarios, options)
    _workers(options)
    if options.memray is not None and options.memray not in _MEMRAY:
        raise UsageError(f"--memray {options.memray!r} is unknown", remedy=f"use {', '.join(_MEMRAY)}")
    pyroscope = options.pyroscope
    if pyroscope is not None and pyroscope not in ("on", "off") and not pyroscope.startswith(("http://", "https://")):
        raise UsageError(f"--pyroscope {pyroscope!r} is not a URL", remedy="use on, off, or http://HOST:PORT")
    for scenario in scenarios:
        if options.pid is not None or scenario.subject.pid is not None:
            _foreign(scenario, options)
            of(scenario.subject, options)
            continue
        found = of(scenario.subject, options)
        _subject_as(options, scenario, found)
        if found.in_pod(options):
            _pod(scenario, options)
        else:
            _process(scenario, options)
        _guest(scenario, options)
        if (served := subjects.webhooks(scenario.subject, options)) is not None:
            webhooks.load([base / name for name in served.configurations])
        _steps(scenario, options)
        _windows(scenario, options)
        quota.check(scenario, options)
    source.check(options.commit)
    _out(options.out, "run records", "--out")
    if options.history is not None:
        _out(options.history, "the history", "--history")


def _out(directory: Path, what: str, option: str) -> None:
    remedy = f"name another folder with {option}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cause = f"{what} cannot be kept there: {error.strerror}"
        raise UsageError(cause, place=str(directory), remedy=remedy) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise UsageError(f"{what} cannot be kept there: it is not writable", place=str(directory), remedy=remedy)


def _subject_as(options: RunOptions, scenario: Scenario, found: SubjectCommand) -> None:
    """Whether what `--subject-as` asks for can be had."""
    if options.subject_as not in (None, "process", "pod"):
        raise UsageError(f"--subject-as {options.subject_as!r} is unknown", remedy="use process or pod")
    if options.subject_as == "pod" and not found.in_pod(options):
        where = options.cluster.provider
        why = (
            f"--cluster {where} runs no pods"
            if where == EMBEDDED
            else "it has no image that the harness could load there"
        )
        raise UsageError(
            f"the subject cannot run in a pod: {why}",
            place=scenario.name,
            remedy="use --cluster kind, and --subject-image for a subject of your own",
        )


def _pod(scenario: Scenario, options: RunOptions) -> None:
    """The node starts and limits it."""
    _placeholders(scenario, options, of(scenario.subject, options))
    if scenario.subject.replicas > 1:
        raise UsageError(
            "replicas and failover are measured of processes only, not of pods",
            place=scenario.name,
            remedy="add --subject-as process, or use --cluster embedded",
        )
    if scenario.subject.restart_policy == "Always" and (options.memray or scenario.memray) == "launch":
        raise UsageError(
            "a container that the kubelet starts again would overwrite the capture of memray",
            place=scenario.name,
            remedy="leave out restart_policy or memray",
        )


def _process(scenario: Scenario, options: RunOptions) -> None:
    """It is started and limited by this machine."""
    if scenario.subject.restart_policy == "Always":
        raise UsageError(
            "restart_policy: Always is the kubelet's, and this subject is no pod",
            place=scenario.name,
            remedy="use --cluster kind",
        )
    _command(scenario, options)
    _addresses(of(scenario.subject, options), scenario.name)
    if scenario.subject.memory_limit is not None:
        _memory_limit(scenario.name)
    if scenario.subject.cpu_limit is not None:
        limits.check_cpu(scenario.subject.cpu_limit)


def _workers(options: RunOptions) -> None:
    external = options.external
    if external is None:
        return
    if options.observe is not None:
        raise UsageError("an observation sends no load, and has no load workers", remedy="leave one of the two out")
    try:
        secret.read(external.secret_file)
    except PlanError as error:
        remedy = "make one with `openssl rand -hex 32`, and name its file with --workers-secret"
        raise UsageError(str(error), remedy=remedy) from error
    if external.account is None and not ipaddress.ip_address(external.host).is_loopback:
        raise UsageError(
            "load workers of other machines have not the files of this one, and need an account of their own",
            remedy="name it with --workers-account NAMESPACE/NAME, or listen on 127.0.0.1",
        )


def _observing(scenarios: Sequence[Scenario], options: RunOptions) -> None:
    if options.observe is not None and len(scenarios) > 1:
        arms = ", ".join(str(scenario.arm) for scenario in scenarios)
        raise UsageError("an observation is one run, and the scenario has several arms", remedy=f"--arm: one of {arms}")
    if options.pid is not None and options.subject is not None:
        raise UsageError("--pid and --subject both say what the subject is", remedy="leave one of the two out")


def _foreign(scenario: Scenario, options: RunOptions) -> None:
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
    built = of(scenario.subject, options)
    command = built.command
    _placeholders(scenario, options, built)
    if built.controller is not None:
        return  # one of ours: installed with us, or compiled before it starts
    if not command and built.image is not None:
        raise UsageError(
            "the subject is an image, which runs in a pod only",
            place=built.image,
            remedy="use --cluster kind",
        )
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


def _addresses(command: SubjectCommand, place: str) -> None:
    """Where a port is fixed, nobody else may listen on it: what that one answers would pass as the subject's."""
    ready = None if command.ready is None else command.ready.http
    urls = {"metrics": command.metrics, "pprof": command.pprof, "ready": ready}
    for name, url in urls.items():
        if url is None or "{port:" in url:
            continue
        parts = urlsplit(url)
        if parts.port is None or parts.hostname not in _LOOPBACK or is_free(parts.port, _LOOPBACK[parts.hostname]):
            continue
        cause = f"another program listens on {parts.netloc}, the address of the subject's {name}: its answers would be measured"
        raise EnvironmentFault(cause, place=place, remedy="end that program, or let the subject listen elsewhere")


def _guest(scenario: Scenario, options: RunOptions) -> None:
    """What works in a cluster on this machine only, or in one of the run's own."""
    where = options.cluster.provider
    if where != EMBEDDED and subjects.webhooks(scenario.subject, options) is not None:
        raise UsageError(
            f"an API server of --cluster {where} cannot call the webhooks of a subject on this machine",
            place=scenario.name,
            remedy="use --cluster embedded",
        )
    if where in GUESTS and scenario.apiserver.inflight != "on":
        raise UsageError(
            "the limits of an API server that is not the run's own cannot be chosen",
            place=scenario.name,
            remedy="leave out apiserver.inflight, or use --cluster embedded or kind",
        )
    needs_all = of(scenario.subject, options).role == CLUSTER_ADMIN
    if where in GUESTS and needs_all and options.subject_role is None:
        raise UsageError(
            "which rights this subject needs cannot be known, and it does not get all in a cluster that is not the run's",
            place=scenario.name,
            remedy="name a ClusterRole with --subject-role",
        )


def _placeholders(scenario: Scenario, options: RunOptions, built: SubjectCommand) -> None:
    """Fill all of them once with stand-ins: `--subject` was not looked at when the file was read."""
    fill = Placeholders(kubeconfig=Path("kubeconfig"), namespace="namespace", run_id="run-id", new_port=lambda: 1)
    if subjects.webhooks(scenario.subject, options) is not None:
        fill.webhook.update(dict.fromkeys(WEBHOOK_FILES, "file"))
    fill.fill_command(built.command, place="subject.command")
    fill.fill_command(built.args, place="subject.args")
    fill.fill_env(built.env, place="subject.env")
    for place, url in (("subject.metrics", built.metrics), ("subject.pprof", built.pprof)):
        if url is not None:
            fill.fill(url, place=place)
    if built.ready is not None:
        built.ready.filled(lambda text: fill.fill(text, place="subject.ready"))


def _windows(scenario: Scenario, options: RunOptions) -> None:
    """The command line may not ask for what `profile: on-demand` leaves out."""
    if not scenario.profiling.on_demand:
        return
    for option, value in (("--memray", options.memray), ("--pyroscope", options.pyroscope)):
        if value not in (None, "off"):
            raise UsageError(
                f"{option} {value} looks all the time, and profile: on-demand only in windows",
                place=scenario.name,
                remedy=f"leave {option} out, or add --set profile=continuous",
            )


def _steps(scenario: Scenario, options: RunOptions) -> None:
    if scenario.subject.replicas > 1 and (options.memray or scenario.memray) != "off":
        raise UsageError(
            "memray captures one process, and there are two replicas",
            place=scenario.name,
            remedy="leave one of the two out",
        )
    for step in scenario.load:
        if isinstance(step, Restart) and step.of == "apiserver" and options.cluster.provider != "embedded":
            raise UsageError(
                "only the API server of an embedded cluster is restarted",
                place=scenario.name,
                remedy="use --cluster embedded",
            )
        if isinstance(step, Restart) and step.of == "subject" and (options.memray or scenario.memray) != "off":
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
