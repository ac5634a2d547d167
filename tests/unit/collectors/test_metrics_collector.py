"""metrics: a real HTTP server tells, the collector keeps what matters and stays calm about the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from harness.collectors import metrics
from harness.collectors.exposition import Exposition
from harness.collectors.metrics import MetricsCollector
from harness.core.errors import EnvironmentFault
from tests.collecting import ListSink, ProcessSubject, context

PAGE = """\
# HELP workqueue_depth Current depth
# TYPE workqueue_depth gauge
workqueue_depth{name="bundle",controller="bundle"} 7
workqueue_depth{name="gitrepo",controller="gitrepo"} 2
# TYPE controller_runtime_reconcile_total counter
controller_runtime_reconcile_total{controller="bundle",result="success"} 40
controller_runtime_reconcile_total{controller="bundle",result="error"} 2
# TYPE controller_runtime_reconcile_time_seconds histogram
controller_runtime_reconcile_time_seconds_bucket{controller="bundle",le="0.5"} 3
controller_runtime_reconcile_time_seconds_bucket{controller="bundle",le="+Inf"} 4
controller_runtime_reconcile_time_seconds_sum{controller="bundle"} 1.5
controller_runtime_reconcile_time_seconds_count{controller="bundle"} 4
# TYPE go_goroutines gauge
go_goroutines 93
# TYPE something_else gauge
something_else{path="a b } c"} 1e-05
something_nan NaN
"""


async def _serving(body: Callable[[], web.Response], use: Callable[[str], object]) -> None:
    async def answer(_: web.Request) -> web.Response:
        return body()

    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await use(f"http://127.0.0.1:{runner.addresses[0][1]}/metrics")  # type: ignore[misc] # a coroutine
    finally:
        await runner.cleanup()


def _run(body: Callable[[], web.Response], scrapes: int = 1) -> tuple[ListSink, MetricsCollector]:
    sink, collector = ListSink(), MetricsCollector()

    async def use(url: str) -> None:
        await collector.attach(context(sink, ProcessSubject(runtime="go", metrics_url=url)))
        for _ in range(scrapes):
            await collector.settle()
        await collector.detach()
        await collector.detach()

    asyncio.run(_serving(body, use))
    return sink, collector


def test_families_and_derived_values() -> None:
    sink, collector = _run(lambda: web.Response(text=PAGE))
    assert sink.last("queue.depth") == 9 == collector.queue_depth()
    assert sink.last("reconciles.total") == 42
    assert sink.last("metrics.series") == 11
    assert sink.last("tasks") == 93
    assert sink.last("workqueue_depth", name="bundle", controller="bundle") == 7
    assert sink.last("controller_runtime_reconcile_time_seconds_sum", controller="bundle") == 1.5
    names = {sample.metric for sample in sink.samples}
    assert not [name for name in names if name.endswith("_bucket") or name.startswith("something")]
    assert sink.warnings == []


def test_a_subject_without_queues_tells_none() -> None:
    sink, collector = _run(lambda: web.Response(text="# just this\nother 1\n"))
    assert collector.queue_depth() is None
    assert sink.values("queue.depth") == []
    assert sink.last("metrics.series") == 1


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (lambda: web.Response(text="<html>hello</html>", content_type="text/html"), "is a web page"),
        (lambda: web.Response(text='{"not": "metrics"}'), "does not hold Prometheus metrics: not a sample"),
        (lambda: web.Response(text=""), "does not hold Prometheus metrics: it has no samples"),
        (lambda: web.Response(status=404), "answered with status 404"),
        (lambda: web.Response(text='workqueue_depth{name="a" 3\n'), "does not hold Prometheus metrics"),
        (lambda: web.Response(body=b"\xff\xfe\x00binary"), "does not hold Prometheus metrics"),
    ],
)
def test_what_is_no_exposition_is_one_warning(response: Callable[[], web.Response], words: str) -> None:
    sink, _ = _run(response, scrapes=3)
    assert len(sink.warnings) == 1
    assert words in sink.warnings[0]
    assert sink.samples == []


def test_nobody_answers() -> None:
    async def scenario() -> ListSink:
        sink, collector = ListSink(), MetricsCollector()
        await collector.attach(context(sink, ProcessSubject(metrics_url="http://127.0.0.1:1/metrics")))
        await collector.settle()
        await collector.detach()
        return sink

    sink = asyncio.run(scenario())
    assert len(sink.warnings) == 1
    assert "could not be scraped" in sink.warnings[0]


def test_unbounded_series_are_counted_and_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_MAX_STORED", 10)
    page = "".join(f'workqueue_depth{{name="q{i}"}} 1\n' for i in range(50)) + "".join(
        f'leak{{id="{i}"}} 1\n' for i in range(20_000)
    )
    sink, collector = _run(lambda: web.Response(text=page), scrapes=2)
    assert sink.last("metrics.series") == 20_050
    assert collector.queue_depth() == 50
    assert len({tuple(s.labels.items()) for s in sink.samples if s.metric == "workqueue_depth"}) == 10
    assert [warning for warning in sink.warnings if "more than 10 series" in warning] == sink.warnings
    assert len(sink.warnings) == 1


def read(text: str, exposition: Exposition | None = None) -> tuple[int, list[tuple[str, dict[str, str], float]]]:
    count, kept = asyncio.run((exposition or Exposition((b"",), {"replica": "0"})).read(text.encode()))
    return count, [(series.name, series.labels, value) for series, value in kept]


def test_what_is_kept_is_what_the_official_parser_reads() -> None:
    official = [
        (sample.name, {**sample.labels, "replica": "0"}, float(sample.value))
        for family in text_string_to_metric_families(PAGE)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    ]
    count, kept = read(PAGE)
    assert count == 11
    assert repr(kept) == repr(official)  # NaN is not equal to itself
    assert len(kept) == 9


def test_series_are_told_apart_by_their_whole_text_and_values_are_read_anew() -> None:
    exposition = Exposition((b"a", b"b"), {})
    assert read('a{x="} 1"} 5\na 6\nb{x="1",y="2"}\t7 1700000000000\nab 8\nc 9\na_created 3\n', exposition) == (
        6,
        [("a", {"x": "} 1"}, 5.0), ("a", {}, 6.0), ("b", {"x": "1", "y": "2"}, 7.0), ("ab", {}, 8.0)],
    )
    assert read('a{x="} 1"} +Inf\nb{x="1",y="3"} 1e3\na 7\n', exposition) == (
        3,
        [("a", {"x": "} 1"}, float("inf")), ("b", {"x": "1", "y": "3"}, 1000.0), ("a", {}, 7.0)],
    )


def test_no_url_is_a_clear_error() -> None:
    with pytest.raises(EnvironmentFault, match="no metrics URL"):
        asyncio.run(MetricsCollector().attach(context(ListSink(), ProcessSubject())))


def test_counters_go_on_over_a_restart() -> None:
    counted = [10]
    sink, collector = ListSink(), MetricsCollector()

    def body() -> web.Response:
        return web.Response(text=f"controller_runtime_reconcile_total {counted[0]}\nworkqueue_depth 4\n")

    async def use(url: str) -> None:
        await collector.attach(context(sink, ProcessSubject(runtime="go", metrics_url=url)))
        counted[0] = 12
        await collector.restarting()
        counted[0] = 99  # nothing is believed of what comes meanwhile
        await collector.settle()
        assert collector.queue_depth() is None
        counted[0] = 3
        await collector.restarted()
        await collector.settle()
        assert collector.queue_depth() == 4
        await collector.detach()

    asyncio.run(_serving(body, use))
    assert sink.last("reconciles.total") == 15
    assert 99 not in [value - 12 for value in sink.values("reconciles.total")]
    assert sink.warnings == []


def test_tokio_tasks_are_counted_where_its_runtime_is_exported() -> None:
    sink, collector = ListSink(), MetricsCollector()
    body = (
        "# TYPE tokio_num_alive_tasks gauge\ntokio_num_alive_tasks 41\ntokio_num_workers 2\ntokio_total_tasks_count 9\n"
    )

    async def use(url: str) -> None:
        await collector.attach(context(sink, ProcessSubject(runtime="other", metrics_url=url)))
        await collector.settle()
        await collector.detach()

    asyncio.run(_serving(lambda: web.Response(text=body), use))
    assert sink.last("tasks") == 41
    (event,) = sink.of("census")
    assert [(row["sort"], row["count"]) for row in event["rows"]] == [("tokio", 41)]
    assert "no names" in event["reasons"]["tokio"]
