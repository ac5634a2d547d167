"""Memory by a kubelet's word, from a list of samples of the test."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from harness.collectors.kubelet import KubeletSeries
from harness.core.clock import ClockOffset
from harness.core.handles import ContainerStats
from tests.collecting import FakeCgroup, ListSink, ProcessSubject, context

MIB = 1 << 20


class Kubelet:
    """Answers with one sample after another, then with nothing."""

    def __init__(self, *samples: ContainerStats | None, failure: str | None = None) -> None:
        self.failure = failure
        self._samples = list(samples)

    async def read(self) -> ContainerStats | None:
        return self._samples.pop(0) if self._samples else None


def asked(sink: ListSink, subject: Any, times: int, clock: ClockOffset | None = None) -> None:
    async def use() -> None:
        series = KubeletSeries("memory", context(sink, subject, cluster=SimpleNamespace(clock=clock)))
        for _ in range(times):
            await series.take()
        await series.stop()

    asyncio.run(use())


def sample(sink: ListSink, at_s: float, mib: int, rss: int | None = 1) -> ContainerStats:
    return ContainerStats(sink.clock.started_at + timedelta(seconds=at_s), mib * MIB, (mib + 1) * MIB, rss, 0.5)


def test_samples_carry_the_kubelets_time_and_the_record_says_how_far_apart_they_were() -> None:
    sink = ListSink()
    kubelet = Kubelet(sample(sink, 1, 20), None, sample(sink, 11, 30), sample(sink, 31, 40))
    asked(sink, ProcessSubject(stats=kubelet), 5)
    assert sink.values("memory.working_set") == [20 * MIB, 30 * MIB, 40 * MIB]
    assert sink.values("memory.cgroup") == [21 * MIB, 31 * MIB, 41 * MIB]
    assert [s.t_ns for s in sink.samples if s.metric == "memory.rss"] == [pytest.approx(t * 1e9) for t in (1, 11, 31)]
    (told,) = sink.of("kubelet_stats")
    assert (told["samples"], told["interval_s"], told["longest_gap_s"], told["stands_in"]) == (3, 15.0, 20.0, True)


def test_the_time_of_a_node_whose_clock_is_ahead_of_ours_is_told_by_ours() -> None:
    sink = ListSink()
    asked(sink, ProcessSubject(stats=Kubelet(sample(sink, 131, 20))), 1, ClockOffset(120.0, 0.01))
    assert [s.t_ns for s in sink.samples if s.metric == "memory.rss"] == [pytest.approx(11e9)]


def test_where_the_cgroup_is_seen_the_kubelet_only_stands_beside_it() -> None:
    sink = ListSink()
    asked(sink, ProcessSubject(stats=Kubelet(sample(sink, 1, 20)), cgroup=FakeCgroup()), 1)
    assert {item.metric for item in sink.samples} == {"memory.working_set"}
    assert sink.of("kubelet_stats")[0]["stands_in"] is False


def test_what_it_does_not_tell_is_not_written() -> None:
    sink = ListSink()
    asked(sink, ProcessSubject(stats=Kubelet(sample(sink, 1, 20, rss=None))), 1)
    assert sink.last("memory.rss") is None


def test_silence_is_a_warning_once() -> None:
    sink = ListSink()
    asked(sink, ProcessSubject(stats=Kubelet(failure="it answered 403")), 3)
    (warning,) = sink.warnings
    assert "it answered 403" in warning
    assert sink.of("kubelet_stats")[0]["interval_s"] is None
