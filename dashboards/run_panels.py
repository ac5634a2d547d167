"""The panels of the dashboard Run."""

from __future__ import annotations

from dashboards import parts
from dashboards.names import WHOLE, of, own
from dashboards.profiles import CPU, HEAP, selector
from harness.report import families

ALL, BY_NAME = 'coroutine=""', 'coroutine!=""'
"""Of tasks: how many there are, and how many of each coroutine."""


def overview() -> list[parts.Panel]:
    share = f"max by (run_id, arm) ({of('memory.cgroup', WHOLE)} / {of('memory.limit', WHOLE)})"
    return [
        parts.figure(
            "Memory of the limit",
            "Memory charged to the subject's cgroup over its limit; at 1 the kernel kills.",
            "percentunit",
            share,
            parts.SHARE_OF_LIMIT,
            reduce="max",
        ),
        parts.figure(
            "OOM kills",
            "Kills by the kernel because the subject reached its memory limit.",
            "short",
            f"max by (run_id, arm) ({of('oom.kills', WHOLE)})",
            parts.NONE_IS_GOOD,
            reduce="max",
        ),
        parts.figure(
            "Completeness",
            "Expected objects seen over objects that must exist, of the kind with the least.",
            "percentunit",
            f"min by (run_id, arm) ({own(families.COMPLETENESS)})",
            parts.ALL_IS_GOOD,
        ),
        parts.figure(
            "Propagation p99",
            "From the intended flip to its effect on each object, over the whole run so far.",
            "s",
            f"histogram_quantile(0.99, sum by (le, run_id) ({own(families.PROPAGATION, suffix='_bucket')}))",
            parts.SECONDS,
        ),
        parts.figure(
            "Queue",
            "Items waiting in the work queues of the subject.",
            "short",
            f"max by (run_id, arm) ({of('queue.depth')})",
            ((None, "green"), (1000, "orange")),
        ),
        parts.figure(
            "Requests refused",
            "Attempts of the load that were refused or got no answer, a second.",
            "reqps",
            f"sum by (run_id) (rate({own(families.REQUEST_FAILURES)}[$__rate_interval])) or vector(0)",
            ((None, "green"), (0.01, "orange")),
        ),
    ]


def load() -> list[parts.Panel]:
    rate = own(families.REQUEST_DURATION, suffix="_count")
    buckets = own(families.REQUEST_DURATION, suffix="_bucket")
    return [
        parts.curves(
            "Phases",
            "1 while a phase lasts.",
            "bool_yes_no",
            [(f"max by (phase, action) ({own(families.PHASE)})", "{{phase}}")],
            height=7,
        ),
        parts.curves(
            "Requested and achieved rate",
            "Requests a second that each phase was to send, and that succeeded.",
            "reqps",
            [
                (f"sum by (phase) ({own(families.REQUESTED_RATE)})", "{{phase}} requested"),
                (f"sum by (phase) ({own(families.ACHIEVED_RATE)})", "{{phase}} achieved so far"),
                (f"sum by (phase) (rate({rate}[$__rate_interval]))", "{{phase}} now"),
            ],
            height=7,
        ),
        parts.curves(
            "Requests",
            "Time from when a request was intended until its answer, by quantile.",
            "s",
            [
                (
                    f"histogram_quantile({q}, sum by (le, verb, kind) (rate({buckets}[$__rate_interval])))",
                    f"p{round(q * 100)} {{{{verb}}}} {{{{kind}}}}",
                )
                for q in (0.5, 0.99)
            ],
            parts.SECONDS,
        ),
        parts.curves(
            "Propagation",
            "From the intended flip to its effect on each object, by quantile, with what the scenario expects.",
            "s",
            [
                (
                    f"histogram_quantile({q}, sum by (le, probe) ({own(families.PROPAGATION, suffix='_bucket')}))",
                    f"p{round(q * 100)} {{{{probe}}}}",
                )
                for q in (0.5, 0.95, 0.99)
            ]
            + [(f"max by (probe, quantile) ({own(families.OBJECTIVE)})", "objective {{probe}} {{quantile}}")],
            parts.SECONDS,
        ),
        parts.curves(
            "Objects",
            "Expected objects seen, of those that must exist.",
            "percentunit",
            [(f"max by (kind) ({own(families.COMPLETENESS)})", "{{kind}}")],
            parts.ALL_IS_GOOD,
        ),
        parts.curves(
            "Effects awaited",
            "Effects of requests that were sent which no watch has shown yet (only of a live run), and items in queues.",
            "short",
            [
                (f"max by (run_id) ({own(families.PENDING)})", "effects"),
                (f"max by (run_id) ({of('queue.depth')})", "queue"),
            ],
            ((None, "green"), (1000, "orange")),
        ),
    ]


def subject() -> list[parts.Panel]:
    return [
        parts.curves(
            "Memory against the limit",
            "What the kernel charges to the cgroup is what the limit counts; RSS and anonymous memory beside it.",
            "bytes",
            [
                (f"max by (run_id, arm) ({of(name, WHOLE)})", text)
                for name, text in (
                    ("memory.cgroup", "charged {{arm}}"),
                    ("memory.rss", "RSS {{arm}}"),
                    ("memory.anon", "anonymous {{arm}}"),
                    ("memory.limit", "limit {{arm}}"),
                )
            ],
        ),
        parts.curves(
            "Tasks by runtime",
            "asyncio tasks or goroutines of the subject, the most numerous by name.",
            "short",
            [
                (f"max by (run_id) ({of('tasks', ALL, WHOLE)})", "all"),
                (f"topk(8, max by (coroutine) ({of('tasks', BY_NAME)}))", "{{coroutine}}"),
            ],
            ((None, "green"), (10000, "orange")),
        ),
        parts.curves(
            "CPU",
            "Cores that the subject uses, and the time for which its CPU limit held it back.",
            "short",
            [
                (f"sum by (run_id) (rate({of('cpu.seconds', WHOLE)}[$__rate_interval]))", "subject"),
                (f"sum by (run_id) (rate({of('cpu.throttled', WHOLE)}[$__rate_interval]))", "throttled"),
            ],
        ),
        parts.curves(
            "Writes of the subject",
            "Writes a second that the API server took, those that changed nothing, and conflicts.",
            "wps",
            [
                (f"sum by (run_id) (rate({of(name)}[$__rate_interval]))", text)
                for name, text in (
                    ("writes.total", "all"),
                    ("writes.noop", "changed nothing"),
                    ("writes.conflict", "conflicts"),
                )
            ],
            ((None, "green"), (1000, "orange")),
        ),
    ]


def rest() -> list[parts.Panel]:
    return [
        parts.flames(
            "CPU profile",
            "Where the subject spent its CPU time; of runs with `--pyroscope URL`.",
            CPU,
            selector("$scenario", "$run"),
        ),
        parts.flames(
            "Memory profile",
            "What the subject held, by allocation site; of runs with `--pyroscope URL` that profiled memory.",
            HEAP,
            selector("$scenario", "$run"),
        ),
        parts.curves(
            "Own cost: CPU",
            "Cores that harness, load generator and API server use.",
            "short",
            [
                (f"sum by (run_id) (rate({of(name)}[$__rate_interval]))", text)
                for name, text in (
                    ("overhead.cpu", "harness"),
                    ("overhead.agent.cpu", "agent in the subject"),
                    ("load.cpu", "load generator"),
                    ("apiserver.cpu", "API server"),
                    ("host.cpu.steal", "steal"),
                )
            ],
            ((None, "green"), (1, "orange")),
        ),
        parts.curves(
            "Own cost: memory and lateness",
            "Memory of the harness and its supervisors; how late its event loop is shifts its time stamps.",
            "bytes",
            [
                (f"max by (run_id) ({of('overhead.rss')})", "harness"),
                (f"max by (run_id) ({of('load.rss')})", "load generator"),
            ],
        ),
        parts.curves(
            "Event loops",
            "How late event loops are: the harness's shifts its time stamps, the subject's its answers.",
            "s",
            [
                (f"max by (run_id) ({of(name)})", text)
                for name, text in (
                    ("overhead.loop_lag", "harness"),
                    ("load.loop_lag", "load generator"),
                    ("loop.lag", "subject"),
                )
            ],
            ((None, "green"), (0.1, "orange"), (1, "red")),
            width=24,
            height=6,
        ),
    ]
