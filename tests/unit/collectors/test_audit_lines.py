"""audit: lines made by hand in the form of a real API server's, and a log that is written while it is read."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.collectors.audit import AuditCollector
from harness.collectors.audit_lines import AuditLedger
from harness.collectors.tail import Tail
from harness.core import kinds
from tests.collecting import ListSink, ProcessSubject, context

USER = "harness:subject:r1"
_ids = itertools.count()


def line(verb: str, *, user: str = USER, version: int | None = None, code: int = 200, **changes: Any) -> bytes:
    reference = {"resource": "bundles", "apiGroup": "fleet.cattle.io", "namespace": "ns", "name": "one"}
    reference |= changes.pop("reference", {})
    event = {
        "kind": "Event",
        "level": "RequestResponse",
        "auditID": f"id-{next(_ids)}",
        "stage": "ResponseComplete",
        "requestURI": "/apis/x",
        "verb": verb,
        "user": {"username": user, "groups": ["system:authenticated"]},
        "objectRef": reference,
        "responseStatus": {"metadata": {}, "code": code},
        "requestReceivedTimestamp": "2026-01-01T00:00:05.250000Z",
        **changes,
    }
    if version is not None:
        metadata = {"uid": f"uid-{reference['name']}", "resourceVersion": str(version)}
        event["responseObject"] = {"kind": "Bundle", "metadata": metadata}
    return json.dumps(event, separators=(",", ":")).encode()


def counts(*lines: bytes) -> dict[str, int]:
    ledger = AuditLedger(USER)
    for item in lines:
        ledger.feed(item)
    return {
        ".".join(part for part in (s.metric, s.kind, s.verb, s.subresource) if part): n
        for s, n in ledger.counts.items()
    }


def test_write_that_changes_nothing() -> None:
    status: dict[str, Any] = {"reference": {"subresource": "status"}}
    assert counts(
        line("create", version=10),
        line("patch", version=11, **status),
        line("patch", version=11, **status),
        line("update", version=11),
        line("patch", version=12),
    ) == {
        "writes.total.Bundle.create": 1,
        "writes.total.Bundle.patch.status": 2,
        "writes.noop.Bundle.patch.status": 1,
        "writes.total.Bundle.update": 1,
        "writes.noop.Bundle.update": 1,
        "writes.total.Bundle.patch": 1,
    }


def test_versions_are_learned_from_everybody_and_only_ours_count() -> None:
    assert counts(line("create", user="load", version=10), line("patch", version=10)) == {
        "writes.total.Bundle.patch": 1,
        "writes.noop.Bundle.patch": 1,
    }
    others = [line("patch", user="load", version=11) for _ in range(2)]
    assert counts(line("create", version=10), *others, line("patch", version=12)) == {
        "writes.total.Bundle.create": 1,
        "writes.total.Bundle.patch": 1,
    }


def test_answers_logged_in_another_order() -> None:
    versions = (12, 11, 12)
    assert counts(line("create", version=10), *(line("patch", version=version) for version in versions)) == {
        "writes.total.Bundle.create": 1,
        "writes.total.Bundle.patch": 3,
        "writes.noop.Bundle.patch": 1,
    }


def test_an_object_that_exists_already_is_no_conflict() -> None:
    exists = {"metadata": {}, "status": "Failure", "reason": "AlreadyExists", "code": 409}
    conflict = {"metadata": {}, "status": "Failure", "reason": "Conflict", "code": 409}
    assert counts(line("create", responseStatus=exists), line("patch", responseStatus=conflict)) == {
        "writes.total.Bundle.create": 1,
        "writes.total.Bundle.patch": 1,
        "writes.conflict.Bundle.patch": 1,
    }


def test_conflicts_failures_and_unjudged() -> None:
    ledger = AuditLedger(USER)
    for item in (
        line("update", code=409),
        line("patch", version=20),  # of an object never seen before
        line("patch", level="Metadata"),
        line("patch", code=500),
        line("delete", version=20),
        line("create", version=21, reference={"name": "one"}),
        b"not json at all, but with " + f'"username":"{USER}"'.encode(),
    ):
        ledger.feed(item)
    totals = {(s.metric, s.verb): n for s, n in ledger.counts.items()}
    assert totals == {
        ("writes.total", "update"): 1,
        ("writes.conflict", "update"): 1,
        ("writes.total", "patch"): 3,
        ("writes.total", "delete"): 1,
        ("writes.total", "create"): 1,
    }
    assert ledger.unjudged == 2
    assert ledger.broken == 1


def test_an_object_made_again_is_another_object() -> None:
    first, again = line("create", version=5), line("create", version=9)
    again = again.replace(b"uid-one", b"uid-two")
    assert counts(first, line("delete", version=5), again) == {
        "writes.total.Bundle.create": 2,
        "writes.total.Bundle.delete": 1,
    }


def test_reads_and_the_first_of_each_kind() -> None:
    ledger = AuditLedger(USER)
    start = line("watch", stage="ResponseStarted", auditID="w1", requestReceivedTimestamp="2026-01-01T00:00:03Z")
    for item in (
        line("list"),
        start,
        line("watch", auditID="w1"),
        line("watch", auditID="w2"),
        line("get", stage="ResponseStarted"),
        line("get", reference={"resource": "secrets", "apiGroup": ""}),
        line("list", user="somebody else"),
        line("get", reference={"resource": "things", "apiGroup": "example.com"}),
    ):
        ledger.feed(item)
    assert {(s.kind, s.verb): n for s, n in ledger.counts.items()} == {
        ("Bundle", "list"): 1,
        ("Bundle", "watch"): 2,
        ("Secret", "get"): 1,
        ("things.example.com", "get"): 1,
    }
    assert {s.metric for s in ledger.counts} == {"api.requests"}
    assert ledger.first_reads["Bundle"].isoformat() == "2026-01-01T00:00:03+00:00"


def test_changed_tells_each_growth_once() -> None:
    ledger = AuditLedger(USER)
    ledger.feed(line("list"))
    assert [count for _, count in ledger.changed()] == [1]
    assert list(ledger.changed()) == []
    ledger.feed(line("list"))
    assert [count for _, count in ledger.changed()] == [2]


def test_tail_of_partial_lines_rotation_and_truncation(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"old old old\nsecond\nthi")
    tail = Tail(log, history_bytes=12)
    assert tail.read() == [b"second"] or tail.read() == []
    with log.open("ab") as file:
        file.write(b"rd\n")
    assert tail.read() == [b"third"]
    assert tail.read() == []
    with log.open("ab") as file:
        file.write(b"last of the old\n")
    log.rename(tmp_path / "log.1")
    assert tail.read() == [b"last of the old"]
    assert tail.read() == []
    log.write_bytes(b"first of the new\n")
    assert tail.read() == [b"first of the new"]
    log.write_bytes(b"cut\n")
    assert tail.read() == [b"cut"]
    with log.open("ab") as file:
        file.write(b"x" * 1000 + b"\n")
    assert tail.read(max_bytes=10) == [b"x" * 1000]
    tail.close()


def test_collector_follows_a_growing_log(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(line("list") + b"\n" + line("create", user="load", version=1) + b"\n")

    async def scenario() -> ListSink:
        sink = ListSink()
        collector = AuditCollector()
        cluster = SimpleNamespace(audit_log=log)
        await collector.attach(context(sink, ProcessSubject(user=USER), cluster=cluster, kinds=[kinds.find("Bundle")]))
        with log.open("ab") as file:
            written = line("patch", version=1)
            file.write(written[:40])
            file.flush()
            await asyncio.sleep(0.3)
            assert sink.values("writes.total", kind="Bundle", verb="patch") == []
            file.write(written[40:] + b"\n")
        await collector.detach()
        await collector.detach()
        return sink

    sink = asyncio.run(scenario())
    assert sink.last("writes.noop", kind="Bundle", verb="patch") == 1
    assert sink.last("api.requests", kind="Bundle", verb="list") == 1
    assert len(sink.values("startup.first_read", kind="Bundle")) == 1
    (summary,) = sink.of("audit")
    assert summary["lines"] == 3


def test_each_list_request_with_the_time_it_took() -> None:
    ledger = AuditLedger(USER)
    event = json.loads(line("list")) | {"stageTimestamp": "2026-11-22T09:30:17.500000Z"}
    event["requestReceivedTimestamp"] = "2026-11-22T09:30:15.000000Z"
    for user in (USER, "load"):
        ledger.feed(json.dumps(event | {"user": {"username": user}}).encode().replace(b'": "', b'":"'))
    ((kind, came, seconds),) = ledger.lists
    assert (kind, came.second, seconds) == ("Bundle", 15, 2.5)
    assert ledger.broken == 0


def test_a_write_that_etcd_had_no_room_for_is_noticed_of_the_subject_only() -> None:
    full = {"metadata": {}, "code": 500, "message": "etcdserver: mvcc: database space exceeded"}
    ledger = AuditLedger(USER)
    ledger.feed(line("patch", responseStatus={**full, "message": "etcdserver: request timed out"}))
    ledger.feed(line("patch", user="somebody", responseStatus=full))
    assert not ledger.etcd_full
    ledger.feed(line("patch", responseStatus=full))
    assert ledger.etcd_full
