"""The native subjects: controllers in Go that come with the harness as sources, built once each.

Their modules are at the control plane's versions, so that most of what they consist of is in Go's build cache already.
"""

from __future__ import annotations

import platform
from pathlib import Path

from harness.core.errors import EnvironmentFault
from harness.core.handles import Progress
from harness.core.paths import cache_dir, scenarios_dir
from harness.toolchain import gobuild
from harness.toolchain.cache import once
from harness.toolchain.gobuild import GoProgram

NAMES = ("native-go",)
"""As scenarios call them: `native-LANGUAGE` is in `controllers/native/LANGUAGE`."""

_NEEDED_BYTES = 2 * 2**30
"""Free space for modules and Go's build cache (0.85 GB of the latter where it was empty), and room to link."""


def program(name: str) -> GoProgram:
    """How the subject `name` is built."""
    module = scenarios_dir().parent / "controllers" / "native" / name.removeprefix("native-")
    return GoProgram(
        name=name,
        module=module,
        sources=["go.mod", "go.sum", *sorted(path.name for path in module.glob("*.go"))],
        flags=["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w"],
        title=name,
        needed_bytes=_NEEDED_BYTES,
    )


def binary(name: str) -> Path:
    """Where the subject `name` is, once it is built."""
    return cache_dir() / "native" / program(name).key(gobuild.architecture() or "") / name


async def ensure(name: str, progress: Progress) -> Path:
    """Path of the binary, built on first use. Raises EnvironmentFault where it cannot be built."""
    architecture = gobuild.architecture()
    if architecture is None:
        raise EnvironmentFault(
            f"{name} is not built for {platform.machine()}", remedy="use another machine, or another controller"
        )
    built = program(name)

    async def make(directory: Path) -> None:
        progress.step(f"building the controller {name} (once; half a minute where the control plane was built here)")
        await gobuild.build(built, directory, architecture, progress)

    return await once(binary(name).parent, progress, make) / name
