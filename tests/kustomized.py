"""Overlays of manifests/ as `kubectl kustomize` builds them: by the same library, built once of pinned modules.

KUSTOMIZE names another program, as in KUSTOMIZE='kubectl kustomize'.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import yaml

from harness.core.handles import Silent
from harness.core.paths import cache_dir, data_dir
from harness.toolchain import gobuild
from harness.toolchain.cache import once
from harness.toolchain.gobuild import GoProgram

PROGRAM = GoProgram(
    name="kustomize",
    module=Path(__file__).parent / "kustomize",
    sources=("go.mod", "go.sum", "main.go"),
    flags=("-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w"),
    title="kustomize",
    needed_bytes=2**29,
)
OVERLAYS = sorted(path.name for path in (data_dir("manifests") / "overlays").iterdir())
_LIMIT_S = 60.0


def program() -> list[str]:
    """The command, built on first use: half a minute on 2 cores."""
    if named := os.environ.get("KUSTOMIZE"):
        return shlex.split(named)
    architecture = gobuild.architecture()
    assert architecture is not None

    async def make(directory: Path) -> None:
        await gobuild.build(PROGRAM, directory, architecture, Silent())

    made = asyncio.run(once(cache_dir() / "kustomize" / PROGRAM.key(architecture), Silent(), make))
    return [str(made / PROGRAM.name)]


def build(directory: Path) -> list[dict[str, Any]]:
    """The manifests of a folder with a kustomization.yaml, in the order in which they are applied."""
    done = subprocess.run([*program(), str(directory)], capture_output=True, text=True, timeout=_LIMIT_S)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document is not None]


def overlay(name: str) -> list[dict[str, Any]]:
    """Those of an overlay of ours."""
    return build(data_dir("manifests") / "overlays" / name)
