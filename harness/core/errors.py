"""Errors for people, and the exit codes they end in.

An error that a user can cause or mend is a `HarnessError`: one line with place, cause and remedy. The command
line prints it without a traceback and exits with its code. Anything else that escapes is a bug of ours (70).
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the `harness` command; documented in docs/architecture.md and kept stable."""

    PASSED = 0
    FAILED = 1
    USAGE = 2
    INVALID = 3
    ENVIRONMENT = 4
    BUG = 70
    INTERRUPTED = 130


class HarnessError(Exception):
    """An error the user can act on.

    `cause` says what is wrong, `place` where (file:line:column, object name, port), `remedy` what to do about it.
    `str(error)` is always a single line.
    """

    exit_code = ExitCode.BUG

    def __init__(self, cause: str, *, place: str | None = None, remedy: str | None = None) -> None:
        self.cause = cause
        self.place = place
        self.remedy = remedy
        text = f"{place}: {cause}" if place else cause
        if remedy:
            text = f"{text.rstrip('.')}; {remedy}"
        super().__init__(" ".join(text.split()))


class UsageError(HarnessError):
    """The command line or a file the user wrote is wrong."""

    exit_code = ExitCode.USAGE


class ScenarioError(UsageError):
    """A scenario file is wrong; `place` is file:line:column."""


class EnvironmentFault(HarnessError):
    """This machine or cluster cannot do what was asked: no memory controller, a busy port, no compiler."""

    exit_code = ExitCode.ENVIRONMENT


class RunFault(HarnessError):
    """A run broke down after it began (subject never ready, API server gone): the run's verdict is `error`."""

    exit_code = ExitCode.INVALID
