"""Who gets which CPUs."""

from __future__ import annotations

import pytest

from harness.experiment import pinning


@pytest.mark.parametrize(
    ("cpus", "subject", "load"),
    [(range(4), [0, 1], [3]), ([2, 5, 7, 9, 11], [2, 5], [11]), (range(16), list(range(8)), [15])],
)
def test_subject_and_load_share_no_cpu(cpus: range, subject: list[int], load: list[int]) -> None:
    found = pinning.plan(wanted=True, available=frozenset(cpus))
    assert (found.subject, found.load, found.reason) == (subject, load, None)


def test_few_cpus_are_not_divided_and_the_record_says_why() -> None:
    found = pinning.plan(wanted=True, available=frozenset(range(3)))
    assert (found.subject, found.load) == (None, None)
    assert found.reason == "3 CPUs are too few to separate subject and load; from 4 on they are"


def test_it_can_be_switched_off() -> None:
    assert pinning.plan(wanted=False, available=frozenset(range(8))).reason == "switched off by --no-pin"


@pytest.mark.parametrize(("cpus", "load"), [(4, [3]), (8, [6, 7]), (16, [13, 14, 15])])
def test_each_load_worker_has_a_cpu_while_one_is_left_for_the_control_plane(cpus: int, load: list[int]) -> None:
    found = pinning.plan(wanted=True, load_workers=2 if cpus == 8 else 3, available=frozenset(range(cpus)))
    assert found.load == load
