"""A git revision as a subject: checked out beside the user's files, built once, and taken away again."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from harness.core.errors import UsageError
from harness.experiment.specs import Arm
from harness.experiment.subjects import build as command_of
from harness.gate.environment import CHECKOUT_PREFIX
from harness.scenario.load import ScenarioFile
from harness.scenario.model import Scenario
from harness.subject.redact import redact_text
from harness.toolchain.run import run

GIT_SECONDS = 120.0
BUILD_SECONDS = 1800.0
PLACEHOLDER = "{worktree}"
"""In the commands of a git arm: where its revision is checked out."""


def repository(near: Path) -> Path:
    """The working tree that `near`, a folder, is in. Raises UsageError where it is in none."""
    return Path(_git(near, "rev-parse", "--show-toplevel"))


def prepare(
    arm: Arm, file: ScenarioFile, scenario: Scenario, build: str | None, stack: ExitStack, say: Callable[[str], None]
) -> Arm:
    """Check the revision of a git arm out and build it; other arms are returned as they are.

    The working tree is that of the folder one is in. What is left on the disk goes away with `stack`. Raises UsageError
    for what is no revision or cannot be built, in git's or the builder's own last words.
    """
    if arm.revision is None:
        return arm
    tree = repository(Path.cwd())
    commit = _git(tree, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{arm.revision}^{{commit}}")
    directory = Path(tempfile.mkdtemp(prefix=CHECKOUT_PREFIX))
    stack.callback(_remove, tree, directory)
    say(f"checking out {arm.revision} ({commit[:10]})")
    checkout = directory / "tree"
    _git(tree, "worktree", "add", "--quiet", "--detach", str(checkout), commit)
    if build is not None:
        say(f"building {arm.revision}: {redact_text(build)}")
        words = _split(build, checkout)
        remedy = "try the command in a checkout of that revision"
        building = run(
            words,
            name=f"the build of {arm.revision}",
            env=os.environ,
            cwd=checkout,
            timeout_s=BUILD_SECONDS,
            remedy=remedy,
        )
        lines = asyncio.run(building)
        (directory / "build.log").write_text("\n".join(lines))
    return _built(arm, file, scenario, checkout, commit)


def _built(arm: Arm, file: ScenarioFile, scenario: Scenario, checkout: Path, commit: str) -> Arm:
    """The arm with its command inside the checkout: relative programs are those of the revision."""
    facts = arm.facts.model_copy(update={"revision": commit, "words": f"{arm.facts.words} ({commit[:10]})"})
    # A Python subject's modules are those of the revision; of another language nobody reads it.
    env = {"PYTHONPATH": os.pathsep.join([str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])])}
    if arm.subject is None and scenario.subject.controller is not None:
        return replace(arm, facts=facts, env=env, revision=None)
    words = command_of(scenario.subject, arm.subject).command
    inside = [word.replace(PLACEHOLDER, str(checkout)) for word in words]
    if inside and not Path(inside[0]).is_absolute() and (checkout / inside[0]).is_file():
        inside[0] = str(checkout / inside[0])
    elif inside and "/" in inside[0] and not Path(inside[0]).is_file():
        raise UsageError(
            f"{inside[0]} is not there after the build of {commit[:10]}",
            place=file.name,
            remedy="name the command that builds it with --build",
        )
    facts = facts.model_copy(update={"command": redact_text(shlex.join(words))})
    return replace(arm, facts=facts, subject=shlex.join(inside), env=env, revision=None)


def _split(build: str, checkout: Path) -> list[str]:
    try:
        words = shlex.split(build.replace(PLACEHOLDER, str(checkout)))
    except ValueError as error:
        raise UsageError(f"--build is not a command line: {error}", remedy="look at its quotes") from error
    if not words or (shutil.which(words[0]) is None and not (checkout / words[0]).is_file()):
        raise UsageError(f"--build: the program {(words or [''])[0]!r} is not on PATH and not in the checkout")
    return words


def _remove(tree: Path, directory: Path) -> None:
    subprocess.run(
        ["git", "-C", str(tree), "worktree", "remove", "--force", str(directory / "tree")],
        check=False, capture_output=True, timeout=GIT_SECONDS,
    )  # fmt: skip
    shutil.rmtree(directory, ignore_errors=True)
    subprocess.run(["git", "-C", str(tree), "worktree", "prune"], check=False, capture_output=True, timeout=GIT_SECONDS)


def _git(where: Path, *arguments: str) -> str:
    if shutil.which("git") is None:
        raise UsageError("git is not on PATH", remedy="install it, or name a command instead of a revision")
    done = subprocess.run(
        ["git", "-C", str(where), *arguments], check=False, capture_output=True, text=True, timeout=GIT_SECONDS
    )
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or "no such revision"
        raise UsageError(f"git {arguments[0]}: {said}", place=str(where), remedy=f"look at {arguments[-1]!r}")
    return done.stdout.strip()
