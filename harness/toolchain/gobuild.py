"""Building a Go program of ours from its pinned modules, into a directory of the cache.

All programs are built with the same Go, the same settings and, where they can, the same versions of the same modules: what
one has compiled, Go's build cache has ready for the next.
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import EnvironmentFault
from harness.core.handles import Progress
from harness.toolchain.build_progress import BuildProgress
from harness.toolchain.go import Go, Version, environment, find_go, parse_version
from harness.toolchain.run import run

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_BUILD_LIMIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class GoProgram:
    """A program whose sources come with the harness: the module `name` in the directory `module`."""

    name: str
    module: Path
    sources: Sequence[str]
    flags: Sequence[str]
    """Of `go build`, beyond those that all programs share."""
    title: str
    """What a person reads: `the control plane`."""
    needed_bytes: int
    """Free space that the build needs."""
    full_disk_remedy: str = "make room"

    def key(self, architecture: str) -> str:
        """Name of the cache entry: a hash of everything that decides what the binary does.

        Which Go builds it is not part of it: any Go that go.mod accepts makes the same program of the same sources, and a
        newer Go on the machine should not cost minutes.
        """
        digest = hashlib.sha256()
        for name in self.sources:
            digest.update(hashlib.sha256((self.module / name).read_bytes()).digest())
        digest.update("\0".join([architecture, *self.flags]).encode())
        return digest.hexdigest()[:24]

    def go_version(self) -> Version:
        """The oldest Go that its go.mod accepts."""
        lines = (self.module / "go.mod").read_text().splitlines()
        found = next((parse_version(line) for line in lines if line.startswith("go ")), None)
        if found is None:
            raise EnvironmentFault("it does not say which Go it needs", place=str(self.module / "go.mod"))
        return found


def architecture() -> str | None:
    """This machine as Go calls it; None for one that nothing is built for."""
    return _MACHINES.get(platform.machine().lower())


async def build(program: GoProgram, directory: Path, target: str, progress: Progress) -> None:
    """Build for the architecture `target`: `directory/NAME` is the binary. Raises EnvironmentFault where that fails."""
    go = await find_go(program.go_version(), progress)
    env = environment() | {"GOOS": "linux", "GOARCH": target}
    await _check_space(program, go, env, directory)
    source = directory / "source"  # a copy: `go build -mod=mod` may write to go.mod and go.sum
    source.mkdir()
    for name in program.sources:
        shutil.copy(program.module / name, source / name)
    shown = BuildProgress(progress, str(go), program.name)
    remedy = "check the network and the free space, then try again: what is done is not done twice"
    listing = [str(go.executable), "list", *_mod(program), "-deps", "-f", "{{.ImportPath}}", "."]
    listed = await run(
        listing, name="go list", env=env, cwd=source, timeout_s=_BUILD_LIMIT_S, remedy=remedy, on_line=shown.downloading
    )
    shown.total = sum(1 for line in listed if not line.startswith("go: "))
    nice = [found, "-n", "10"] if (found := shutil.which("nice")) else []
    command = [*nice, str(go.executable), "build", "-v", *program.flags, "-o", str(directory / program.name), "."]
    ticking = asyncio.create_task(shown.tick())
    try:
        await run(
            command,
            name="go build",
            env=env,
            cwd=source,
            timeout_s=_BUILD_LIMIT_S,
            remedy=remedy,
            on_line=shown.compiled,
        )
    finally:
        ticking.cancel()
    shutil.rmtree(source)
    (directory / "built-with").write_text(f"{go}\n", encoding="utf-8")


def _mod(program: GoProgram) -> list[str]:
    return [flag for flag in program.flags if flag.startswith("-mod=")]


async def _check_space(program: GoProgram, go: Go, env: dict[str, str], directory: Path) -> None:
    """Fail now rather than in the fifth minute. Caches that already hold a build need little more."""
    asked = [str(go.executable), "env", "GOCACHE", "GOMODCACHE"]
    lines = await run(asked, name="go env", env=env, cwd=directory, timeout_s=60, remedy="set GOCACHE and GOMODCACHE")
    for place in {*map(Path, lines), directory}:
        existing = next(path for path in (place, *place.parents) if path.exists())
        free = shutil.disk_usage(existing).free
        if free < program.needed_bytes:
            raise EnvironmentFault(
                f"{free / 2**30:.1f} GiB free, building {program.title} needs {program.needed_bytes / 2**30:.0f} GiB",
                place=str(place),
                remedy=program.full_disk_remedy,
            )
