"""What a subject, its runtime and the API server send: expositions, profiles, uploads, reports of the agent, audit lines."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

from hypothesis import strategies as st

from harness.collectors import captures, fold, ingest, pprof
from harness.collectors.audit import AuditCollector
from harness.collectors.audit_lines import AuditLedger
from harness.collectors.fold import Kept
from harness.collectors.metrics import MetricsCollector
from harness.collectors.pprof_write import encode, select
from harness.collectors.tail import Tail
from harness.collectors.tasks import TasksCollector
from harness.core.errors import UsageError
from harness.subject import pod_stats
from tests.collecting import ListSink, ProcessSubject, context
from tests.fuzz.folder import folder
from tests.fuzz.inputs import altered, as_json, mutated, plain
from tests.fuzz.property import Target

_EXPOSITION = b"""# HELP workqueue_depth Current depth of workqueue
# TYPE workqueue_depth gauge
workqueue_depth{name="bundle",controller="a\\"b\\\\c\\n"} 3
# TYPE controller_runtime_reconcile_total counter
controller_runtime_reconcile_total{controller="bundle",result="success"} 17 1700000000000
# TYPE workqueue_queue_duration_seconds histogram
workqueue_queue_duration_seconds_bucket{name="x",le="+Inf"} 4
workqueue_queue_duration_seconds_sum{name="x"} 1.5e-3
workqueue_queue_duration_seconds_count{name="x"} 4
process_resident_memory_bytes 1.2e+07
go_goroutines 40
go_memstats_alloc_bytes NaN
tokio_live_tasks +Inf
process_start_time_seconds_created 1
"""
_WORDS = (
    b"{",
    b"}",
    b'"',
    b"\\",
    b"=",
    b",",
    b" ",
    b"\n# TYPE ",
    b"# HELP workqueue_x ",
    b"process_",
    b"NaN",
    b"1e999",
    b"# EOF\n",
    b"\xff",
    b"\x00",
    b' # {a="b"} 1',
    b"_bucket{",
)
_PROFILE = encode(
    (("inuse_objects", "count"), ("inuse_space", "bytes")),
    [((("main.f", "main.go", 3), ("main.main", "main.go", 9)), (2, 4096)), ((("g;x", "", 0),), (1, -1))],
    period=("space", "bytes"),
    time_ns=1,
)
_RAW = gzip.decompress(_PROFILE)
_KEPT = ("inuse_space", "inuse_objects")


def _event(verb: str, stage: str = "ResponseComplete", **more: Any) -> dict[str, Any]:  # JSON
    return {
        "kind": "Event",
        "auditID": "a1",
        "stage": stage,
        "verb": verb,
        "user": {"username": "harness:subject:x"},
        "objectRef": {"resource": "secrets", "namespace": "n", "name": "s", "apiVersion": "v1"},
        "responseStatus": {"code": 200, "reason": "x"},
        "requestReceivedTimestamp": "2026-11-22T09:30:15.000000Z",
        "stageTimestamp": "2026-11-22T09:30:15.100000Z",
        "responseObject": {"metadata": {"uid": "u1", "resourceVersion": "17"}},
        **more,
    }


_EVENTS = (
    _event("patch"),
    _event("list"),
    _event("watch", "ResponseStarted"),
    _event("create"),
    _event("delete"),
    _event("update", objectRef={"resource": "bundles", "apiGroup": "fleet.cattle.io", "subresource": "status"}),
    _event("patch", responseStatus={"code": 409, "reason": "Conflict"}),
    _event("get"),
)
_REPORTS = (
    {"type": "hello", "pid": 17, "probe_ns": 50_000_000},
    {
        "type": "report",
        "t_ns": 5,
        "cpu_ns": 9,
        "tasks": 3,
        "names": {"f": 3},
        "rest": 1,
        "lags": [[1, 2], [3, 200_000_000]],
    },
    {
        "type": "collect",
        "pymalloc": 1,
        "malloc": 2,
        "collected": 3,
        "seconds": 0.1,
        "census": [["task", "f", None, None, 2]],
    },
    {"type": "report", "t_ns": 6, "cpu_ns": 9, "tasks": None, "lags": []},
    {"type": "census"},
    {"type": "trim", "trimmed": True},
)
_PUSH = {"series": [{"labels": [{"name": "__name__", "value": "x"}], "samples": [{"rawProfile": "AAAA"}]}]}
_SUMMARY = {
    "pods": [
        {
            "podRef": {"namespace": "n", "name": "p"},
            "containers": [
                {
                    "name": "subject",
                    "memory": {"time": "2026-11-22T09:30:15Z", "workingSetBytes": 1, "usageBytes": 2, "rssBytes": 3},
                    "cpu": {"usageCoreNanoSeconds": 5},
                }
            ],
        }
    ]
}


def _exposition(body: bytes) -> None:
    sink = ListSink()
    collector = MetricsCollector()
    collector._by_family = True
    asyncio.run(collector._keep(context(sink, ProcessSubject(metrics_url="http://127.0.0.1:1")), body, 1, 1, {}))
    assert all(isinstance(sample.value, float) for sample in sink.samples)


def _profile(raw: bytes) -> None:
    profile = pprof.decode(raw)
    for name, _ in profile.types:
        profile.folded(name)


def _selected(raw: bytes) -> None:
    pprof.decode(select(raw, _KEPT))


def _folded(raw: bytes) -> None:
    path = folder() / "heap-1.pprof"
    path.write_bytes(raw)
    fold.write(folder(), [Kept(path, "memory", "idle"), Kept(path, "goroutines", "idle")])


def _uploads(body: bytes) -> None:
    for upload in ingest.from_json(body) if body.lstrip().startswith(b"{") else ingest.from_protobuf(body):
        ingest.split_name(upload.labels.get("__name__", ""))


def _audit(lines: list[bytes]) -> None:
    sink, collector = ListSink(), AuditCollector()
    ledger = AuditLedger("harness:subject:x")
    for line in lines:
        ledger.feed(line)
    collector._write(context(sink, ProcessSubject()), ledger)
    assert ledger.broken <= len(lines)


def _tail(parts: list[bytes]) -> None:
    path = folder() / "audit.log"
    path.write_bytes(b"")
    tail = Tail(path, history_bytes=100)
    try:
        with path.open("ab") as file:
            for part in parts:
                file.write(part)
                file.flush()
                while tail.read(16):
                    pass
    finally:
        tail.close()


def _reports(lines: list[bytes]) -> None:
    asyncio.run(_report(lines))


async def _report(lines: list[bytes]) -> None:
    collector, reader = TasksCollector(), asyncio.StreamReader(limit=1 << 16)
    collector._context = context(ListSink(), ProcessSubject())
    reader.feed_data(b"\n".join(lines) + b"\n")
    reader.feed_eof()
    await collector._serve(reader, _Writer())  # type: ignore[arg-type] # all that is asked of it


class _Writer:
    """A connection that takes everything."""

    def write(self, data: bytes) -> None:
        """Nothing is sent."""

    def close(self) -> None:
        """Nothing is open."""


def _stats(summary: Any) -> None:  # JSON
    pod_stats.parse(summary, "n", "p")


def _heap(raw: bytes) -> None:
    path = folder() / "heap-2.pb.gz"
    path.write_bytes(raw)
    asyncio.run(captures.read(path))


_profiles = st.one_of(mutated((_RAW,)), mutated((_RAW,)).map(gzip.compress), mutated((_PROFILE,)))
_lines = st.lists(
    st.one_of(altered(_EVENTS, 2).map(as_json), mutated([as_json(e) for e in _EVENTS])), min_size=1, max_size=4
)
TARGETS = (
    Target("expositions", mutated((_EXPOSITION,), _WORDS), _exposition, (ValueError,), 2, (_EXPOSITION,)),
    Target("pprof", _profiles, _profile, (ValueError,), 2, (_PROFILE, _RAW)),
    Target("pprof-selected", _profiles, _selected, (ValueError,), 1, (_PROFILE, _RAW)),
    Target("pprof-folded", _profiles, _folded, (), 0.5),
    Target("go-heaps", _profiles.filter(lambda raw: not raw.startswith(b"memray")), _heap, (UsageError,), 0.5),
    Target(
        "uploads",
        st.one_of(
            altered((_PUSH,)).map(as_json),
            mutated((as_json(_PUSH), b"\n\x0e\n\x04\n\x01a\x12\x01b\x12\x06\n\x04" + _RAW[:4])),
        ),
        _uploads,
        (ValueError, KeyError, TypeError, AttributeError, RecursionError),
        1,
        (as_json(_PUSH),),
    ),
    Target("audit-lines", _lines, _audit, (), 2),
    Target("log-tails", st.lists(mutated((b"one\ntwo\n", b"x" * 5000, b"\n\n")), max_size=4), _tail, (), 0.3),
    Target(
        "agent-reports",
        st.lists(
            st.one_of(altered(_REPORTS, 2).map(as_json), mutated([as_json(r) for r in _REPORTS])),
            min_size=1,
            max_size=3,
        ),
        _reports,
        (),
        1,
    ),
    Target("kubelet-stats", st.one_of(altered((_SUMMARY,)), plain), _stats, (ValueError,), 1),
)
