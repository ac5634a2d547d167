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
        line("create", version=21, reference={"name": "another"}),
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


def test_a_write_that_is_logged_before_the_creation_of_its_object_is_judged_when_that_comes() -> None:
    """The API server tells watchers of an object before it answers, and logs, its creation."""
    for user in (USER, "load"):
        for before, noops in ((11, 1), (10, 0)):
            ledger = AuditLedger(USER)
            ledger.feed(line("patch", version=11, reference={"subresource": "status"}))
            assert (ledger.unjudged, next(iter(ledger.changed()))[1]) == (1, 1)
            ledger.feed(line("create", user=user, version=before))
            assert ledger.unjudged == 0
            told = {(s.metric, s.verb): n for s, n in ledger.changed() if s.metric == "writes.noop"}
            assert told == ({("writes.noop", "patch"): 1} if noops else {}), (user, before)
    ledger = AuditLedger(USER)
    for version in (11, 12, 12):  # its creation never comes: only the first stays unjudged
        ledger.feed(line("patch", version=version))
    assert ledger.unjudged == 1
    assert sum(n for s, n in ledger.counts.items() if s.metric == "writes.noop") == 1


def test_a_deletion_that_has_only_begun_leaves_the_object_known() -> None:
    """It answers with the object where finalizers hold it; the write that removes them is a change, and can be judged."""
    going = {"deletionTimestamp": "2026-01-01T00:00:06Z", "deletionGracePeriodSeconds": 0, "finalizers": ["a/b"]}
    steps = [("create", 5, {}), ("delete", 6, going), ("patch", 6, going)]  # the last one changes nothing
    for last, noops in (
        ({**going, "finalizers": None}, 1),
        (going, 2),
        ({**going, "deletionGracePeriodSeconds": 30}, 2),
    ):
        ledger = AuditLedger(USER)
        for verb, version, metadata in (
            *steps,
            ("patch", 6, last),
        ):  # what ends an object answers with its last version
            event = json.loads(line(verb, version=version))
            event["responseObject"]["metadata"] |= metadata
            ledger.feed(json.dumps(event, separators=(",", ":")).encode())
        assert ledger.unjudged == 0
        assert [n for s, n in ledger.counts.items() if s.metric == "writes.noop"] == [noops]
    ledger = AuditLedger(USER)
    for item in (
        line("create", version=5),
        line("delete", version=6),
        line("patch", version=6),
        line("patch", version=7),
    ):
        ledger.feed(item)
    assert ledger.unjudged == 0
    assert [(s.verb, n) for s, n in ledger.counts.items() if s.metric == "writes.noop"] == [("patch", 1)]


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


def test_what_is_refused_is_counted_and_is_no_read() -> None:
    ledger = AuditLedger(USER)
    secrets = {"resource": "secrets", "apiGroup": ""}
    unserved = {"resource": "things", "apiGroup": "example.com"}
    for item in (
        line("list", code=403, reference=secrets),
        line("list", code=403, reference=secrets),
        line("watch", code=403, reference=secrets),
        line("list", code=404, reference=unserved),
        line("list", code=500, stageTimestamp="2026-01-01T00:00:06Z"),
        line("patch", code=403, reference={"subresource": "status"}),
        line("get", code=404),
        line("list", code=403, user="somebody else"),
    ):
        ledger.feed(item)
    assert dict(ledger.refused) == {
        "list Secret: 403": 2,
        "watch Secret: 403": 1,
        "list things.example.com: 404": 1,
        "patch Bundle/status: 403": 1,
    }
    assert set(ledger.first_reads) == {"Bundle"}, "a name that is not there is an answer; what is refused is none"
    assert [kind for kind, _, _ in ledger.lists] == ["Bundle"], "that it asked, and waited, is still told"


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
    assert sink.of("warning") == []


def test_a_subject_that_may_not_read_is_told_of_once(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    kinds_ = ["secrets", "configmaps", "namespaces", "serviceaccounts", "pods", "events"]
    lines = [line("list", code=403, reference={"resource": name, "apiGroup": ""}) for name in kinds_ for _ in range(2)]
    log.write_bytes(b"".join(each + b"\n" for each in lines))

    async def scenario() -> ListSink:
        sink = ListSink()
        collector = AuditCollector()
        await collector.attach(
            context(sink, ProcessSubject(user=USER), cluster=SimpleNamespace(audit_log=log), kinds=[])
        )
        await collector.detach()
        return sink

    (warning,) = asyncio.run(scenario()).of("warning")
    assert "list Secret: 403 (2)" in warning["message"]
    assert "and 1 more" in warning["message"]


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
