"""Errors for people, and the exit codes they end in.

An error that a user can cause or mend is a `HarnessError`: one line with place, cause and remedy. The command
line prints it without a traceback and exits with its code. Anything else that escapes is a bug of ours (70).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the `harness` command; kept stable. docs/exit-codes.md is made of them."""

    PASSED = 0
    FAILED = 1
    USAGE = 2
    INVALID = 3
    ENVIRONMENT = 4
    BUG = 70
    INTERRUPTED = 130


_SEVERITY = (
    ExitCode.PASSED, ExitCode.INVALID, ExitCode.FAILED, ExitCode.USAGE, ExitCode.ENVIRONMENT, ExitCode.BUG, ExitCode.INTERRUPTED,
)  # fmt: skip
"""From best to worst: a failure found is worse than a run that could not judge."""


def worst(codes: Iterable[int]) -> int:
    """The worst of the exit codes of parts; of no parts, 0."""
    return int(max(map(ExitCode, codes), key=_SEVERITY.index, default=ExitCode.PASSED))


MEANINGS: dict[ExitCode, tuple[str, str]] = {
    ExitCode.PASSED: ("what was asked for is done; of a verdict: `passed`, `pass`, `improve`", ""),
    ExitCode.FAILED: ("an expectation failed, a gate found a regression, it does not fit, or it leaks",
                      "the reasons are in the last lines, in `harness show RUN` and in the report"),
    ExitCode.USAGE: ("the command line, or a file of yours, is wrong; nothing was started",
                     "the one line on stderr has place, cause and remedy"),
    ExitCode.INVALID: ("no answer either way: load or coverage fell short, the machine was too busy, or the run broke down",
                       "`harness show RUN` names the reason; [can a run be trusted?](trust.md)"),
    ExitCode.ENVIRONMENT: ("this machine or cluster cannot do what was asked", "`harness doctor` says what is missing"),
    ExitCode.BUG: ("a bug of ours", "the message names the file with the traceback: send it with the command line"),
    ExitCode.INTERRUPTED: ("interrupted: Ctrl-C, SIGTERM or SIGHUP. Nothing stays alive, what was recorded is kept",
                           "`harness show RUN` shows it; gates, series and claims can be resumed"),
}  # fmt: skip
"""What each means, and what to do then."""


MALFORMED = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""What text of others brings about beside its parser's own errors: values that are not what they should be, nesting too deep."""

LONGEST = 2000
"""Characters of an error: a path may have most of them, what a file holds is not repeated whole."""


class HarnessError(Exception):
    """An error the user can act on.

    `cause` says what is wrong, `place` where (file:line:column, object name, port), `remedy` what to do about it.
    `str(error)` is always a single line of at most `LONGEST` characters, with nothing in it that steers a terminal.
    """

    exit_code = ExitCode.BUG

    def __init__(self, cause: str, *, place: str | None = None, remedy: str | None = None) -> None:
        self.cause = cause
        self.place = place
        self.remedy = remedy
        text = f"{place}: {cause}" if place else cause
        if remedy:
            text = f"{text.rstrip('.')}; {remedy}"
        super().__init__(one_line(text))


def one_line(text: str) -> str:
    """Text from anywhere as a line for people: what cannot be printed is shown as its escape, a long middle is left out."""
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[3 - LONGEST // 2 :]}"


_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def of_the_disk(error: Exception) -> str | None:
    """What a disk says that is full, over its quota or only to be read, with the file; None of any other error: a bug of ours."""
    if not isinstance(error, OSError) or error.errno not in _OF_THE_DISK:
        return None
    return one_line(f"{error.filename}: {error.strerror}" if error.filename is not None else str(error.strerror))


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
