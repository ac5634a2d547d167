"""Run time and a wall clock that somebody sets: both clocks are simulated here."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.core import clock as module
from harness.core.clock import ClockOffset, RunClock

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Machine:
    """A machine whose time passes only in `wait`; its wall clock can be `set_by` some seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed_s = 0.0
        self.ahead_s = 0.0
        self.between_s = 0.0
        """Between two readings: the process was held up."""

        def monotonic_ns() -> int:
            self.passed_s += self.between_s
            return 5_000_000_000 + round(self.passed_s * 1e9)

        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return self.wall()

        monkeypatch.setattr(time, "monotonic_ns", monotonic_ns)
        monkeypatch.setattr(module, "datetime", Clock)
        self.run = RunClock(origin_ns=monotonic_ns())

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.passed_s + self.ahead_s)

    def pass_(self, seconds: float) -> None:
        """Time passes, and the harness looks at the clocks twice a second."""
        for _ in range(round(seconds * 2)):
            self.passed_s += 0.5
            assert self.run.look() is None


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0, -2.0, 1.5])
def test_stamps_before_and_after_a_clock_was_set_are_what_they_were(machine: Machine, step_s: float) -> None:
    machine.pass_(10)
    before = machine.wall()
    machine.passed_s += 0.2
    machine.ahead_s += step_s
    after = machine.wall()
    machine.passed_s += 0.1
    assert machine.run.look() == pytest.approx(step_s)
    soon = [machine.run.from_wall(stamp) / 1e9 for stamp in (before, after)]  # later they may be of two moments
    machine.pass_(10)
    later = machine.wall()
    assert [*soon, *(machine.run.from_wall(stamp) / 1e9 for stamp in (START, later))] == pytest.approx(
        [10.0, 10.2, 0.0, 20.3]
    )
    assert machine.run.wall() == START + timedelta(seconds=20.3), "as long as it lasted, whatever the clock says"


def test_a_clock_that_is_slewed_is_followed_and_not_said_to_be_set(machine: Machine) -> None:
    for _ in range(7200):
        machine.passed_s += 0.5
        machine.ahead_s += 0.00025
        assert machine.run.look() is None
    assert machine.run.from_wall(machine.wall()) / 1e9 == pytest.approx(3600.0, abs=0.02)


def test_a_process_that_was_held_up_between_two_readings_concludes_nothing(machine: Machine) -> None:
    machine.pass_(1)
    machine.between_s = 5.0
    assert machine.run.look() is None
    machine.between_s = 0.0
    assert machine.run.look() is None


def test_stamps_of_another_machine_come_with_its_offset(machine: Machine) -> None:
    machine.pass_(10)
    theirs = machine.wall() + timedelta(seconds=120)
    assert machine.run.from_wall(theirs, ClockOffset(120.0, 0.01)) / 1e9 == pytest.approx(10.0)
