"""Docker as a person would call it: the `docker` program, its last words in the error."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.core.errors import EnvironmentFault
from harness.toolchain.run import run

ASK_LIMIT_S = 30.0
_REMEDY = "see that `docker info` works here, or use --cluster embedded"


async def docker(
    *arguments: str,
    timeout_s: float = ASK_LIMIT_S,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> list[str]:
    """Lines that `docker ARGUMENTS…` wrote. Raises EnvironmentFault where Docker is missing, fails, or hangs."""
    program = shutil.which("docker")
    if program is None:
        raise EnvironmentFault(
            "docker is not on PATH, and images and kind clusters are made with it",
            remedy="install Docker (Debian: docker.io), or use --cluster embedded",
        )
    return await run(
        [program, *arguments],
        name=f"docker {arguments[0]}",
        env={**os.environ, **(env or {})},
        cwd=cwd or Path(tempfile.gettempdir()),
        timeout_s=timeout_s,
        remedy=_REMEDY,
        on_line=on_line,
    )


async def image_ids(references: Sequence[str]) -> list[str] | None:
    """Ids of local images, None where one of them is not there."""
    try:
        return await docker("image", "inspect", "--format", "{{.Id}}", *references)
    except EnvironmentFault as error:
        if "No such image" in error.cause or "no such image" in error.cause:
            return None
        raise
