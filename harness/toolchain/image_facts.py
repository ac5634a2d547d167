"""What an image of the local Docker would start, and in which runtime: what can be injected depends on it. Best effort."""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import EnvironmentFault
from harness.core.handles import PythonRuntime, SubjectRuntime
from harness.core.programs import is_go
from harness.toolchain.docker import docker, image_ids

_LIMIT_S = 60.0
_PYTHON = re.compile(r"python(\d+(\.\d+)*)?")
_ASK = "import json, sys; print(json.dumps([sys.implementation.name, *sys.version_info[:2]]))"
_SEARCH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image says of itself."""

    reference: str
    entrypoint: Sequence[str]
    command: Sequence[str]
    env: Mapping[str, str]


async def read(reference: str) -> ImageFacts | None:
    """What the local Docker knows of an image; None where it has no such image, or there is no Docker."""
    try:
        if await image_ids([reference]) is None:
            return None
        lines = await docker("image", "inspect", "--format", "{{json .Config}}", reference)
    except EnvironmentFault:
        return None
    config = json.loads(lines[-1])
    env = dict(entry.partition("=")[::2] for entry in config.get("Env") or [])
    return ImageFacts(reference, config.get("Entrypoint") or [], config.get("Cmd") or [], env)


async def runtime(image: ImageFacts, command: Sequence[str]) -> tuple[SubjectRuntime, PythonRuntime | None]:
    """The runtime of a command in an image; ("other", None) where it cannot be told."""
    if not command:
        return "other", None
    program = command[0]
    if _PYTHON.fullmatch(Path(program).name):
        version = await _python(image, program)
        return ("python", PythonRuntime(Path(program), version)) if version else ("other", None)
    return ("go" if await _is_go(image, program) else "other"), None


async def _python(image: ImageFacts, program: str) -> tuple[int, int] | None:
    """Minor version of the image's CPython, by asking it in a container without a network."""
    try:
        lines = await docker(
            "run", "--rm", "--network", "none", "--entrypoint", program, image.reference, "-I", "-c", _ASK,
            timeout_s=_LIMIT_S,
        )  # fmt: skip
        name, major, minor = json.loads(lines[-1])
    except (EnvironmentFault, ValueError, IndexError):
        return None
    return (major, minor) if name == "cpython" else None


async def _is_go(image: ImageFacts, program: str) -> bool:
    """Whether the program is Go's, by looking into its file: such images often have no shell to ask."""
    folders = image.env.get("PATH", "").split(":") if image.env.get("PATH") else list(_SEARCH)
    places = [program] if "/" in program else [os.path.join(folder, program) for folder in folders]  # noqa: PTH118
    try:
        container = (await docker("create", image.reference, "true"))[-1]
    except EnvironmentFault:
        return False
    try:
        with tempfile.TemporaryDirectory(prefix="harness-image-") as scratch:
            target = Path(scratch) / "program"
            for place in places:
                try:
                    await docker("cp", "--follow-link", f"{container}:{place}", str(target), timeout_s=_LIMIT_S)
                except EnvironmentFault:
                    continue
                return await asyncio.to_thread(is_go, target)
    finally:
        await docker("rm", "--force", container)
    return False
