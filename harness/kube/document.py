"""A YAML file of the user's that holds credentials, or may: read safely, and never shown.

PyYAML's own words about a mistake repeat the line it is in, which in a kubeconfig is a token as likely as not. Here a mistake has
its place and its kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from harness.core.errors import MALFORMED, UsageError
from loadgen.depth import too_deep

MOST_BYTES = 4 << 20
"""Tens of times what a kubeconfig with many contexts has."""


def read_mapping(path: Path, what: str) -> dict[str, Any]:
    """The one mapping that a file holds; `what` it is to be. Raises UsageError, which repeats nothing of the file."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "its path is not one"
        raise UsageError(f"this {what} cannot be read: {reason}", place=str(path)) from error
    if len(content) > MOST_BYTES:
        raise UsageError(f"this is no {what}: it is larger than {MOST_BYTES >> 20} MiB", place=str(path))
    try:
        text = content.decode()
        document = None if too_deep(text) else yaml.load(text, Loader=yaml.CSafeLoader)  # a safe loader
    except UnicodeDecodeError:
        raise UsageError(f"this {what} cannot be read: it is not UTF-8 text", place=str(path)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise UsageError(f"this {what} cannot be read: it is not YAML", place=place) from None
    except (yaml.YAMLError, *MALFORMED):
        raise UsageError(f"this {what} cannot be read: it is not YAML", place=str(path)) from None
    if not isinstance(document, dict):
        raise UsageError(f"this is not a {what}", place=str(path))
    return document
