"""What an API server's /metrics tells of its saturation; the text is as Kubernetes 1.36 writes it, shortened."""

from __future__ import annotations

import asyncio

from harness.collectors.apiserver import Saturation, read

TEXT = b"""\
# HELP apiserver_current_inflight_requests [STABLE] Maximal number of currently used inflight request limit.
# TYPE apiserver_current_inflight_requests gauge
apiserver_current_inflight_requests{request_kind="mutating"} 12
apiserver_current_inflight_requests{request_kind="readOnly"} 3
# HELP apiserver_request_duration_seconds [STABLE] Response latency distribution in seconds.
# TYPE apiserver_request_duration_seconds histogram
@secrets",scope="resource",subresource="",verb="POST",version="v1",le="0.005"} 7
@secrets",scope="resource",subresource="",verb="POST",version="v1",le="+Inf"} 9
@bundles",scope="resource",subresource="status",verb="POST",version="v1alpha1",le="0.005"} 1
@secrets",scope="cluster",subresource="",verb="WATCH",version="v1",le="0.005"} 4
@",scope="",subresource="/healthz",verb="GET",version="",le="0.005"} 3
apiserver_request_duration_seconds_sum{component="apiserver",resource="secrets",verb="POST"} 9
# HELP apiserver_request_total [STABLE] Counter of apiserver requests
# TYPE apiserver_request_total counter
apiserver_request_total{code="201",component="apiserver",group="",resource="secrets",verb="POST"} 40
apiserver_request_total{code="429",component="apiserver",group="",resource="secrets",verb="POST"} 5
apiserver_request_total{code="429",component="apiserver",group="",resource="secrets",verb="GET"} 2e+00
# HELP apiserver_response_sizes [STABLE] Response size distribution in bytes
# TYPE apiserver_response_sizes histogram
apiserver_response_sizes_bucket{group="",resource="secrets",scope="cluster",subresource="",verb="LIST",version="v1",le="1000"} 1
apiserver_response_sizes_sum{group="",resource="secrets",scope="cluster",subresource="",verb="LIST",version="v1"} 4000
apiserver_response_sizes_sum{group="",resource="secrets",scope="namespace",subresource="",verb="LIST",version="v1"} 96
apiserver_response_sizes_sum{group="",resource="secrets",scope="resource",subresource="",verb="GET",version="v1"} 7
# HELP apiserver_request_filter_duration_seconds [ALPHA] Request filter latency
# TYPE apiserver_request_filter_duration_seconds histogram
apiserver_request_filter_duration_seconds_bucket{filter="x",resource="x",verb="POST",le="0.005"} 1000
""".replace(b"@", b'apiserver_request_duration_seconds_bucket{component="apiserver",dry_run="",group="x",resource="')


def test_the_families_in_question_are_summed_by_verb() -> None:
    found = asyncio.run(read(TEXT))
    assert found == Saturation(
        {"mutating": 12.0, "readOnly": 3.0},
        7.0,
        {("create", "0.005"): 8.0, ("create", "+Inf"): 9.0},
        {"secrets": 4096.0},
    )  # watches last as long as their client wants, /healthz is no resource: neither says how fast the server is


def test_durations_are_read_only_where_they_are_wanted() -> None:
    assert asyncio.run(read(TEXT, durations=False)).durations == {}


def test_families_that_are_not_there_are_empty() -> None:
    assert asyncio.run(read(b"")) == Saturation({}, 0.0, {}, {})
