"""Directories that are put in front of a Python subject's path: memray and pyroscope-io for its own minor version.

Compiled extensions fit one minor version of Python, which need not be the harness's.
"""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

from harness.core.errors import EnvironmentFault
from harness.core.handles import Progress, PythonRuntime
from harness.core.paths import cache_dir, data_dir
from harness.toolchain.cache import once
from harness.toolchain.pip import install


async def ensure(python: PythonRuntime, progress: Progress) -> Path:
    """The side directory for this interpreter, installed from requirements/inject.txt on first use.

    Raises EnvironmentFault where there are no wheels for it, with pip's words.
    """
    requirements = data_dir("requirements") / "inject.txt"
    major, minor = python.version
    tag = f"cp{major}{minor}"
    try:
        inputs = hashlib.sha256(requirements.read_bytes())
    except OSError as error:
        raise EnvironmentFault(f"cannot be read: {error.strerror}", place=str(requirements)) from error
    inputs.update(platform.machine().encode())

    async def make(directory: Path) -> None:
        progress.step(f"installing profilers for Python {major}.{minor}")
        try:
            await install(requirements, directory, progress, python.version)
        except EnvironmentFault as error:
            raise EnvironmentFault(
                error.cause,
                place=f"profilers for {python.executable} (Python {major}.{minor})",
                remedy=f"{error.remedy}; without profilers the run needs none of this",
            ) from error

    return await once(cache_dir() / "inject" / f"{tag}-{inputs.hexdigest()[:16]}", progress, make)
