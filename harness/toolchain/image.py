"""Images of ours, built once for each content from what the host has downloaded: reference controllers, and the harness itself.

No step of the build needs a network: `pip` fills a directory on the host with exactly what the image's requirements pin,
and the Dockerfile copies it. The tag is a hash over all that goes in, so an image that is there is the right one.

`python -m harness.toolchain.image [TAG]` (`make image`) builds the harness's own, in which the reference controllers are, too.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import HarnessError, UsageError
from harness.core.handles import Progress
from harness.core.paths import cache_dir, data_dir
from harness.toolchain.cache import once
from harness.toolchain.docker import docker, image_ids
from harness.toolchain.pip import install

NAMED_ENV = "HARNESS_CONTROLLERS_IMAGE"
"""Environment variable: an image that the cluster's nodes have or can pull; then none is built, and no Docker is needed."""
BASE_ENV = "PYTHON_BASE_IMAGE"
DEFAULT_BASE = "python:3.11-slim"
PYTHON = (3, 11)
"""Minor version of the base image's python3: compiled packages fit one only."""
_BUILD_LIMIT_S = 600.0
_COMPILED = shutil.ignore_patterns("__pycache__")  # by the host's Python; the image has its own, of what it imports
_HARNESS = Path(__file__).resolve().parent.parent
_MOST_TAG = 255


@dataclass(frozen=True, slots=True)
class Image:
    """An image of ours: `manifests/images/NAME/Dockerfile` over the packages of `requirements/PINS`, and code."""

    name: str
    pins: str
    title: str
    """What a person reads: `the controllers' image`."""
    code: tuple[Path, ...]
    """Directories of Python packages and data; those in `harness` keep their place in it."""

    @property
    def repository(self) -> str:
        """The name without a tag."""
        return f"controller-harness/{self.name}"

    @property
    def dockerfile(self) -> Path:
        """How it is built."""
        return data_dir("manifests") / "images" / self.name / "Dockerfile"

    @property
    def requirements(self) -> Path:
        """Exactly these packages."""
        return data_dir("requirements") / self.pins

    def files(self) -> list[Path]:
        """All files of its code, in the order of their names."""
        found = (path for root in self.code for path in root.rglob("*") if "__pycache__" not in path.parts)
        return sorted(path for path in found if path.is_file())

    def copy_code(self, target: Path) -> None:
        """Its code as a directory for PYTHONPATH; what a package's parent needs to be one comes along."""
        for root in self.code:
            if any(root != other and root.is_relative_to(other) for other in self.code):
                continue  # in a wheel the data is in the package
            place = target / (root.relative_to(_HARNESS.parent) if root.is_relative_to(_HARNESS) else root.name)
            if root.parent == _HARNESS:
                place.parent.mkdir(exist_ok=True)
                shutil.copy(_HARNESS / "__init__.py", place.parent)
            shutil.copytree(root, place, ignore=_COMPILED)


CONTROLLERS = Image("controllers", "controllers.txt", "the controllers' image", (_HARNESS / "controllers",))
"""The reference controllers, which import nothing else of the harness."""
OWN = Image(
    "harness",
    "main.txt",
    "the harness's image",
    (_HARNESS, _HARNESS.parent / "loadgen", *(data_dir(name) for name in ("manifests", "requirements", "dashboards"))),
)
"""The harness with all that it runs, to be a pod itself."""


async def ensure(progress: Progress, base: str | None = None, image: Image = CONTROLLERS) -> str:
    """Reference of an image of ours in the local Docker, built if it is not there.

    `base` is the image with Python 3.11 to build on, by default that of `PYTHON_BASE_IMAGE`, else the public one. Raises
    EnvironmentFault where Docker or the packages cannot be had.
    """
    if image is CONTROLLERS and (there := named()) is not None:
        return there
    base = base or os.environ.get(BASE_ENV) or DEFAULT_BASE
    tag = f"{image.repository}:{await _fingerprint(base, image)}"
    if await image_ids([tag]) is not None:
        return tag
    installed = await packages(progress, image)
    progress.step(f"building {image.title}")
    with tempfile.TemporaryDirectory(prefix="harness-image-") as scratch:
        context = Path(scratch)
        shutil.copytree(installed, context / "packages", ignore=_COMPILED)
        (context / "code").mkdir()
        image.copy_code(context / "code")
        shutil.copy(image.dockerfile, context / "Dockerfile")
        # The classic builder: BuildKit is an add-on that many Docker installations lack.
        await docker(
            "build", "--network", "none", "--build-arg", f"{BASE_ENV}={base}", "--tag", tag, str(context),
            timeout_s=_BUILD_LIMIT_S, env={"DOCKER_BUILDKIT": "0"}, on_line=progress.detail,
        )  # fmt: skip
    return tag


def named() -> str | None:
    """The reference in `HARNESS_CONTROLLERS_IMAGE`, if there is one."""
    return os.environ.get(NAMED_ENV) or None


async def _fingerprint(base: str, image: Image = CONTROLLERS) -> str:
    """Hash over what the image is made of; of a base that is not there yet, its name."""
    inputs = hashlib.sha256(platform.machine().encode())
    for path in (image.dockerfile, image.requirements, *image.files()):
        inputs.update(path.name.encode() + path.read_bytes())
    identities = await image_ids([base])
    inputs.update((identities[0] if identities else base).encode())
    return inputs.hexdigest()[:16]


async def packages(progress: Progress, image: Image = CONTROLLERS) -> Path:
    """An image's packages as a directory, installed on first use: all of it that needs a network."""
    digest = hashlib.sha256(image.requirements.read_bytes() + platform.machine().encode()).hexdigest()[:16]

    async def make(directory: Path) -> None:
        progress.step(f"installing the packages of {image.title}")
        await install(image.requirements, directory, progress, PYTHON)

    return await once(cache_dir() / image.name / f"cp{PYTHON[0]}{PYTHON[1]}-{digest}", progress, make)


class _Lines:
    """Steps as lines on stderr."""

    def step(self, text: str) -> None:
        """One line."""
        sys.stderr.write(f"{text}\n")

    def detail(self, text: str) -> None:
        """What pip and Docker say is not shown: their last words are in an error."""


async def _make(tag: str | None) -> str:
    reference = await ensure(_Lines(), image=OWN)
    if tag is not None:
        await docker("tag", reference, tag)
    return tag or reference


def main(arguments: list[str]) -> int:
    """Build the harness's image and print its reference; one argument is a tag for it."""
    try:
        if len(arguments) > 1 or any(not word or word.startswith("-") or len(word) > _MOST_TAG for word in arguments):
            raise UsageError("one argument is taken, a tag", remedy="python -m harness.toolchain.image NAME:TAG")
        sys.stdout.write(f"{asyncio.run(_make(arguments[0] if arguments else None))}\n")
    except HarnessError as error:
        sys.stderr.write(f"harness: {error}\n")
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
