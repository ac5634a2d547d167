"""Files that a command writes for its user."""

from __future__ import annotations

from pathlib import Path

from harness.core.errors import EnvironmentFault


def write_text(path: Path, text: str) -> None:
    """Write a file that the user named. Raises EnvironmentFault with the reason where it cannot be written."""
    try:
        path.write_text(text)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot be written: {error.strerror or error}", place=str(path), remedy="write it to another place"
        ) from None
