"""The commit of a run: of the work tree, of `--commit`, or none; never an error, never a wait without end."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.experiment import source


def _git(tree: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    return subprocess.run(
        ["git", *who, "-C", str(tree), *arguments], check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    _git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("1")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "--quiet", "-m", "one")
    return tmp_path


def test_the_commit_of_a_work_tree_and_whether_it_was_changed(tree: Path) -> None:
    head = _git(tree, "rev-parse", "HEAD")
    found = source.describe(controller=None, commit=None, directory=tree)
    assert found is not None
    assert (found.commit, found.dirty) == (head, False)
    assert found.committed_at is not None
    (tree / "untracked").touch()
    (tree / "file").write_text("2")
    changed = source.describe(controller=None, commit=None, directory=tree)
    assert changed is not None
    assert changed.dirty is True


def test_a_commit_that_is_named_counts_known_or_not(tree: Path) -> None:
    head = _git(tree, "rev-parse", "HEAD")
    known = source.describe(controller=None, commit=head[:8], directory=tree)
    assert known is not None
    assert (known.commit, known.dirty) == (head, None)
    foreign = source.describe(controller=None, commit="a" * 40, directory=tree)
    assert foreign is not None
    assert (foreign.commit, foreign.committed_at) == ("a" * 40, None)


def test_no_tree_and_no_git_are_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert source.describe(controller=None, commit=None, directory=tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert source.describe(controller="fleet", commit=None) is None


@pytest.mark.parametrize("text", ["main", "--exec=x", "abc", "g" * 40])
def test_what_is_no_commit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a commit"):
        source.check(text)
    source.check(None)
    source.check("abcdef1")
