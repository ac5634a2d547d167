"""The reference controllers' image, built once for each content from what the host has downloaded.

No step of the build needs a network: `pip` fills a directory on the host with exactly what requirements/controllers.txt
pins, and the Dockerfile copies it. The tag is a hash over all that goes in, so an image that is there is the right one.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from pathlib import Path

from harness.core.handles import Progress
from harness.core.paths import cache_dir, data_dir
from harness.toolchain.cache import once
from harness.toolchain.docker import docker, image_ids
from harness.toolchain.pip import install

REPOSITORY = "controller-harness/controllers"
BASE_ENV = "PYTHON_BASE_IMAGE"
DEFAULT_BASE = "python:3.11-slim"
PYTHON = (3, 11)
"""Minor version of the base image's python3: compiled packages fit one only."""
_BUILD_LIMIT_S = 600.0
_COMPILED = shutil.ignore_patterns("__pycache__")  # by the host's Python; the image has its own, of what it imports
_CONTROLLERS = Path(__file__).resolve().parent.parent / "controllers"


async def ensure(progress: Progress, base: str | None = None) -> str:
    """Reference of the controllers' image in the local Docker, built if it is not there.

    `base` is the image with Python 3.11 to build on, by default that of `PYTHON_BASE_IMAGE`, else the public one. Raises
    EnvironmentFault where Docker or the packages cannot be had.
    """
    base = base or os.environ.get(BASE_ENV) or DEFAULT_BASE
    tag = f"{REPOSITORY}:{await _fingerprint(base)}"
    if await image_ids([tag]) is not None:
        return tag
    installed = await packages(progress)
    progress.step("building the controllers' image")
    with tempfile.TemporaryDirectory(prefix="harness-image-") as scratch:
        context = Path(scratch)
        shutil.copytree(installed, context / "packages", ignore=_COMPILED)
        _copy_code(context / "harness")
        shutil.copy(_dockerfile(), context / "Dockerfile")
        # The classic builder: BuildKit is an add-on that many Docker installations lack.
        await docker(
            "build", "--network", "none", "--build-arg", f"{BASE_ENV}={base}", "--tag", tag, str(context),
            timeout_s=_BUILD_LIMIT_S, env={"DOCKER_BUILDKIT": "0"}, on_line=progress.detail,
        )  # fmt: skip
    return tag


async def _fingerprint(base: str) -> str:
    """Hash over what the image is made of; of a base that is not there yet, its name."""
    inputs = hashlib.sha256(platform.machine().encode())
    for path in (_dockerfile(), _requirements(), *sorted(_CONTROLLERS.rglob("*.py"))):
        inputs.update(path.name.encode() + path.read_bytes())
    identities = await image_ids([base])
    inputs.update((identities[0] if identities else base).encode())
    return inputs.hexdigest()[:16]


async def packages(progress: Progress) -> Path:
    """The controllers' packages as a directory, installed on first use: all of the image that needs a network."""
    digest = hashlib.sha256(_requirements().read_bytes() + platform.machine().encode()).hexdigest()[:16]

    async def make(directory: Path) -> None:
        progress.step("installing the controllers' packages")
        await install(_requirements(), directory, progress, PYTHON)

    return await once(cache_dir() / "controllers" / f"cp{PYTHON[0]}{PYTHON[1]}-{digest}", progress, make)


def _copy_code(target: Path) -> None:
    """`harness` with nothing in it but the controllers, which import nothing else of it."""
    target.mkdir()
    shutil.copy(_CONTROLLERS.parent / "__init__.py", target)
    shutil.copytree(_CONTROLLERS, target / "controllers", ignore=_COMPILED)


def _dockerfile() -> Path:
    return data_dir("manifests") / "images" / "controllers" / "Dockerfile"


def _requirements() -> Path:
    return data_dir("requirements") / "controllers.txt"
