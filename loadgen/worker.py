"""A worker: takes the phase's requests one after another and sees each through, with retries.

Each attempt is told to Locust's `request` event; whoever wants to know of requests (the stream, Locust's own
statistics) listens there.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import gevent

from loadgen.actions import Request
from loadgen.phaserun import PhaseRun
from loadgen.templates import TemplateFault
from loadgen.verdicts import LONGEST_ERROR, MAX_ATTEMPTS, Answer, Verdict, judge, pause_s

Fire = Callable[..., None]

Send = Callable[[Request], Answer]


class Worker:
    """One of the `concurrency` senders of a phase. `fire` is Locust's `events.request.fire`."""

    def __init__(self, run: PhaseRun, send: Send, now_ns: Callable[[], int], fire: Fire) -> None:
        self._run = run
        self._send = send
        self._now_ns = now_ns
        self._fire = fire
        self._number = run.enlist()

    def work(self, wait_for_room: Callable[[], None]) -> None:
        """Work until no request is left. `wait_for_room` may hold it back before each."""
        self._run.began.wait()
        while True:
            wait_for_room()
            index = self._run.claim()
            if index is None:
                return
            # Made before it is due: building must not count as latency.
            try:
                request = self._run.action(index)
            except TemplateFault as fault:
                self._give_up(index, str(fault))
                continue
            intended = self._run.intended_ns(index)
            if intended is not None:
                while (early_ns := intended - self._now_ns()) > 0:
                    gevent.sleep(early_ns / 1e9)
            # What follows a request (the next page of a list) is due as soon as it can be asked for.
            following, error, first_sent_ns, done_ns = self._see_through(request, intended)
            while following is not None:
                following, error, _sent_ns, done_ns = self._see_through(following, None)
            self._run.settle(error, first_sent_ns, done_ns)

    def _give_up(self, index: int, error: str) -> None:
        """A request that cannot even be built has failed, and has its row."""
        phase = self._run.phase
        now_ns = self._now_ns()
        request = Request(phase.action, "", phase.path, phase.object_name(index))
        verdict = Verdict(error[:LONGEST_ERROR], "template")
        self._run.settle(verdict.error, now_ns, now_ns)
        self._tell(request, verdict, 1, True, (now_ns, now_ns, now_ns, 0))

    def _see_through(self, request: Request, intended_ns: int | None) -> tuple[Request | None, str | None, int, int]:
        """Send until it is done or given up: what follows it, what went wrong, when it was first sent, and when over."""
        attempt = 1
        doubtful = False
        first_sent_ns = self._now_ns()
        while True:
            sent_ns = self._now_ns()
            intended_ns = sent_ns if intended_ns is None else intended_ns
            answer = self._send(request)
            done_ns = self._now_ns()
            verdict = judge(request.verb, answer, doubtful=doubtful)
            doubtful = doubtful or verdict.doubtful
            last = verdict.error is None or not verdict.retry or attempt >= MAX_ATTEMPTS
            self._tell(request, verdict, attempt, last, (intended_ns, sent_ns, done_ns, answer.status))
            if last:
                following = request.follow(answer.body) if request.follow and verdict.error is None else None
                return following, verdict.error, first_sent_ns, done_ns
            # The jitter is not of the plan's seed: when to try again depends on the server, never the same twice.
            gevent.sleep(pause_s(attempt, answer, random.random()))  # noqa: S311  # spreads retries, guards nothing
            attempt += 1

    def _tell(
        self, request: Request, verdict: Verdict, attempt: int, last: bool, facts: tuple[int, int, int, int]
    ) -> None:
        intended_ns, sent_ns, done_ns, status = facts
        phase = self._run.phase
        row = (
            phase.name,
            self._number,
            attempt,
            intended_ns,
            sent_ns,
            done_ns,
            request.verb,
            phase.kind,
            request.name,
            status,
            verdict.error,
            len(request.body),
        )
        self._fire(
            request_type=request.verb,
            name=phase.name,
            response_time=(done_ns - intended_ns) / 1e6,
            response_length=len(request.body),
            exception=verdict.reason if verdict.error is not None else None,
            context={"row": row, "run": self._run, "last": last},
        )
