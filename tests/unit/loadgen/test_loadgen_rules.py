"""Rules without I/O: the schedule, achieved rates, and what an answer means."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from loadgen.schedule import Schedule, times_of
from loadgen.verdicts import LONGEST_ERROR, LONGEST_PAUSE_S, LONGEST_RETRY_AFTER_S, Answer, judge, pause_s

SECOND = 1_000_000_000


def status(code: int, reason: str, message: str = "words of the server") -> Answer:
    return Answer(code, json.dumps({"kind": "Status", "reason": reason, "message": message}).encode())


def test_an_open_model_has_exact_times_that_do_not_drift() -> None:
    schedule = Schedule(5, times_of(3.0, 4_000_000, "7"))
    assert [schedule.intended_ns(index) for index in (0, 1, 3)] == [5, 333_333_338, SECOND + 5]
    assert schedule.intended_ns(3_000_000) == 1_000_000 * SECOND + 5
    assert Schedule(5, times_of(None, 4, "7")).intended_ns(1) is None


@pytest.mark.parametrize(
    ("rate", "done", "sent_s", "done_s", "expected"),
    [
        (None, 100, 3.9, 4.0, 25.0),
        (None, 0, 3.9, 4.0, 0.0),
        (
            50.0,
            100,
            1.98,
            1.99,
            50.0,
        ),  # the last request is due a moment before the schedule's end: not faster than asked
        (50.0, 100, 1.98, 2.9, 50.0),  # a slow last answer is latency, not rate
        (50.0, 90, 1.98, 1.99, 45.0),
        (50.0, 100, 2.48, 2.5, 40.0),  # sent late: the workers were all waiting
    ],
)
def test_achieved_rate(rate: float | None, done: int, sent_s: float, done_s: float, expected: float) -> None:
    schedule = Schedule(7, times_of(rate, 100, "7"))
    achieved = schedule.achieved_per_s(done, 7 + int(sent_s * SECOND), 7 + int(done_s * SECOND))
    assert achieved == pytest.approx(expected)


@pytest.mark.parametrize("code", [200, 201, 202])
def test_success(code: int) -> None:
    assert judge("create", Answer(code), doubtful=False).error is None


@pytest.mark.parametrize(
    ("verb", "answer", "retry", "doubtful"),
    [
        ("create", Answer(0, fault="ConnectionResetError: reset"), True, True),
        ("create", Answer(0, fault="TLS: not of the CA", final=True), False, False),
        ("create", status(429, "TooManyRequests"), True, False),
        ("create", status(500, "InternalError"), True, True),
        ("create", status(504, "Timeout"), True, True),
        ("create", status(409, "AlreadyExists"), False, False),
        ("patch", status(409, "Conflict"), True, False),
        ("patch", status(404, "NotFound"), False, False),
        ("create", status(403, "Forbidden"), False, False),
        ("create", status(422, "Invalid"), False, False),
        ("create", status(400, "BadRequest"), False, False),
    ],
)
def test_failures(verb: str, answer: Answer, retry: bool, doubtful: bool) -> None:
    verdict = judge(verb, answer, doubtful=False)
    assert verdict.error is not None
    assert (verdict.retry, verdict.doubtful) == (retry, doubtful)


def test_errors_are_in_the_words_of_the_server_on_one_short_line() -> None:
    assert judge("create", status(403, "Forbidden", "no\nrights"), doubtful=False).error == "403 Forbidden: no rights"
    assert judge("create", Answer(502, b"<html>"), doubtful=False).error == "502 Unknown: <html>"
    assert judge("create", Answer(500, b"[]"), doubtful=False).error == "500 Unknown: []"
    assert len(judge("create", status(500, "X", "y" * 9999), doubtful=False).error or "") == LONGEST_ERROR


@pytest.mark.parametrize(
    ("let_in", "message", "retry"),
    [
        (True, 'secrets is forbidden: User "u" cannot create resource "secrets"', True),
        (False, 'secrets is forbidden: User "u" cannot create resource "secrets"', False),
        (True, 'secrets "s" is forbidden: exceeded quota: q', False),
    ],
    ids=["a restarted server", "no rights", "a quota"],
)
def test_rights_that_were_there_before_are_waited_for(let_in: bool, message: str, retry: bool) -> None:
    answer = replace(status(403, "Forbidden", message), let_in=let_in)
    assert judge("create", answer, doubtful=False).retry == retry


def test_an_object_that_exists_is_a_success_only_after_a_doubtful_create() -> None:
    exists = status(409, "AlreadyExists")
    assert judge("create", exists, doubtful=True).error is None
    assert judge("patch", exists, doubtful=True).error is not None
    assert judge("create", status(409, "Conflict"), doubtful=True).error is not None


def test_pauses_grow_to_a_bound_and_follow_the_server_within_another() -> None:
    plain = Answer(500)
    assert [pause_s(attempt, plain, 1.0) for attempt in (1, 2, 3)] == pytest.approx([0.1, 0.2, 0.4])
    assert pause_s(30, plain, 1.0) == LONGEST_PAUSE_S
    assert pause_s(1, plain, 0.0) == pytest.approx(0.05)
    assert pause_s(1, Answer(429, retry_after="3"), 0.5) == 3.0
    assert pause_s(1, Answer(429, retry_after="3600"), 0.5) == LONGEST_RETRY_AFTER_S
    assert pause_s(1, Answer(429, retry_after="Fri, 31 Dec 1999 23:59:59 GMT"), 1.0) == pytest.approx(0.1)


def test_an_etcd_that_is_full_is_not_tried_again() -> None:
    full = status(500, "", "etcdserver: mvcc: database space exceeded")
    assert not judge("create", full, doubtful=False).retry
    assert "database space exceeded" in (judge("create", full, doubtful=False).error or "")
    assert judge("create", status(500, "", "etcdserver: request timed out"), doubtful=False).retry
