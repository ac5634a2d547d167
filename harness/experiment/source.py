"""Which commit a run tests, so that a history of runs can be read by commit."""

from __future__ import annotations

import re
import subprocess
from datetime import datetime
from pathlib import Path

import harness
from harness.core.errors import UsageError
from harness.record.models import Source

_TIMEOUT_S = 10.0  # git on a slow disk; a run does not wait longer for a fact it can do without
_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")


def describe(
    *, controller: str | None, commit: str | None, elsewhere: bool = False, directory: Path | None = None
) -> Source | None:
    """The commit `commit` (`--commit`), else that of the git work tree the subject comes from; None where there is none.

    A reference controller comes from the tree of the harness, any other subject from the one around `directory`, by
    default the working directory. `elsewhere`: it is a process or an image that somebody else made, of which only
    `commit` can tell.
    """
    tree = Path(harness.__file__).parent if controller is not None else directory or Path.cwd()
    if commit is not None:
        full = _git(tree, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
        return Source(commit=full or commit, committed_at=_committed_at(tree, full))
    if elsewhere and controller is None:
        return None
    head = _git(tree, "rev-parse", "--verify", "--quiet", "HEAD")
    if not head:
        return None
    changes = _git(tree, "status", "--porcelain", "--untracked-files=no")
    return Source(commit=head, committed_at=_committed_at(tree, head), dirty=None if changes is None else bool(changes))


def check(commit: str | None) -> None:
    """Raises UsageError for a `--commit` that is no commit's name."""
    if commit is not None and _COMMIT.fullmatch(commit) is None:
        raise UsageError(
            f"--commit {commit!r} is not a commit", remedy="write 7 to 64 hexadecimal digits: git rev-parse HEAD"
        )


def _committed_at(tree: Path, commit: str | None) -> datetime | None:
    text = _git(tree, "show", "--no-patch", "--format=%cI", commit) if commit else None
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def _git(tree: Path, *arguments: str) -> str | None:
    """What git says of a tree; None where there is no git, no tree, or no answer.

    CI often checks out as one user and tests as root, which git refuses to look at; the tree is one that the user put us
    in, and nothing in it is run: a file-system monitor is the one program that `status` would start.
    """
    command = ["git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C", str(tree), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
