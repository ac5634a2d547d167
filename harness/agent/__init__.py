"""What runs inside a Python subject: `side/` is put in front of its PYTHONPATH. Standard library only."""

from __future__ import annotations

from pathlib import Path


def side_dir() -> Path:
    """The directory to put in front of a subject's PYTHONPATH."""
    return Path(__file__).resolve().parent / "side"


SOURCE_NAME = "<harness attached>"
"""What stack traces call the code of attached.py."""


def attached_source() -> str:
    """Source of what memray's attaching runs inside a process (attached.py), as text: it is never imported here."""
    return (Path(__file__).resolve().parent / "attached.py").read_text(encoding="utf-8")
