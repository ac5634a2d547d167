"""What a night holds the present commit against: the newest of its ancestors that an earlier night found good.

A candidate that is worse never becomes a baseline, so the next nights go on finding it until it is mended; one that passes is
the next baseline. Thresholds bound a single step: for slow growth over many good nights name a fixed `--baseline`, and
look at the changes of level in the history.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import UsageError
from harness.record.history import RETRIED, Entry

LAST_GOOD = "last-good"
_GOOD = ("pass", "improve")
_ADVISORY = "(advisory)"
_GIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Choice:
    """A baseline, or, where `commit` is None, why the gate need not be measured."""

    commit: str | None
    why: str


def choose(
    wanted: str, fallback: str, head: str, gates: Sequence[Entry], scenario: str, profile: str | None, tree: Path,
    *, again: bool,
) -> Choice:  # fmt: skip
    """The baseline of one scenario. `gates` are those of the history. Raises UsageError for what is no revision."""
    if wanted != LAST_GOOD:
        return Choice(resolved(tree, wanted), f"named: {wanted}")
    good = [entry for entry in gates if is_good(entry, scenario, profile)]
    if not again and any(entry.commit == head for entry in good):
        return Choice(None, "this commit was judged good in an earlier night")
    known = newest_good(good, head, lambda commit: is_ancestor(tree, commit, head))
    if known is not None and known.commit is not None:
        return Choice(known.commit, f"last good: {known.verdict} on {known.started_at:%Y-%m-%d}, {known.id}")
    return Choice(resolved(tree, fallback), f"nothing good is in the history yet, so {fallback}")


def is_good(entry: Entry, scenario: str, profile: str | None) -> bool:
    """Whether an entry of the history says that its commit is no worse than its baseline."""
    detail = (entry.detail or "").removesuffix(RETRIED)
    return (
        (entry.scenario, entry.profile) == (scenario, profile)
        and entry.verdict in _GOOD
        and entry.exit_code == 0
        and entry.commit is not None
        and not detail.endswith(_ADVISORY)
    )


def newest_good(good: Sequence[Entry], head: str, before: Callable[[str], bool]) -> Entry | None:
    """The entry that was measured last, of a commit other than `head` that is one of its ancestors."""
    judged: dict[str, bool] = {}
    for entry in sorted(good, key=lambda entry: entry.started_at, reverse=True):
        commit = entry.commit
        if commit is None or commit == head:
            continue
        if commit not in judged:
            judged[commit] = before(commit)
        if judged[commit]:
            return entry
    return None


def resolved(tree: Path, revision: str) -> str:
    """The full id of a commit. Raises UsageError where it is none here, also in a clone that is too shallow."""
    done = _git(tree, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if done.returncode != 0:
        raise UsageError(
            f"{revision!r} is no commit of {tree}",
            remedy="fetch it (in CI: fetch-depth: 0), or name another --baseline",
        )
    return done.stdout.strip()


def is_ancestor(tree: Path, commit: str, head: str) -> bool:
    """Whether a commit is there and came before `head`."""
    return _git(tree, "merge-base", "--is-ancestor", commit, head).returncode == 0


def changed(tree: Path) -> bool:
    """Whether tracked files differ from what is committed."""
    return bool(_git(tree, "status", "--porcelain", "--untracked-files=no").stdout.strip())


def _git(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C", str(tree), *arguments]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_GIT_S, stdin=subprocess.DEVNULL, check=False
        )
    except FileNotFoundError:
        raise UsageError("git is not on PATH", remedy="install it: a night compares two commits") from None
