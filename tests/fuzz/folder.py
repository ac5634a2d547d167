"""A folder of this process for targets that read files; removed at its end."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

_KEPT: list[tempfile.TemporaryDirectory[str]] = []


@functools.cache
def folder() -> Path:
    """The folder, made when it is first asked for."""
    _KEPT.append(tempfile.TemporaryDirectory(prefix="harness-fuzz-"))
    return Path(_KEPT[-1].name)
