"""What audit lines say about one API user: writes, writes that changed nothing, conflicts, reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from harness.core import kinds
from harness.core.kinds import Kind

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
READS = frozenset({"get", "list", "watch"})
_MAY_CHANGE_NOTHING = frozenset({"update", "patch"})
_CONFLICT = 409
_EXISTS = "AlreadyExists"
_REFUSED = 400


_MOST_LISTS = 20_000
"""List requests that are kept one by one."""
_NO_EVENT = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""What a line brings about that is JSON of another form, or none."""


class Series(NamedTuple):
    """A cumulative count: `metric` as the record names it, and whose requests it counts."""

    metric: str
    kind: str
    verb: str
    subresource: str

    @property
    def labels(self) -> dict[str, str]:
        """Labels of its samples."""
        labels = {"kind": self.kind, "verb": self.verb}
        return {**labels, "subresource": self.subresource} if self.subresource else labels


class AuditLedger:
    """Takes audit lines one by one and counts those of `user`.

    A write changed nothing if the object's resource version after it is one the object already had. The versions are
    learned from the answers to writes of all users, so others' lines with an answer are read too.
    """

    def __init__(self, user: str, own_kinds: Iterable[Kind] = ()) -> None:
        self.counts: Counter[Series] = Counter()
        self.unjudged = 0
        """The user's updates and patches whose answer is not in the log or whose object was not seen before."""
        self.broken = 0
        """Lines that are no audit events."""
        self.first_reads: dict[str, datetime] = {}
        """When the user first read each kind."""
        self.lists: list[tuple[str, datetime, float]] = []
        """Each list request of the user that was answered: its kind, when it came, and after how many seconds it was answered."""
        self._user = user
        self._own_kinds = tuple(own_kinds)
        self._user_mark = f'"username":{json.dumps(user)}'.encode()
        self._versions: dict[str, int] = {}
        self._started_watches: set[str] = set()
        self._changed: set[Series] = set()

    def feed(self, line: bytes) -> None:
        """Take one line, without its end."""
        own = self._user_mark in line
        if not own and b'"responseObject":' not in line:
            return
        try:
            event = json.loads(line)
            own = event["user"]["username"] == self._user
            self._take(event, own)
        except _NO_EVENT:
            self.broken += 1

    def changed(self) -> Iterator[tuple[Series, int]]:
        """Series that grew since the last call, with their counts."""
        changed, self._changed = self._changed, set()
        for series in sorted(changed):
            yield series, self.counts[series]

    def _take(self, event: dict[str, Any], own: bool) -> None:
        verb, reference, stage = event["verb"], event.get("objectRef"), event["stage"]
        if reference is None:
            return
        kind = _kind(reference, self._own_kinds)
        subresource = reference.get("subresource", "")
        if verb in WRITES:
            if stage == "ResponseComplete":
                self._write(event, own, verb, kind, subresource)
        elif own and verb in READS:
            self._read(event, verb, kind, subresource)

    def _write(self, event: dict[str, Any], own: bool, verb: str, kind: str, subresource: str) -> None:
        status = event.get("responseStatus") or {}
        code = status.get("code", 0)
        unchanged = self._unchanged(event, verb) if code < _REFUSED else False
        if not own:
            return
        self._count("writes.total", kind, verb, subresource)
        if code == _CONFLICT and status.get("reason") != _EXISTS:  # 409 too, but nobody else wrote meanwhile
            self._count("writes.conflict", kind, verb, subresource)
        elif verb in _MAY_CHANGE_NOTHING and unchanged is None:
            self.unjudged += 1
        elif unchanged:
            self._count("writes.noop", kind, verb, subresource)

    def _unchanged(self, event: dict[str, Any], verb: str) -> bool | None:
        """Whether the object's version after this write is the one it had; None where the log does not tell."""
        metadata = (event.get("responseObject") or {}).get("metadata") or {}
        uid, version = metadata.get("uid"), metadata.get("resourceVersion")
        if not uid or not version:
            return None
        known, now = self._versions.get(uid), int(version)
        if verb == "delete":
            self._versions.pop(uid, None)
            return False
        # Answers to concurrent writes may be logged in another order than they were stored: keep the highest.
        self._versions[uid] = max(now, known or 0)
        if verb == "create":
            return False
        return None if known is None else now == known

    def _read(self, event: dict[str, Any], verb: str, kind: str, subresource: str) -> None:
        if verb == "watch":
            # A watch may be logged when it begins and again when it ends: one request.
            if event["auditID"] in self._started_watches:
                self._started_watches.discard(event["auditID"])
                return
            if event["stage"] == "ResponseStarted":
                self._started_watches.add(event["auditID"])
        elif event["stage"] != "ResponseComplete":
            return
        self._count("api.requests", kind, verb, subresource)
        moment = datetime.fromisoformat(event["requestReceivedTimestamp"])
        if verb == "list" and "stageTimestamp" in event and len(self.lists) < _MOST_LISTS:
            answered = datetime.fromisoformat(event["stageTimestamp"])
            self.lists.append((kind, moment, (answered - moment).total_seconds()))
        if kind not in self.first_reads or moment < self.first_reads[kind]:
            self.first_reads[kind] = moment

    def _count(self, metric: str, kind: str, verb: str, subresource: str) -> None:
        series = Series(metric, kind, verb, subresource)
        self.counts[series] += 1
        self._changed.add(series)


def _kind(reference: dict[str, Any], own_kinds: Iterable[Kind]) -> str:
    group, plural = reference.get("apiGroup", ""), reference.get("resource", "")
    kind = kinds.of_resource(group, plural, own_kinds)
    if kind is not None:
        return kind.alias
    return f"{plural}.{group}" if group else plural
