"""The gate: where load workers of other machines come in, before they may speak to Locust's master.

Both sides show that they know a secret without sending it: each proves it over the other's random number. A worker that is let
in is told the plan and Locust's port, and has a ticket, good for one join, that both compute and that is never sent here. One
that comes when all places are taken, or while there is no run, tries again.

One JSON a line: the gate says `{"gate", "nonce"}`, the worker `{"nonce", "proof"}`, the gate `{"proof", "port", "plan"}`, or
`{"proof", "full": true}`; to whoever does not know the secret it says nothing more.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import socket
from collections.abc import Callable
from typing import Any

import gevent
from gevent.server import StreamServer

from loadgen.fields import PlanError

GATE = "harness.load-gate/v1"
_TALK_S = 10.0
"""For one visit: four lines over a network."""
_MOST_BYTES = 64 << 20
"""Of a line: a plan with the largest template is 2 MiB."""
_HELLO_BYTES = 4096
"""Of a line of somebody who has shown nothing yet."""
_JOIN_S = 20.0
"""From the ticket to the join; a worker starts in two or three seconds."""
_PAUSE_S = 1.0
_CLOSE_S = 0.5
"""For a visit under way when the gate closes: one of ours takes milliseconds."""
_MOST_VISITS = 64
"""At the same time: more than there can be workers."""


class Refused(Exception):
    """The other side does not know the secret, or is no gate. Trying again is of no use until somebody changes something."""


def _mac(secret: bytes, role: str, master: str, worker: str) -> str:
    return hmac.new(secret, f"{GATE}:{role}:{master}:{worker}".encode(), hashlib.sha256).hexdigest()


class Gate:
    """Listens at an address and lets so many workers in. Raises PlanError where it cannot."""

    def __init__(
        self, host: str, port: int, secret: bytes, *, places: int, welcome: Callable[[], dict[str, Any]]
    ) -> None:
        self._secret = secret
        self._places = places
        self._welcome = welcome
        self._tickets: set[str] = set()
        self.sent_away = 0
        """Visitors that did not know the secret."""
        self._server = StreamServer((host, port), self._visit, spawn=_MOST_VISITS)
        try:
            self._server.start()
        except OSError as fault:
            raise PlanError(f"{host}:{port}: load workers cannot be listened for: {fault.strerror}") from fault

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.server_port
        return port

    def admits(self, ticket: object) -> bool:
        """Whether a ticket is one of those given out; each once."""
        if not isinstance(ticket, str) or ticket not in self._tickets:
            return False
        self._tickets.discard(ticket)
        return True

    def close(self) -> None:
        """Let nobody in any more. Who is talking to us has it out: broken off, it would take us for a stranger."""
        self._server.stop(timeout=_CLOSE_S)

    def _visit(self, connection: socket.socket, _address: object) -> None:
        with gevent.Timeout(_TALK_S, False), connection, connection.makefile("rwb") as stream:
            try:
                self._talk(stream)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                return  # no worker of ours, or one that went away

    def _talk(self, stream: Any) -> None:  # noqa: ANN401  # a socket's file
        nonce = secrets.token_hex(16)
        _say(stream, {"gate": GATE, "nonce": nonce})
        said = json.loads(stream.readline(_HELLO_BYTES))
        theirs = str(said["nonce"])
        if not hmac.compare_digest(str(said["proof"]), _mac(self._secret, "worker", nonce, theirs)):
            self.sent_away += 1
            return
        proof = {"proof": _mac(self._secret, "master", nonce, theirs)}
        if self._places <= 0:
            _say(stream, {**proof, "full": True})
            return
        self._places -= 1
        ticket = _mac(self._secret, "ticket", nonce, theirs)
        self._tickets.add(ticket)
        gevent.spawn_later(_JOIN_S, self._expire, ticket)
        _say(stream, {**proof, **self._welcome()})

    def _expire(self, ticket: str) -> None:
        """Whoever had it did not come: its place is free again."""
        if ticket in self._tickets:
            self._tickets.discard(ticket)
            self._places += 1


def enter(host: str, port: int, secret: bytes) -> tuple[dict[str, Any], str]:
    """Wait at a gate until it lets us in: what it tells, and our ticket. Raises Refused where it never will."""
    while True:
        try:
            with (
                socket.create_connection((host, port), timeout=_TALK_S) as connection,
                connection.makefile("rwb") as stream,
            ):
                told = _ask(stream, secret)
        except (OSError, ValueError):  # nobody there, or it went away in the middle of a word
            told = None
        if told is not None:
            return told
        gevent.sleep(_PAUSE_S)


def _ask(stream: Any, secret: bytes) -> tuple[dict[str, Any], str] | None:  # noqa: ANN401  # a socket's file
    """One visit; None where it is full, or was broken off."""
    hello = json.loads(stream.readline(_HELLO_BYTES))
    if not isinstance(hello, dict) or hello.get("gate") != GATE:
        raise Refused("what answers there is no gate for load workers")
    nonce = secrets.token_hex(16)
    theirs = str(hello.get("nonce"))
    _say(stream, {"nonce": nonce, "proof": _mac(secret, "worker", theirs, nonce)})
    line = stream.readline(_MOST_BYTES)
    if not line:
        raise Refused("the master does not take this secret")
    told = json.loads(line)
    if not hmac.compare_digest(str(told.get("proof")), _mac(secret, "master", theirs, nonce)):
        raise Refused("the master does not know the secret")
    return None if told.get("full") else (told, _mac(secret, "ticket", theirs, nonce))


def _say(stream: Any, message: dict[str, Any]) -> None:  # noqa: ANN401  # a socket's file
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()
