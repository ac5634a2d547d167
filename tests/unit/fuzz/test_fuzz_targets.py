"""A few cases of every target, the same each time. `make fuzz` runs a hundred thousand others."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings

from harness.core.errors import HarnessError
from tests.fuzz import property as fuzz
from tests.fuzz.all_targets import TARGETS
from tests.fuzz.property import Broken, Target, check

_CASES = 25
_DEAR = 0.1
"""Targets of a smaller share take tens of milliseconds a case."""


@pytest.mark.parametrize("name", TARGETS)
def test_bad_input_is_one_line_or_a_result(name: str) -> None:
    target = TARGETS[name]
    endings: Counter[str] = Counter()

    @settings(
        max_examples=_CASES if target.share > _DEAR else 4, derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(target.inputs)
    def holds(value: object) -> None:
        endings[check(target, value)] += 1

    holds()
    assert endings.total() >= 4


def _raises(error: BaseException) -> Target:
    def parse(_: object) -> None:
        raise error

    return Target("x", TARGETS["acks"].inputs, parse, (ValueError,))


def test_the_property_tells_good_from_bad() -> None:
    assert check(_raises(ValueError("x")), b"") == "ValueError"
    assert check(_raises(HarnessError("x")), b"") == "HarnessError"
    with pytest.raises(KeyError):
        check(_raises(KeyError("x")), b"")
    with pytest.raises(Broken, match="no line for people"):
        check(_raises(HarnessError("")), b"")


def test_what_hangs_or_takes_all_memory_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def forever(_: object) -> None:
        while True:
            try:
                sum(range(1000))
            except Exception:  # noqa: BLE001 # what a parser may do
                return

    monkeypatch.setattr(fuzz, "CPU_S", 0.05)
    with pytest.raises(Broken, match="CPU time"):
        check(Target("x", TARGETS["acks"].inputs, forever), b"")
    monkeypatch.setattr(fuzz, "CPU_S", 60)
    monkeypatch.setattr(fuzz, "MEMORY_BYTES", 1 << 20)
    with pytest.raises(Broken, match="of memory"):
        check(Target("x", TARGETS["acks"].inputs, lambda _: len(b"x" * (fuzz.peak_bytes() + (64 << 20)))), b"")
