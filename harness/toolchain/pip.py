"""Installing pinned packages into a directory of their own, with the pip of the harness's interpreter."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path

from harness.core.errors import EnvironmentFault
from harness.core.handles import Progress
from harness.toolchain.run import run

_LIMIT_S = 900.0


def pinned_version(requirements: Path, package: str) -> str:
    """The version of `package` in a compiled requirements file. Raises EnvironmentFault where it is not pinned."""
    try:
        text = requirements.read_text(encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(f"cannot be read: {error.strerror}", place=str(requirements)) from error
    match = re.search(rf"^{re.escape(package)}==([^\s;\\]+)", text, re.MULTILINE)
    if match is None:
        raise EnvironmentFault(f"{package} is not pinned", place=str(requirements), remedy="reinstall the harness")
    return match[1]


async def install(
    requirements: Path, directory: Path, progress: Progress, python_version: tuple[int, int] | None = None
) -> None:
    """`pip install --target directory` of exactly what `requirements` pins, hashes checked, wheels only.

    `python_version` asks for wheels of another minor version than our own. The user's pip settings (index, proxy,
    certificates) apply. Raises EnvironmentFault with pip's last lines.
    """
    if importlib.util.find_spec("pip") is None:
        raise EnvironmentFault(
            "this Python has no pip", place=sys.executable, remedy=f"run `{sys.executable} -m ensurepip`"
        )
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--progress-bar=off",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
        f"--target={directory}",
        f"--requirement={requirements}",
    ]
    if python_version is not None:
        command += ["--implementation=cp", f"--python-version={python_version[0]}.{python_version[1]}"]
    # `--user` and `--require-virtualenv` of a user's settings contradict `--target`.
    env = {**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    await run(
        command,
        name="pip install",
        env=env,
        cwd=directory,
        timeout_s=_LIMIT_S,
        remedy="check the network and pip's settings (`pip config list`)",
        on_line=progress.detail,
    )
