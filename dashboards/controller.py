"""Controller under test: what the subject says of itself and costs, beside what its API server and etcd say."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from dashboards import parts, run
from dashboards.names import WHOLE, chosen, of
from harness.report.families import SUBJECT_JOB

SERVERS = "10s"
"""How often API server and etcd are scraped."""
QUEUES = ((None, "green"), (1000, "orange"))


def build() -> dashboard.Dashboard:
    """The dashboard."""
    made = parts.board(
        "controller",
        "Controller harness / Controller under test",
        "The subject by its own /metrics and as the harness sees it, and the API server and etcd that it works against.",
        since="now-30m",
        refresh="5s",
    ).with_variable(parts.source_variable())
    for each in run.variables():
        made = made.with_variable(each)
    for title, panels in (
        ("Work", _work()),
        ("Requests and writes", _requests()),
        ("Resources", _resources()),
        ("API server and etcd", _server()),
    ):
        made = made.with_row(dashboard.Row(title))
        for panel in panels:
            made = made.with_panel(panel)
    return made


def _of(job: str, name: str) -> str:
    """What one of those that are scraped says; several of them have series of the same name."""
    return chosen(name, f'job="{job}"')


def _rate(name: str, by: str, job: str = SUBJECT_JOB) -> str:
    return f"sum by ({by}) (rate({_of(job, name)}[$__rate_interval]))"


def _share(name: str) -> str:
    return f"sum by (run_id) (rate({of(name)}[$__rate_interval]))"


def _quantile(q: float, name: str, by: str, job: str) -> str:
    return f"histogram_quantile({q}, {_rate(f'{name}_bucket', f'le, {by}', job)})"


def _work() -> list[parts.Panel]:
    return [
        parts.curves(
            "Work queues",
            "Items waiting in each work queue.",
            "short",
            [
                (f"max by (name) ({_of(SUBJECT_JOB, 'workqueue_depth')})", "{{name}}"),
                (f"max by (run_id) ({of('queue.depth')})", "all"),
            ],
            QUEUES,
        ),
        parts.curves(
            "Reconciles",
            "Reconciles a second by controller and result, as the subject counts them.",
            "ops",
            [
                (_rate("controller_runtime_reconcile_total", "controller, result"), "{{controller}} {{result}}"),
                (f"sum by (run_id) (rate({of('reconciles.total')}[$__rate_interval]))", "all"),
            ],
        ),
        parts.curves(
            "Items added and done again",
            "Items added to work queues a second, and those that were put back.",
            "ops",
            [
                (_rate("workqueue_adds_total", "name"), "{{name}} added"),
                (_rate("workqueue_retries_total", "name"), "{{name}} again"),
            ],
            ((None, "green"), (1000, "orange")),
        ),
        parts.curves(
            "Work time",
            "Seconds of work by queue in each second: how many workers are busy.",
            "short",
            [
                (_rate("workqueue_work_duration_seconds_sum", "name"), "{{name}} busy workers"),
                (_rate("controller_runtime_reconcile_time_seconds_sum", "controller"), "{{controller}} reconciling"),
            ],
        ),
    ]


def _requests() -> list[parts.Panel]:
    return [
        parts.curves(
            "Requests to the API server",
            "Requests of the subject a second by verb and kind, from the API server's audit log.",
            "reqps",
            [(f"sum by (verb, kind) (rate({of('api.requests')}[$__rate_interval]))", "{{verb}} {{kind}}")],
        ),
        parts.curves(
            "Writes that changed nothing",
            "Share of the subject's writes whose answer had the resourceVersion of before.",
            "percentunit",
            [
                (
                    f"{_share('writes.noop')} / {_share('writes.total')}",
                    "share",
                )
            ],
            ((None, "green"), (0.1, "orange"), (0.5, "red")),
        ),
        parts.curves(
            "Conflicts",
            "Writes of the subject that were refused with 409, a second.",
            "wps",
            [(f"sum by (run_id) (rate({of('writes.conflict')}[$__rate_interval]))", "conflicts")],
            ((None, "green"), (1, "orange")),
        ),
        parts.curves(
            "Lists",
            "How long each list request of the subject took.",
            "s",
            [(f"max by (kind) ({of('api.list')})", "{{kind}}")],
            parts.SECONDS,
            points=True,
        ),
    ]


def _resources() -> list[parts.Panel]:
    return [
        parts.curves(
            "Memory",
            "Resident and anonymous memory, what the cgroup is charged, and its limit.",
            "bytes",
            [
                (f"max by (run_id) ({of(name, WHOLE)})", text)
                for name, text in (
                    ("memory.rss", "RSS"),
                    ("memory.anon", "anonymous"),
                    ("memory.cgroup", "charged"),
                    ("memory.limit", "limit"),
                )
            ],
        ),
        parts.curves(
            "Heap by its own word",
            "Go's heap in use, or the heap after a forced collection.",
            "bytes",
            [
                (f"max by (run_id) ({_of(SUBJECT_JOB, 'go_memstats_heap_alloc_bytes')})", "Go heap"),
                (f"max by (part) ({of('memory.heap')})", "heap {{part}}"),
            ],
        ),
        parts.curves(
            "Threads and descriptors",
            "Threads and open file descriptors of the subject's processes.",
            "short",
            [
                (f"max by (run_id) ({of('threads', WHOLE)})", "threads"),
                (f"max by (sort) ({of('fds', WHOLE)})", "descriptors {{sort}}"),
            ],
            ((None, "green"), (1000, "orange")),
        ),
        parts.curves(
            "Series on its /metrics",
            "A label that grows with the load shows here.",
            "short",
            [(f"max by (family) ({of('metrics.series')})", "{{family}}")],
            ((None, "green"), (10000, "orange")),
        ),
    ]


def _server() -> list[parts.Panel]:
    return [
        parts.curves(
            "Requests in flight",
            "Requests in the API server, the most within a second, as the harness samples it.",
            "short",
            [(f"max by (kind) ({of('apiserver.inflight')})", "{{kind}}")],
            ((None, "green"), (400, "orange")),
        ),
        parts.curves(
            "Requests by code",
            "Requests of all clients a second by answer; only where the API server is scraped itself.",
            "reqps",
            [(_rate("apiserver_request_total", "verb, code", "apiserver"), "{{verb}} {{code}}")],
            every=SERVERS,
        ),
        parts.curves(
            "Refused by the API server",
            "Requests a second that the API server answered with 429.",
            "reqps",
            [(f"sum by (run_id) (rate({of('apiserver.rejected')}[$__rate_interval]))", "429")],
            ((None, "green"), (0.01, "orange")),
        ),
        parts.curves(
            "API server's time",
            "Time of requests in the API server by verb, p99; only where it is scraped itself.",
            "s",
            [(_quantile(0.99, "apiserver_request_duration_seconds", "verb", "apiserver"), "{{verb}}")],
            parts.SECONDS,
            every=SERVERS,
        ),
        parts.curves(
            "etcd: keys and size",
            "Keys of etcd and its size in use; only where etcd is scraped itself.",
            "bytes",
            [(f"max by (run_id) ({_of('etcd', 'etcd_mvcc_db_total_size_in_use_in_bytes')})", "size in use")],
            ((None, "green"), (2 * 2**30, "orange"), (8 * 2**30, "red")),
            every=SERVERS,
        ),
        parts.curves(
            "etcd: commits",
            "Time of a commit to etcd's backend, p99; only where etcd is scraped itself.",
            "s",
            [(_quantile(0.99, "etcd_disk_backend_commit_duration_seconds", "run_id", "etcd"), "commit")],
            ((None, "green"), (0.025, "orange"), (0.25, "red")),
            every=SERVERS,
        ),
    ]
