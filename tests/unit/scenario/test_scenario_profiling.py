"""`profile:` of a scenario: words, windows, triggers, and each mistake as one line with its place and what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import ScenarioError
from harness.scenario.load import load
from harness.scenario.model import Scenario
from harness.scenario.profiling import parse_trigger
from harness.scenario.resolve import resolve
from tests.unit.scenario.scenario_files import DESIGN, error_of

_WITHOUT_LIMIT = DESIGN.replace(', memory_limit: "{memory_limit}"', "").replace(", memory_limit: 512Mi", "")
_KNOWN = "memory.rss, memory.anon, memory.cgroup, threads, fds, tasks, loop.lag, queue.depth, latency.PROBE.p99"


def _resolved(directory: Path, text: str, /, **sets: str) -> Scenario:
    path = directory / "x.yaml"
    path.write_text(f"{DESIGN}profile: {text}\n")
    return resolve(load(path), sets=sets)


def test_windows_and_triggers_are_kept_and_read_back_from_a_record(tmp_path: Path) -> None:
    text = "{windows: [flip], triggers: [memory.rss > 80% of limit, tasks >= 500, latency.flip.p99 > 5s], length: 5s}"
    scenario = _resolved(tmp_path, text)
    assert scenario.profiling.windows == ["flip"]
    assert [trigger.text for trigger in scenario.profiling.armed] == [
        "memory.rss > 80% of limit", "tasks >= 500", "latency.flip.p99 > 5s",
    ]  # fmt: skip
    assert (scenario.profiling.length, scenario.profiling.cool_down, scenario.profiling.at_most) == (5.0, 60.0, 5)
    assert Scenario.model_validate(scenario.model_dump(mode="json")) == scenario


def test_a_word_is_enough(tmp_path: Path) -> None:
    assert [trigger.text for trigger in _resolved(tmp_path, "on-demand").profiling.armed] == [
        "memory.rss > 80% of limit"
    ]
    assert not _resolved(tmp_path, "continuous").profiling.on_demand
    assert not _resolved(tmp_path, "on-demand", profile="continuous").profiling.on_demand


def test_a_window_alone_has_no_trigger(tmp_path: Path) -> None:
    assert _resolved(tmp_path, "{windows: [create-GitRepo]}").profiling.armed == []


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("on-demnd", "18:10: unknown value 'on-demnd'; did you mean 'on-demand'? (sets of values are under profiles)"),
        ("{windows: [flip, flop]}", "18:27: no phase 'flop' to open a window for; did you mean 'flip'?"),
        ("{windows: [flip, flip]}", "18:20: window 'flip' is named twice; remove one"),
        ("{trigers: [tasks > 5]}", "18:11: unknown key 'trigers'; did you mean 'triggers'?"),
        ("{triggers: [memory.rs > 5Mi]}", "18:22: no trigger can be about 'memory.rs'; did you mean 'memory.rss'?"),
        ("{triggers: [tasks > 5, memory.rss.peak > 5Mi]}",
         "18:33: no trigger can be about 'memory.rss.peak'; did you mean 'memory.rss'?"),
        ("{triggers: [memory.rss > 80%]}", "18:22: '80%' is a share of nothing; did you mean '80% of limit'?"),
        ("{triggers: [memory.rss > 120% of limit]}", "18:22: '120% of limit' is not between 0% and 100%"),
        ("{triggers: [tasks > 80% of limit]}",
         "18:22: tasks has no limit to be a share of; write a value, such as 500"),
        ("{triggers: [latency.flop.p99 > 5s]}",
         "18:22: no probe 'flop' for metric 'latency.flop.p99'; did you mean 'flip'?"),
        ("{triggers: [latency.flip.p98 > 5s]}",
         "18:22: no trigger can be about 'latency.flip.p98'; write latency.PROBE.p99 (or p50, p95, max)"),
        ("{triggers: [latency.flip.p99 > 5]}",
         "18:22: '5' lacks a unit; write one of ns, us, µs, ms, s, m, min, h"),
        ("{triggers: [tasks < 5]}",
         "18:22: operator '<' in 'tasks < 5': a trigger fires when something has grown; use > or >="),
        ("{triggers: [oom.kills > 0]}",
         f"18:22: no trigger can be about 'oom.kills'; it is known only afterwards; while a run goes on: {_KNOWN}"),
        ("{triggers: [tasks]}", "18:22: 'tasks' is not METRIC > VALUE; write it as memory.rss > 80% of limit"),
        ("{triggers: [tasks > 0]}", "18:22: '0' is not above 0"),
        ("{mode: continuous, windows: [flip]}",
         "18:38: windows are of mode: on-demand; continuous looks all the time"),
        ("{windows: [flip], length: 5s}",
         "18:36: length is about windows that triggers open, and there are no triggers"),
        ("on-demand\nmemray: launch",
         ("19:9: profile: on-demand takes its profiles in windows by itself, and memray would look all the time; "
          "remove memray, or write profile: continuous")),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_place_and_what_was_meant(tmp_path: Path, profile: str, message: str) -> None:
    assert error_of(tmp_path, f"{DESIGN}profile: {profile}\n") == f"x.yaml:{message}"


def test_a_share_of_no_limit_is_refused(tmp_path: Path) -> None:
    assert error_of(tmp_path, f"{_WITHOUT_LIMIT}profile: on-demand\n") == (
        "x.yaml:18:10: on-demand alone means the trigger 'memory.rss > 80% of limit', and there is no limit; "
        "set subject.memory_limit, or name windows or triggers"
    )
    assert "needs a memory limit" in error_of(
        tmp_path, f"{_WITHOUT_LIMIT}profile: {{triggers: [memory.rss > 80% of limit]}}\n"
    )


def test_a_mistake_on_the_command_line_is_at_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"^--set profile=\{windows: \[flup\]\}: no phase 'flup'"):
        _resolved(tmp_path, "continuous", profile="{windows: [flup]}")


def test_a_trigger_whose_witness_is_off_is_refused(tmp_path: Path) -> None:
    text = DESIGN.replace("collect: [memory, oom, tasks,", "collect: [memory, oom,")
    assert "comes from collector 'tasks', which is not on" in error_of(
        tmp_path, f"{text}profile: {{triggers: [tasks > 5]}}\n"
    )


def test_when_a_trigger_fires() -> None:
    more, share = parse_trigger("tasks > 5"), parse_trigger("memory.rss >= 50% of limit")
    assert [more.fires(value, None) for value in (5, 5.1)] == [False, True]
    assert [share.fires(value, 100) for value in (49, 50)] == [False, True]
    assert not share.fires(1e12, None)
