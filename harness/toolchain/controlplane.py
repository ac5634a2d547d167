"""The control plane's binary: kube-apiserver, etcd and kube-controller-manager in one, built once from pinned modules.

HARNESS_CONTROLPLANE names a binary that was built elsewhere; then nothing is built.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from harness.core.errors import EnvironmentFault, UsageError
from harness.core.handles import Progress
from harness.core.paths import cache_dir
from harness.toolchain import gobuild
from harness.toolchain.cache import once
from harness.toolchain.gobuild import GoProgram

OVERRIDE = "HARNESS_CONTROLPLANE"
"""Environment variable: path of an existing binary to use instead of building one."""

NAME = "controlplane"
MODULE = Path(__file__).resolve().parent / NAME
_SOURCES = ("go.mod", "go.sum", "main.go")

_VERSION_PACKAGES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
_NEEDED_BYTES = 4 * 2**30
"""Free space for modules and Go's build cache (3.5 GB when both were empty), and room to link."""


def kubernetes_version(module: Path = MODULE) -> str:
    """The version of Kubernetes that go.mod requires, such as `v1.36.3`."""
    match = re.search(r"^\s*k8s\.io/kubernetes (v\d+\.\d+\.\d+\S*)$", (module / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise EnvironmentFault("it does not require k8s.io/kubernetes", place=str(module / "go.mod"))
    return match[1]


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
    return _program(module).key(architecture)


def _program(module: Path = MODULE) -> GoProgram:
    return GoProgram(
        name=NAME,
        module=module,
        sources=_SOURCES,
        flags=build_flags(kubernetes_version(module)),
        title="the control plane",
        needed_bytes=_NEEDED_BYTES,
        full_disk_remedy=f"make room, or set {OVERRIDE} to a binary that was built elsewhere",
    )


def cached() -> Path | None:
    """Path of the binary if it is there already, None where `ensure` would have to build it."""
    if override := os.environ.get(OVERRIDE):
        return Path(override)
    binary = cache_dir() / NAME / key(gobuild.architecture() or "") / NAME
    return binary if binary.is_file() else None


async def ensure(progress: Progress) -> Path:
    """Path of the binary, built on first use: four to eight minutes with empty caches.

    Raises UsageError for an override that cannot be executed, EnvironmentFault where it cannot be built.
    """
    if override := os.environ.get(OVERRIDE):
        return _existing(override)
    architecture = gobuild.architecture()
    if architecture is None:
        raise EnvironmentFault(
            f"the control plane is not built for {platform.machine()}",
            remedy=f"set {OVERRIDE} to a binary, or use another machine",
        )

    async def make(directory: Path) -> None:
        progress.step("building the control plane (once; some minutes)")
        await gobuild.build(_program(), directory, architecture, progress)

    return await once(cache_dir() / NAME / key(architecture), progress, make) / NAME


def _existing(override: str) -> Path:
    binary = Path(override).absolute()
    if not binary.is_file() or not os.access(binary, os.X_OK):
        raise UsageError(f"{OVERRIDE} does not name an executable file", place=override, remedy="unset it")
    return binary
