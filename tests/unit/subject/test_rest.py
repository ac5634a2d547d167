"""When a subject rests: it neither uses a CPU nor waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.subject import rest


class Threads:
    """A `/proc` with one process of one thread, which changes each time it is looked at."""

    def __init__(self, directory: Path, delay_ns: Callable[[int], int], state: Callable[[int], str]) -> None:
        self._task = directory / "7" / "task" / "7"
        self._task.mkdir(parents=True)
        self._delay_ns, self._state = delay_ns, state
        self.looks = 0

    def pids(self) -> list[int]:
        """What is looked at; before it is, time goes on."""
        self.looks += 1
        (self._task / "schedstat").write_text(f"1000 {self._delay_ns(self.looks)} 3\n")
        (self._task / "stat").write_text(f"7 (a (b) c) {self._state(self.looks)} 1 7 7\n")
        return [7]


def looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: Threads) -> int:
    monkeypatch.setattr(rest, "PROC", tmp_path)
    monkeypatch.setattr(rest, "REST_S", 0.01)
    monkeypatch.setattr(rest, "_cpu_seconds", lambda _: 0.0)
    asyncio.run(rest.at_rest(threads.pids, 60))
    return threads.looks


def test_who_sleeps_rests_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert looks(tmp_path, monkeypatch, Threads(tmp_path, lambda _: 5, lambda _: "S")) == 3


def test_who_was_kept_from_a_cpu_does_not_rest_until_that_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = Threads(tmp_path, lambda look: min(look, 10) * 10**9, lambda _: "S")
    assert looks(tmp_path, monkeypatch, waited) > 10


@pytest.mark.parametrize("state", ["R", "D"])
def test_who_waits_just_now_does_not_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    waiting = Threads(tmp_path, lambda _: 5, lambda look: state if look < 9 else "S")
    assert looks(tmp_path, monkeypatch, waiting) >= 9


def test_without_such_an_account_the_cpu_time_alone_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "PROC", tmp_path)
    monkeypatch.setattr(rest, "REST_S", 0.01)
    asyncio.run(rest.at_rest(lambda: [7], 60))
