"""What runs inside a Python subject: `side/` is put in front of its PYTHONPATH. Standard library only."""

from __future__ import annotations

from pathlib import Path


def side_dir() -> Path:
    """The directory to put in front of a subject's PYTHONPATH."""
    return Path(__file__).resolve().parent / "side"
