"""A run that is held up until a test has seen what it came for."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any


def until_there(path: Path) -> dict[str, Any]:
    """A step of a load that lasts until the test makes a file."""
    command = ["sh", "-c", f"until [ -e {shlex.quote(str(path))} ]; do sleep 0.1; done"]
    return {"hook": {"command": command, "timeout": "4m"}}
