"""What an answer means: done, worth another try, or failed.

The rules are client-go's where it has any: 429 and server errors pass, the client's own mistakes do not. These are ours:
a create whose connection was lost may have been carried out, so `AlreadyExists` on the next try is a success, and so is
`NotFound` after such a delete. A create that finds its name still being deleted waits for it to be free.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

MAX_ATTEMPTS = 8
"""With the pauses below an API server that is away for some seconds is survived."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
LONGEST_RETRY_AFTER_S = 10.0
"""A server may ask for more patience than this; a load phase has a schedule to keep."""

LONGEST_ERROR = 200
"""Characters of an error text that are kept: rows and lines stay small."""


NO_RIGHTS = ' is forbidden: User "'
"""In the API server's message where roles do not allow a request; a quota that is exceeded is told otherwise."""

BEING_DELETED = "object is being deleted"
"""How the API server's message begins when a name is taken by an object that finalizers still hold."""


FULL = "database space exceeded"
"""etcd has reached its quota and takes no write until somebody has made room: no other try succeeds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `status` 0: no answer; `fault` then says why, and `final` that another try is pointless."""

    status: int
    body: bytes = b""
    retry_after: str | None = None
    fault: str | None = None
    final: bool = False
    let_in: bool = False
    """The server has carried out a request of ours before."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`error` is None exactly if the request is done; `reason` is its short, bounded form for counting."""

    error: str | None
    reason: str | None = None
    retry: bool = False
    doubtful: bool = False
    """The server may have carried it out although it did not say so."""


DONE = Verdict(None)


def judge(verb: str, answer: Answer, *, doubtful: bool) -> Verdict:
    """The meaning of `answer`. `doubtful`: an earlier attempt of the same request may have been carried out."""
    if 200 <= answer.status < 300:
        return DONE
    if answer.status == 0:
        text = answer.fault or "no answer"
        return Verdict(text[:LONGEST_ERROR], text.partition(":")[0], retry=not answer.final, doubtful=not answer.final)
    reason, message = _status_of(answer)
    if verb == "create" and doubtful and answer.status == 409 and reason == "AlreadyExists":
        return DONE
    if verb == "delete" and doubtful and answer.status == 404:
        return DONE
    leaving = verb == "create" and reason == "AlreadyExists" and str(message).startswith(BEING_DELETED)
    # A conflict on a patch without a resourceVersion is the server's own race, gone at the next try.
    passing = answer.status >= 500 and FULL not in str(message)
    retry = answer.status == 429 or passing or (verb == "patch" and answer.status == 409) or leaving
    # A server that has just been started again refuses what it allowed before, until it has read its roles.
    retry = retry or (answer.status == 403 and answer.let_in and NO_RIGHTS in str(message))
    return Verdict(
        f"{answer.status} {reason}: {message}"[:LONGEST_ERROR],
        f"{answer.status} {reason}",
        retry=retry,
        doubtful=answer.status >= 500,
    )


def pause_s(attempt: int, answer: Answer, jitter: float) -> float:
    """Seconds to wait after failed attempt `attempt` (from 1); `jitter` in [0, 1) spreads workers that failed together."""
    if answer.retry_after is not None and answer.retry_after.isdecimal():
        return min(float(answer.retry_after), LONGEST_RETRY_AFTER_S)
    return min(FIRST_PAUSE_S * 2.0 ** (attempt - 1), LONGEST_PAUSE_S) * (0.5 + jitter / 2)


def _status_of(answer: Answer) -> tuple[str, str]:
    """Reason and message of the API's Status object; of anything else (a proxy's page) its beginning."""
    try:
        status = json.loads(answer.body)
        reason, message = status.get("reason"), status.get("message")
    except (ValueError, AttributeError):
        reason, message = None, answer.body[:LONGEST_ERROR].decode("utf-8", "replace")
    return str(reason or "Unknown"), " ".join(str(message or "no message").split())
