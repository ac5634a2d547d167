"""Where things live: packaged data, the cache outside the repository, state of long-lived clusters, run output."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def data_dir(name: str) -> Path:
    """Directory `name` (`manifests`, `requirements`, `dashboards`): beside the package in a checkout, inside it in a wheel."""
    packaged = _PACKAGE / "_data" / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def scenarios_dir() -> Path:
    """The shipped scenario files."""
    return _PACKAGE / "scenarios"


def cache_dir() -> Path:
    """What is built once: `HARNESS_CACHE`, else `$XDG_CACHE_HOME/controller-harness`, else under `~/.cache`."""
    if override := os.environ.get("HARNESS_CACHE"):
        return Path(override)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "controller-harness"


def state_dir() -> Path:
    """What outlives a command (clusters kept up): `HARNESS_STATE`, else under `$XDG_STATE_HOME` or `~/.local/state`."""
    if override := os.environ.get("HARNESS_STATE"):
        return Path(override)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "controller-harness"


def runs_dir() -> Path:
    """Where run records go unless `--out` says otherwise: `HARNESS_RUNS`, else `runs/` in the working directory."""
    return Path(os.environ.get("HARNESS_RUNS", "runs"))


def experiments_dir(out: Path) -> Path:
    """Where experiments over the runs in `out` are listed: beside the default `runs/`, inside a folder the user named."""
    return out.parent / "experiments" if out == runs_dir() else out / "experiments"


def history_dir(out: Path) -> Path:
    """Where what came of the runs in `out` is kept: `HARNESS_HISTORY`, else beside `runs/`, inside a folder the user named."""
    if override := os.environ.get("HARNESS_HISTORY"):
        return Path(override)
    return out.parent / "history" if out == runs_dir() else out / "history"
