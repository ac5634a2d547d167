"""Where a run was measured, and with which versions: facts without which a figure means nothing."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path

import psutil

import harness
from harness.record.models import Machine

_VERSIONED = ("duckdb", "kubernetes", "locust", "memray", "pyroscope-io", "plotly")


def describe() -> Machine:
    """This machine. Equal fingerprints mean that figures may be compared."""
    cpu, cpus, memory = _cpu_model(), os.cpu_count() or 1, psutil.virtual_memory().total
    kernel, arch = platform.release(), platform.machine()
    # total memory differs by some MiB between boots of one machine type: whole GiB tell enough
    identity = "|".join((cpu, str(cpus), str(round(memory / 2**30)), kernel, arch))
    return Machine(
        cpu_model=cpu,
        cpus=cpus,
        memory_bytes=memory,
        kernel=kernel,
        os=_os_name(),
        arch=arch,
        fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:16],
    )


def versions() -> dict[str, str]:
    """Versions of the harness, Python and the libraries that shape a measurement."""
    found = {"harness": harness.__version__, "python": platform.python_version()}
    for name in _VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "CPU part")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()
