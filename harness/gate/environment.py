"""In what the two sides of a comparison differ beside their figures: machine, versions, load, limits, witnesses."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from harness.core.units import format_value
from harness.record.gate import Difference, GateEnvironment
from harness.record.models import Run

_ABSENT = "–"
_ON_PURPOSE = ("subject", "subject options")
_PARAMETER = "parameter "
"""These two are what arms are there to differ in."""
CHECKOUT_PREFIX = "hng-"
"""Of the folder in which a revision is checked out, as `tree`."""
CHECKOUT = re.compile(rf'[^\s":(]*/{CHECKOUT_PREFIX}\w+/tree')
"""Where that is: another place in every gate, gone after it, and no difference between two runs."""


def environment(baseline: Sequence[Run], candidate: Sequence[Run], *, on_purpose: bool) -> GateEnvironment:
    """Where the runs of both sides were measured. `on_purpose`: leave out in what the arms are meant to differ."""
    runs = [*baseline, *candidate]
    found = [item for item in differences(baseline, candidate) if not (on_purpose and _meant(item.what))]
    if not runs:
        return GateEnvironment(fingerprints=[], machine=_ABSENT, versions={}, cluster=_ABSENT, differences=found)
    machine = runs[0].machine
    words = f"{machine.cpu_model}, {machine.cpus} CPUs, {format_value(machine.memory_bytes, 'bytes')}, {machine.kernel}"
    return GateEnvironment(
        fingerprints=sorted({run.machine.fingerprint for run in runs}),
        machine=words,
        versions=runs[0].versions,
        cluster=facts(runs[0])["cluster"],
        differences=found,
    )


def differences(baseline: Sequence[Run], candidate: Sequence[Run]) -> list[Difference]:
    """All that is not the same on both sides, in the order of `facts`. Runs of one side may differ among themselves."""
    before, after = [facts(run) for run in baseline], [facts(run) for run in candidate]
    names = list(dict.fromkeys(name for each in (*before, *after) for name in each))
    found = []
    for name in names:
        left, right = ({each.get(name, _ABSENT) for each in side} for side in (before, after))
        if before and after and left != right:
            found.append(Difference(what=name, baseline=_words(left), candidate=_words(right)))
    return found


def _meant(what: str) -> bool:
    return what in _ON_PURPOSE or what.startswith(_PARAMETER)


def facts(run: Run) -> dict[str, str]:
    """What may make the figures of a run differ from another's, by name, as text."""
    machine, subject, resolved = run.machine, run.subject, run.scenario.resolved
    cluster = run.cluster
    told = {
        "machine": f"{machine.cpu_model}, {machine.cpus} CPUs, {format_value(machine.memory_bytes, 'bytes')}",
        "machine fingerprint": machine.fingerprint,
        "kernel": machine.kernel,
        "operating system": machine.os,
        **{f"version of {name}": version for name, version in run.versions.items()},
        "cluster": " ".join(str(cluster[key]) for key in ("provider", "version") if key in cluster) or _ABSENT,
        "scenario": run.scenario.name,
        "profile": run.profile or _ABSENT,
        "scenario file": run.scenario.sha256[:12],
        "load": _digest(resolved.get("load")),
        "seed": str(run.seed),
        "subject": subject_words(run),
        "subject runs as": "a pod" if subject.kind == "pod" else "a process",
        "subject options": _digest(subject.options),
        "runtime": " ".join(filter(None, (subject.runtime, subject.runtime_version))) or _ABSENT,
        "memory limit": _ABSENT if subject.memory_limit_bytes is None else format_value(subject.memory_limit_bytes, "bytes"),
        "CPU limit": _ABSENT if subject.cpu_limit is None else f"{subject.cpu_limit:g}",
        "cgroup version": str(subject.cgroup_version or _ABSENT),
        "subject's environment": _digest(subject.environment),
        "pinned to CPUs": str(run.pinning.subject) if run.pinning and run.pinning.subject else _ABSENT,
        "collectors": ", ".join(sorted(item.name for item in run.collectors if item.state == "on")),
        "heavy profilers": ", ".join(sorted(item.name for item in run.collectors if item.heavy)) or _ABSENT,
    }  # fmt: skip
    params = resolved.get("params") or {}
    told |= {f"parameter {name}": json.dumps(value) for name, value in params.items()}
    return {name: CHECKOUT.sub("{worktree}", text) for name, text in told.items()}


def subject_words(run: Run) -> str:
    """What was measured, as it was asked for. Kubeconfig and ports, which are filled in, are others in every run."""
    subject = run.subject
    if subject.controller is not None:
        return subject.controller
    written = (run.scenario.resolved.get("subject") or {}).get("command")
    given = [str(word) for word in written] if isinstance(written, list) else []
    pairs = zip(given, subject.command, strict=False)
    as_written = len(given) == len(subject.command) and all("{" in word or word == filled for word, filled in pairs)
    return " ".join(filter(None, (subject.image, *(given if as_written else subject.command))))


def _digest(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str) if value else _ABSENT


def _words(values: set[str], longest: int = 160) -> str:
    text = " | ".join(sorted(values))
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
