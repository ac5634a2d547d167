"""Watchers as load: watches that stay open until the end, and whose streams are really read.

A watcher that does not read is no load: the API server would buffer for it and then drop it. Events are counted, not
decoded: what they cost the generator would be taken from the load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import gevent
from geventhttpclient.response import HTTPParseError

from loadgen.actions import Request
from loadgen.transport import Transport, WatchStream
from loadgen.verdicts import Answer

REPORT_S = 1.0
AGAIN_S = 1.0
"""Rest before a watch that the server ended is opened again; it ends each after a while."""


class Watchers:
    """The open watches of a session. `report` gets a line every second while there are any; `on_error` a sentence."""

    def __init__(
        self,
        transport: Transport,
        now_ns: Callable[[], int],
        report: Callable[[Mapping[str, object]], None],
        on_error: Callable[[str], None],
    ) -> None:
        self.open = 0
        self.events = 0
        self.bytes = 0
        self._transport = transport
        self._now_ns = now_ns
        self._report = report
        self._on_error = on_error
        self._greenlets: list[gevent.Greenlet] = []
        self._told = False

    def start(self, request: Request) -> Answer:
        """Open one watch; with a good answer it is read from now on."""
        answer, stream = self._transport.open_watch(request.path, request.accept)
        if stream is not None:
            if not self._greenlets:
                self._greenlets.append(gevent.spawn(self._tell))
            self.open += 1
            self._greenlets.append(gevent.spawn(self._read, request, stream))
        return answer

    def close(self) -> None:
        """End all watches, and tell the last counts."""
        if self._greenlets:
            self._send()
        gevent.killall(self._greenlets)
        self._greenlets.clear()

    def _read(self, request: Request, stream: WatchStream | None) -> None:
        while True:
            if stream is not None:
                try:
                    for chunk in stream:
                        self.events += chunk.count(b"\n")
                        self.bytes += len(chunk)
                except (OSError, HTTPParseError) as fault:
                    self._on_error(f"a watcher's connection broke: {type(fault).__name__}: {fault}")
                finally:
                    self.open -= 1
                    stream.close()
            gevent.sleep(AGAIN_S)
            answer, stream = self._transport.open_watch(request.path, request.accept)
            if stream is not None:
                self.open += 1
            elif not self._told:
                self._told = True
                self._on_error(f"a watcher could not go on: {answer.status} {answer.fault or 'refused'}")

    def _tell(self) -> None:
        while True:
            self._send()
            gevent.sleep(REPORT_S)

    def _send(self) -> None:
        self._report(
            {
                "type": "watchers",
                "t_ns": self._now_ns(),
                "open": self.open,
                "events": self.events,
                "bytes": self.bytes,
            }
        )
