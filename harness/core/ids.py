"""Run ids, and the marks that tie processes and Kubernetes objects to a run."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

RUN_LABEL = "harness.dev/run"
"""Label on every Kubernetes object that the load creates; its value is the run id."""

RUN_ENV = "HARNESS_RUN_ID"
"""Environment variable in every child process of a run."""

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, no look-alikes: never a word, safe in a DNS label
_RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[a-z0-9]{5}")


def new_run_id(now: datetime | None = None) -> str:
    """A sortable id that is a valid DNS label and label value, such as `20261122-093015-k4x7q`."""
    moment = now or datetime.now(UTC)
    tail = "".join(secrets.choice(_ALPHABET) for _ in range(5))
    return f"{moment:%Y%m%d-%H%M%S}-{tail}"


def is_run_id(text: str) -> bool:
    """Whether `text` has the form of a run id."""
    return _RUN_ID.fullmatch(text) is not None


def namespace_of(run_id: str) -> str:
    """The namespace that holds the namespaced objects of a run's load."""
    return f"run-{run_id}"


def subject_user(run_id: str) -> str:
    """The API identity of a run's subject; the audit log is filtered by it."""
    return f"harness:subject:{run_id}"
