"""Telling the ways of ending apart, from counters alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.core.handles import Ending, EndKind
from harness.process.child import Exit
from harness.subject.cgroups import Counters
from harness.subject.ending import ThrashWatch, Witness, classify
from harness.subject.kernel_log import OomKill

MIB = 2**20
BEFORE = Counters(
    usage_bytes=10 * MIB, peak_bytes=20 * MIB, oom_kills=3, limit_hits=100, limit_bytes=64 * MIB
)  # counters are cumulative: what was there before does not count
OOM = replace(BEFORE, peak_bytes=64 * MIB, oom_kills=4, limit_hits=140)
SIGKILLED = Exit(137, 9, 1, MIB, 0.5)


def end(
    exit_: Exit, after: Counters | None = BEFORE, node: tuple[int, int] | None = (5, 5), **more: Any
) -> tuple[str, str]:
    cgroup = None if after is None else (BEFORE, after)
    log = more.pop("log", ())
    ending = classify(exit_, Witness(cgroup, node, log), t_ns=42, **more)
    assert "\n" not in ending.sentence
    assert (ending.exit_code, ending.t_ns) == (exit_.code, 42)
    return ending.kind, ending.sentence


def test_oom_kill_at_its_limit() -> None:
    kind, sentence = end(SIGKILLED, OOM, node=(5, 6))
    assert kind == "oom_limit"
    assert sentence == ("OOM-killed at its memory limit: 1 OOM kill, limit reached 40 times, peak 64.0 MiB of 64.0 MiB")


def test_evidence_holds_the_counters_before_and_after() -> None:
    evidence: Any = classify(SIGKILLED, Witness((BEFORE, OOM), (5, 6)), t_ns=0).evidence
    assert evidence["cgroup"]["before"]["oom_kills"] == 3
    assert evidence["cgroup"]["after"]["oom_kills"] == 4
    assert evidence["node_oom_kills"] == {"before": 5, "after": 6}
    assert evidence["signals_sent"] == []


@pytest.mark.parametrize(
    "after",
    [
        replace(OOM, limit_hits=100),  # the limit was not hit
        replace(OOM, peak_bytes=40 * MIB),  # hit once, long ago, by page cache: the peak is far below
    ],
)
def test_an_oom_kill_without_evidence_of_the_limit_is_the_nodes(after: Counters) -> None:
    assert end(SIGKILLED, after, node=(5, 6))[0] == "oom_node"


def test_v2_counts_failures_of_the_limit_itself() -> None:
    before, after = replace(BEFORE, limit_ooms=2), replace(OOM, limit_ooms=2)
    assert classify(SIGKILLED, Witness((before, after)), t_ns=0).kind == "oom_node"
    assert classify(SIGKILLED, Witness((before, replace(after, limit_ooms=3))), t_ns=0).kind == "oom_limit"


def test_the_kernels_log_decides() -> None:
    own = [OomKill("/x/harness-r/subject-0", "/x/harness-r/subject-0")]
    assert end(SIGKILLED, replace(OOM, limit_hits=100), log=own)[0] == "oom_limit"
    for limit in (None, "/x"):
        assert end(SIGKILLED, OOM, log=[OomKill(limit, "/x/harness-r/subject-0")])[0] == "oom_node"


def test_137_alone_is_never_an_oom_kill() -> None:
    for after in (BEFORE, replace(BEFORE, limit_hits=140, peak_bytes=64 * MIB)):
        kind, sentence = end(SIGKILLED, after, node=(5, 9))  # kills elsewhere on the machine
        assert kind == "crash"
        assert "SIGKILL by somebody, not by the harness and not for memory" in sentence
    kind, sentence = end(Exit(137, None, 1, 1, 1))
    assert kind == "crash"
    assert "exit code 137" in sentence
    assert end(SIGKILLED, None, node=None)[0] == "crash"


def test_oom_kill_by_the_node_without_a_limit() -> None:
    kind, sentence = end(SIGKILLED, None, node=(5, 6))
    assert kind == "oom_node"
    assert "1 OOM kill on this machine" in sentence


def test_a_wrapper_that_reports_the_oom_kill_of_its_child() -> None:
    assert end(Exit(137, None, 1, 1, 1), OOM)[0] == "oom_limit"  # `sh -c`, `uv run`


@pytest.mark.parametrize(
    ("exit_", "words"),
    [
        (Exit(139, 11, 1, 1, 1), "a segmentation fault (SIGSEGV, exit code 139)"),
        (Exit(139, None, 1, 1, 1), "a segmentation fault"),
        (Exit(134, 6, 1, 1, 1), "an abort (SIGABRT, exit code 134)"),
        (Exit(133, 5, 1, 1, 1), "a trap"),
        (Exit(1, None, 1, 1, 1), "ended by itself with exit code 1"),
        (Exit(143, 15, 1, 1, 1), "killed with SIGTERM by somebody, not by the harness"),
        (Exit(164, 36, 1, 1, 1), "killed with signal 36"),
        (Exit(137, 9, 1, 1, 1, supervised=False), "its supervisor was killed"),
    ],
)
def test_crashes(exit_: Exit, words: str) -> None:
    kind, sentence = end(exit_)
    assert kind == "crash"
    assert words in sentence


def test_a_crash_after_the_oom_kill_of_a_child_says_so() -> None:
    kind, sentence = end(Exit(1, None, 1, 1, 1), OOM)
    assert kind == "crash"
    assert sentence.endswith("; before that, 1 OOM kill of its processes")


@pytest.mark.parametrize(
    "exit_", [Exit(0, None, 1, 1, 1, (15,)), Exit(143, 15, 1, 1, 1, (15,)), Exit(137, 9, 1, 1, 1, (15, 9))]
)
def test_our_signal(exit_: Exit) -> None:
    kind, sentence = end(exit_)
    assert kind == "our_signal"
    assert "ended by the harness with SIGTERM" in sentence


def test_an_oom_kill_while_we_asked_it_to_end_is_still_one() -> None:
    assert end(replace(SIGKILLED, sent=(15,)), OOM)[0] == "oom_limit"
    assert end(replace(SIGKILLED, sent=(15, 9)), OOM)[0] == "our_signal"


def test_clean_end() -> None:
    assert end(Exit(0, None, 1, 1, 1)) == ("clean", "ended by itself with exit code 0")


def test_thrashing() -> None:
    kind, sentence = end(Exit(137, 9, 1, 1, 1, (9,)), replace(OOM, oom_kills=3), thrashed_s=31.0)
    assert kind == "thrashing"
    assert "31 s at its memory limit without progress" in sentence
    assert end(Exit(137, 9, 1, 1, 1, (9,)), thrashed_s=29.0)[0] == "our_signal"


def test_thrash_watch() -> None:
    watch = ThrashWatch()
    limit = 100 * MIB

    def feed(t: float, mib: int, progress: float | None, alive: bool = True) -> float:
        return watch.feed(t, mib * MIB, limit, progress, alive=alive)

    assert feed(0, 50, 1) == 0  # far from the limit
    assert feed(10, 50, 1) == 0
    assert feed(20, 99, 1) == 0
    assert feed(25, 98, 1) == 5
    assert feed(30, 99, None) == 10  # /metrics does not answer any more: that is no progress
    assert feed(31, 99, 2) == 0  # progress
    assert feed(51, 99, 2) == 20
    assert feed(52, 60, 2) == 0  # memory went down
    assert feed(60, 99, 2) == 0
    assert feed(65, 99, 2) == 5
    assert feed(66, 99, 2, alive=False) == 0
    assert watch.longest_s == 20


@pytest.mark.parametrize(
    ("kind", "exit_code", "by", "abrupt"),
    [("oom_limit", 137, 9, True), ("crash", 139, 11, True), ("thrashing", 137, None, True), ("thrashing", 143, 15, True),
     ("thrashing", 143, None, False), ("thrashing", 0, None, False), ("clean", 0, None, False)],
)  # fmt: skip
def test_only_what_could_not_tidy_up_left_what_it_held(
    kind: EndKind, exit_code: int, by: int | None, abrupt: bool
) -> None:
    """A subject that thrashed may still have obeyed SIGTERM, and given its memory back."""
    assert Ending(kind, exit_code, 0, "", {"signal": by}).abrupt is abrupt
