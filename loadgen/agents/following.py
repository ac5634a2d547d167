"""List and watch, over and over: every object of a collection, once as it is and then whenever it changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import gevent
from geventhttpclient.response import HTTPParseError

from loadgen.transport import Transport, WatchStream
from loadgen.verdicts import Answer

AGAIN_S = 0.2
"""Rest before a watch is opened again: the server ends each after a while."""
PATIENCE_S = 30.0
"""The API server may be away for so long; then whoever follows gives up, and says so."""

JSONObject = dict[str, Any]
Take = Callable[[str, JSONObject], None]
"""Event type (ADDED, MODIFIED, DELETED) and object."""

PLAIN = "application/json"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


class Lost(Exception):
    """The collection cannot be followed any more. The text is a sentence."""


class Follower:
    """Follows the collection at `path`, by labels. `synced` is called once all that was there has been taken."""

    def __init__(
        self, transport: Transport, path: str, selector: str, take: Take, *, metadata_only: bool = False
    ) -> None:
        self._transport = transport
        self._path = path
        self._selector = selector
        self._take = take
        self._accepts = (METADATA_LIST, METADATA) if metadata_only else (PLAIN, PLAIN)
        self._version = ""
        self._stream: WatchStream | None = None

    def run(self, synced: Callable[[], None]) -> None:
        """Follow until killed. Raises Lost."""
        failing_since: float | None = None
        while True:
            fault = self._listed() if not self._version else self._watched(synced)
            now = gevent.get_hub().loop.now()
            if fault is None:
                failing_since = None
                continue
            failing_since = failing_since or now
            if now - failing_since > PATIENCE_S:
                raise Lost(f"{self._path} cannot be followed: {fault}")
            gevent.sleep(AGAIN_S)

    def close(self) -> None:
        """Hang up."""
        if self._stream is not None:
            self._stream.close()

    def _listed(self) -> str | None:
        """Take all that is there; a fault in words where it could not be had."""
        path = f"{self._path}?{urlencode({'labelSelector': self._selector})}" if self._selector else self._path
        answer = self._transport.send("GET", path, b"", PLAIN, self._accepts[0])
        if answer.status != 200:
            return _words(answer)
        document = json.loads(answer.body)
        for item in document["items"] or ():  # Go writes no items as null
            self._take("ADDED", item)
        self._version = document["metadata"]["resourceVersion"]
        return None

    def _watched(self, synced: Callable[[], None]) -> str | None:
        """Take what changes, until the watch ends."""
        query = {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": self._version}
        if self._selector:
            query["labelSelector"] = self._selector
        answer, stream = self._transport.open_watch(f"{self._path}?{urlencode(query)}", self._accepts[1])
        if stream is None:
            self._version = "" if answer.status == 410 else self._version
            return None if answer.status == 410 else _words(answer)
        synced()
        self._stream = stream
        rest = b""
        try:
            for chunk in stream:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._event(json.loads(line))
        except (OSError, HTTPParseError, ValueError):
            pass  # it begins again where it stopped
        finally:
            self._stream = None
            stream.close()
        gevent.sleep(AGAIN_S)
        return None

    def _event(self, event: JSONObject) -> None:
        kind, item = event["type"], event["object"]
        if (
            kind == "ERROR"
        ):  # what is to be resumed from has been compacted away, or the server has another reason to begin anew
            self._version = ""
            return
        self._version = item["metadata"]["resourceVersion"]
        if kind != "BOOKMARK":
            self._take(kind, item)


def _words(answer: Answer) -> str:
    return answer.fault or f"{answer.status} {' '.join(answer.body[:200].decode('utf-8', 'replace').split())}"
