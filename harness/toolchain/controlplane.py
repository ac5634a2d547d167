"""The control plane's binary: kube-apiserver, etcd and kube-controller-manager in one, built once from pinned modules.

HARNESS_CONTROLPLANE names a binary that was built elsewhere; then nothing is built. Which Go built it is not part of
the cache's key: any Go that go.mod accepts makes the same programs of the same sources, and a newer Go on the machine
should not cost seven minutes.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
import re
import shutil
from pathlib import Path

from harness.core.errors import EnvironmentFault, UsageError
from harness.core.handles import Progress
from harness.core.paths import cache_dir
from harness.toolchain.build_progress import BuildProgress
from harness.toolchain.cache import once
from harness.toolchain.go import Go, Version, environment, find_go, parse_version
from harness.toolchain.run import run

OVERRIDE = "HARNESS_CONTROLPLANE"
"""Environment variable: path of an existing binary to use instead of building one."""

NAME = "controlplane"
MODULE = Path(__file__).resolve().parent / NAME
_SOURCES = ("go.mod", "go.sum", "main.go")
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

_VERSION_PACKAGES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
_BUILD_LIMIT_S = 3600.0
_NEEDED_BYTES = 4 * 2**30
"""Free space for modules and Go's build cache (3.5 GB when both were empty), and room to link."""


def kubernetes_version(module: Path = MODULE) -> str:
    """The version of Kubernetes that go.mod requires, such as `v1.36.3`."""
    match = re.search(r"^\s*k8s\.io/kubernetes (v\d+\.\d+\.\d+\S*)$", (module / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise EnvironmentFault("it does not require k8s.io/kubernetes", place=str(module / "go.mod"))
    return match[1]


def go_version(module: Path = MODULE) -> Version:
    """The oldest Go that go.mod accepts."""
    lines = (module / "go.mod").read_text().splitlines()
    found = next((parse_version(line) for line in lines if line.startswith("go ")), None)
    if found is None:
        raise EnvironmentFault("it does not say which Go it needs", place=str(module / "go.mod"))
    return found


def build_flags(version: str) -> list[str]:
    """Flags of `go build`. Without the version stamped in, the API server would call itself v0.0.0."""
    major, minor = version.removeprefix("v").split(".")[:2]
    stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    stamped = " ".join(
        f"-X {package}.{name}={value}" for package in _VERSION_PACKAGES for name, value in stamps.items()
    )
    # -mod=mod: the replaced staging modules leave go.sum without lines that -mod=readonly would ask for.
    return ["-mod=mod", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {stamped}"]


def key(architecture: str, module: Path = MODULE) -> str:
    """Name of the cache entry: a hash of everything that decides what the binary does."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update(hashlib.sha256((module / name).read_bytes()).digest())
    digest.update("\0".join([architecture, *build_flags(kubernetes_version(module))]).encode())
    return digest.hexdigest()[:24]


def cached() -> Path | None:
    """Path of the binary if it is there already, None where `ensure` would have to build it."""
    if override := os.environ.get(OVERRIDE):
        return Path(override)
    binary = cache_dir() / NAME / key(_MACHINES.get(platform.machine().lower(), "")) / NAME
    return binary if binary.is_file() else None


async def ensure(progress: Progress) -> Path:
    """Path of the binary, built on first use: four to eight minutes with empty caches.

    Raises UsageError for an override that cannot be executed, EnvironmentFault where it cannot be built.
    """
    if override := os.environ.get(OVERRIDE):
        return _existing(override)
    machine = platform.machine()
    architecture = _MACHINES.get(machine.lower())
    if architecture is None:
        raise EnvironmentFault(
            f"the control plane is not built for {machine}",
            remedy=f"set {OVERRIDE} to a binary, or use another machine",
        )

    async def make(directory: Path) -> None:
        progress.step("building the control plane (once; some minutes)")
        await _build(directory, architecture, progress)

    return await once(cache_dir() / NAME / key(architecture), progress, make) / NAME


def _existing(override: str) -> Path:
    binary = Path(override).absolute()
    if not binary.is_file() or not os.access(binary, os.X_OK):
        raise UsageError(f"{OVERRIDE} does not name an executable file", place=override, remedy="unset it")
    return binary


async def _build(directory: Path, architecture: str, progress: Progress) -> None:
    go = await find_go(go_version(), progress)
    env = environment() | {"GOOS": "linux", "GOARCH": architecture}
    await _check_space(go, env, directory)
    source = directory / "source"  # a copy: `go build -mod=mod` may write to go.mod and go.sum
    source.mkdir()
    for name in _SOURCES:
        shutil.copy(MODULE / name, source / name)
    flags = build_flags(kubernetes_version())
    shown = BuildProgress(progress, str(go))
    remedy = "check the network and the free space, then try again: what is done is not done twice"
    listing = [str(go.executable), "list", "-mod=mod", "-deps", "-f", "{{.ImportPath}}", "."]
    listed = await run(
        listing, name="go list", env=env, cwd=source, timeout_s=_BUILD_LIMIT_S, remedy=remedy, on_line=shown.downloading
    )
    shown.total = sum(1 for line in listed if not line.startswith("go: "))
    nice = [found, "-n", "10"] if (found := shutil.which("nice")) else []
    build = [*nice, str(go.executable), "build", "-v", *flags, "-o", str(directory / NAME), "."]
    ticking = asyncio.create_task(shown.tick())
    try:
        await run(
            build, name="go build", env=env, cwd=source, timeout_s=_BUILD_LIMIT_S, remedy=remedy, on_line=shown.compiled
        )
    finally:
        ticking.cancel()
    shutil.rmtree(source)
    (directory / "built-with").write_text(f"{go}\n", encoding="utf-8")


async def _check_space(go: Go, env: dict[str, str], directory: Path) -> None:
    """Fail now rather than in the fifth minute. Caches that already hold a build need little more."""
    asked = [str(go.executable), "env", "GOCACHE", "GOMODCACHE"]
    lines = await run(asked, name="go env", env=env, cwd=directory, timeout_s=60, remedy="set GOCACHE and GOMODCACHE")
    for place in {*map(Path, lines), directory}:
        existing = next(path for path in (place, *place.parents) if path.exists())
        free = shutil.disk_usage(existing).free
        if free < _NEEDED_BYTES:
            raise EnvironmentFault(
                f"{free / 2**30:.1f} GiB free, building the control plane needs {_NEEDED_BYTES / 2**30:.0f} GiB",
                place=str(place),
                remedy=f"make room, or set {OVERRIDE} to a binary that was built elsewhere",
            )
