"""What audit lines say about one API user: writes, writes that changed nothing, conflicts, reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec

from harness.core import etcd, kinds
from harness.core.errors import MALFORMED
from harness.core.kinds import Kind

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
READS = frozenset({"get", "list", "watch"})
_MAY_CHANGE_NOTHING = frozenset({"update", "patch"})
_CONFLICT = 409
_EXISTS = "AlreadyExists"
_REFUSED = 400
_NOT_ALLOWED = frozenset({401, 403})
_NOT_FOUND = 404

_MOST_LISTS = 20_000
"""List requests that are kept one by one."""


class _User(msgspec.Struct, gc=False):
    username: str


class _Reference(msgspec.Struct, gc=False, rename="camel"):
    resource: str = ""
    api_group: str = ""
    subresource: str = ""


class _Status(msgspec.Struct, gc=False):
    code: int = 0
    reason: str | None = None
    message: str | None = None


class _Metadata(msgspec.Struct, gc=False, rename="camel"):
    uid: str | None = None
    resource_version: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    finalizers: list[str] | None = None


class _Answer(msgspec.Struct, gc=False):
    metadata: _Metadata | None = None


class _Event(msgspec.Struct, rename="camel"):
    """What is needed of an audit event. The decoder skips the rest, which is most of a line, without making objects of it."""

    verb: str
    stage: str
    user: _User
    audit_id: str = msgspec.field(default="", name="auditID")
    object_ref: _Reference | None = None
    response_status: _Status | None = None
    response_object: _Answer | None = None
    request_received_timestamp: str = ""
    stage_timestamp: str | None = None


_decode = msgspec.json.Decoder(_Event).decode


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


class _Seen(NamedTuple):
    """An object as a write left it."""

    uid: str
    version: int
    gone: bool
    """Nothing holds it any more: the write has ended it, and answers with the version that it had."""


class AuditLedger:
    """Takes audit lines one by one and counts those of `user`.

    A write changed nothing if the object's resource version after it is one the object already had. The versions are
    learned from the answers to writes of all users, so others' lines with an answer are read too.
    """

    def __init__(self, user: str, own_kinds: Iterable[Kind] = ()) -> None:
        self.counts: Counter[Series] = Counter()
        self.etcd_full = False
        """Whether a write of the user was refused because etcd is full."""
        self._unanswered = 0
        self.broken = 0
        """Lines that are no audit events."""
        self.first_reads: dict[str, datetime] = {}
        """When the user first read each kind."""
        self.lists: list[tuple[str, datetime, float]] = []
        """Each list request of the user that was answered: its kind, when it came, and after how many seconds it was answered."""
        self.refused: Counter[str] = Counter()
        """Requests of the user that could never succeed, as `list Secret: 403`: not allowed, or of a kind that is not served."""
        self._user = user
        self._own_kinds = tuple(own_kinds)
        self._user_mark = f'"username":{json.dumps(user)}'.encode()
        self._versions: dict[str, int] = {}
        self._first: dict[str, tuple[Series, int]] = {}
        """By uid: a write of the user that is the first of its object in the log, and the version in its answer."""
        self._names: dict[tuple[str, str], str] = {}
        self._started_watches: set[str] = set()
        self._changed: set[Series] = set()

    @property
    def unjudged(self) -> int:
        """The user's updates and patches whose answer is not in the log, or whose object's version before is not."""
        return self._unanswered + len(self._first)

    def feed(self, line: bytes) -> None:
        """Take one line, without its end."""
        own = self._user_mark in line
        if not own and b'"responseObject":' not in line:
            return
        try:
            event = _decode(line)
            self._take(event, event.user.username == self._user)
        except (msgspec.MsgspecError, *MALFORMED):
            self.broken += 1

    def changed(self) -> Iterator[tuple[Series, int]]:
        """Series that grew since the last call, with their counts."""
        changed, self._changed = self._changed, set()
        for series in sorted(changed):
            yield series, self.counts[series]

    def _take(self, event: _Event, own: bool) -> None:
        reference = event.object_ref
        if reference is None:
            return
        if event.verb in WRITES:
            if event.stage == "ResponseComplete":
                self._write(event, own, reference)
        elif own and event.verb in READS:
            self._read(event, reference)

    def _write(self, event: _Event, own: bool, reference: _Reference) -> None:
        status = event.response_status or _Status()
        unchanged = self._unchanged(event) if status.code < _REFUSED else False
        if event.verb == "create":
            self._judge_first(event)
        if not own:
            return
        series = self._kind(reference), event.verb, reference.subresource
        self._note_refusal(*series, status.code)
        self._count("writes.total", *series)
        self.etcd_full |= etcd.NOSPACE in (status.message or "")
        if status.code == _CONFLICT and status.reason != _EXISTS:  # 409 too, but nobody else wrote meanwhile
            self._count("writes.conflict", *series)
        elif event.verb in _MAY_CHANGE_NOTHING and unchanged is None:
            if (seen := _seen(event)) is None:
                self._unanswered += 1
            else:  # its object's creation may have a line yet
                self._first[seen.uid] = Series("writes.noop", *series), seen.version
        elif unchanged:
            self._count("writes.noop", *series)

    def _unchanged(self, event: _Event) -> bool | None:
        """Whether the object's version after this write is the one it had; None where the log does not tell (yet)."""
        seen = _seen(event)
        if seen is None:
            return None
        known = self._versions.get(seen.uid)
        # Answers to concurrent writes may be logged in another order than they were stored: keep the highest. A deletion
        # whose answer is the object has only begun (finalizers, a grace period), and has given it a version, too.
        self._versions[seen.uid] = max(seen.version, known or 0)
        if event.verb not in _MAY_CHANGE_NOTHING or seen.gone:
            return False
        return None if known is None else seen.version == known

    def _judge_first(self, event: _Event) -> None:
        """A controller may learn of an object by its watch, and write it, before its creation was answered and logged."""
        seen = _seen(event)
        if seen is not None and (first := self._first.pop(seen.uid, None)) is not None and first[1] == seen.version:
            self._count(*first[0])

    def _read(self, event: _Event, reference: _Reference) -> None:
        if event.verb == "watch":
            # A watch may be logged when it begins and again when it ends: one request.
            if event.audit_id in self._started_watches:
                self._started_watches.discard(event.audit_id)
                return
            if event.stage == "ResponseStarted":
                self._started_watches.add(event.audit_id)
        elif event.stage != "ResponseComplete":
            return
        kind = self._kind(reference)
        self._count("api.requests", kind, event.verb, reference.subresource)
        code = (event.response_status or _Status()).code
        self._note_refusal(kind, event.verb, reference.subresource, code)
        moment = datetime.fromisoformat(event.request_received_timestamp)
        if event.verb == "list" and event.stage_timestamp is not None and len(self.lists) < _MOST_LISTS:
            answered = datetime.fromisoformat(event.stage_timestamp)
            self.lists.append((kind, moment, (answered - moment).total_seconds()))
        told = code < _REFUSED or (code == _NOT_FOUND and event.verb == "get")
        # What it was refused it has not read: a run must not take it for engaged.
        if not told:
            return
        if kind not in self.first_reads or moment < self.first_reads[kind]:
            self.first_reads[kind] = moment

    def _note_refusal(self, kind: str, verb: str, subresource: str, code: int) -> None:
        unserved = code == _NOT_FOUND and verb in ("list", "watch")
        if code in _NOT_ALLOWED or unserved:
            self.refused[f"{verb} {kind}{'/' if subresource else ''}{subresource}: {code}"] += 1

    def _kind(self, reference: _Reference) -> str:
        """How the record names the kind."""
        key = reference.api_group, reference.resource
        if key not in self._names:
            self._names[key] = _name(*key, self._own_kinds)
        return self._names[key]

    def _count(self, metric: str, kind: str, verb: str, subresource: str) -> None:
        series = Series(metric, kind, verb, subresource)
        self.counts[series] += 1
        self._changed.add(series)


def _seen(event: _Event) -> _Seen | None:
    """What the answer says of the object; None where the log has no such answer."""
    metadata = event.response_object.metadata if event.response_object else None
    if metadata is None or not metadata.uid or not metadata.resource_version:
        return None
    held = metadata.deletion_timestamp is None or metadata.finalizers or metadata.deletion_grace_period_seconds
    return _Seen(metadata.uid, int(metadata.resource_version), not held)


def _name(group: str, plural: str, own_kinds: Iterable[Kind]) -> str:
    kind = kinds.of_resource(group, plural, own_kinds)
    if kind is not None:
        return kind.alias
    return f"{plural}.{group}" if group else plural
