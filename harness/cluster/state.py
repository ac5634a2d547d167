"""What is known of clusters that outlive a command: one private file each, and whether its holder still lives."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.paths import state_dir
from harness.core.process_id import ProcessId
from harness.kube.kubeconfig import write_private

DEFAULT_NAME = "default"
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ClusterState:
    """One detached cluster. `created_at` is ISO 8601 with its zone; `logs` is a directory."""

    name: str
    provider: str
    server: str
    version: str
    kubeconfig: str
    created_at: str
    logs: str
    holder: ProcessId | None
    """The process that keeps it; None where containers do."""


def check_name(name: str) -> str:
    """`name`, if it can name a cluster; UsageError otherwise."""
    if NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r} cannot name a cluster", remedy="use lower-case letters, digits and dashes, at most 40"
        )
    return name


def directory() -> Path:
    """Where state is kept; made on the way, for the owner's eyes only."""
    path = state_dir() / "clusters"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def logs_of(name: str) -> Path:
    """Directory for the logs of a detached cluster and of its holder."""
    return directory() / name


def save(state: ClusterState) -> None:
    """Write the state file, mode 0600."""
    write_private(directory() / f"{state.name}.json", json.dumps(asdict(state), indent=2).encode() + b"\n")


def load(name: str) -> ClusterState | None:
    """The state of a cluster; None if there is none of that name, or its file cannot be understood any more."""
    try:
        content = json.loads((directory() / f"{check_name(name)}.json").read_text(encoding="utf-8"))
        holder = content["holder"]
        return ClusterState(**{**content, "holder": None if holder is None else ProcessId(**holder)})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def load_all() -> list[ClusterState]:
    """All detached clusters by name, also those whose holder is gone."""
    names = sorted(file.stem for file in directory().glob("*.json") if NAME.fullmatch(file.stem))
    return [state for state in map(load, names) if state is not None]


def remove(name: str) -> None:
    """Forget a cluster."""
    (directory() / f"{check_name(name)}.json").unlink(missing_ok=True)


def lock_file(name: str) -> int:
    """An open descriptor of the file that the holder of this name keeps locked."""
    return os.open(directory() / f".{check_name(name)}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
