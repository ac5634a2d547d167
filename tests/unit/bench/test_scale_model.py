"""The model of ten and a hundred workers, against sums made by hand."""

from __future__ import annotations

import pytest

from tests.bench import scale
from tests.bench.rounds import Rounds
from tests.bench.scale_model import NAMES, Inputs, Range, forecast, inputs_of
from tests.bench.scaling import Costs
from tests.bench.sheet import Sheet
from tests.bench.statistics import Summary
from tests.bench.suite import Outcome, Suite
from tests.bench.surroundings import Shares


def exactly(value: float) -> Range:
    return Range(value, value, value)


INPUTS = Inputs(
    generator=exactly(0.5e-3),
    apiserver=exactly(1e-3),
    etcd=exactly(0.2e-3),
    event=exactly(0.3e-3),
    stored=exactly(4096),
)


def test_ten_workers_meet_the_weakest_first() -> None:
    made = forecast(INPUTS, 10, 16, 8 * 2**30)
    assert made.offered.middle == pytest.approx(18_000)  # 10 x 0.9 / 0.5 ms
    assert [(each.name, round(each.capacity.middle)) for each in made.carriers] == [
        ("harness, one thread", 3000),
        ("etcd, one core", 5000),
        ("API server with 16 cores", 16_000),
    ]
    assert len(made.breaks) == 3
    assert made.certain
    assert made.cores.middle == pytest.approx(18)
    assert made.quota_s.middle == pytest.approx(8 * 2**30 / (3000 * 4096))


def test_one_worker_is_carried_by_all() -> None:
    made = forecast(INPUTS, 1, 16, 8 * 2**30)
    assert made.breaks == []
    assert made.quota_s.middle == pytest.approx(8 * 2**30 / (1800 * 4096))


def test_ranges_that_overlap_are_not_certain() -> None:
    inputs = Inputs(**{**vars_of(INPUTS), "event": Range(0.15e-3, 0.3e-3, 0.6e-3)})
    made = forecast(inputs, 10, 16, 8 * 2**30)
    assert made.carriers[0].name == "harness, one thread"
    assert made.carriers[0].capacity == Range(0.9 / 0.6e-3, 0.9 / 0.3e-3, 0.9 / 0.15e-3)  # dear is slow
    assert not made.certain


def vars_of(inputs: Inputs) -> dict[str, Range]:
    return {name: getattr(inputs, name) for name in ("generator", "apiserver", "etcd", "event", "stored")}


def test_inputs_come_from_figures_or_not_at_all() -> None:
    found = {place: Summary(1.0, 2.0, 3.0) for place in NAMES.values()}
    assert inputs_of(found) == Inputs(**dict.fromkeys(NAMES, Range(1.0, 2.0, 3.0)))
    found.popitem()
    assert inputs_of(found) is None


def suite_of(*places: tuple[str, str]) -> Suite:
    outcomes = []
    for benchmark in scale.BENCHMARKS:
        sheet = Sheet()
        for name, figure in places:
            if name == benchmark.name:
                sheet.add(figure, "seconds", 1e-3)
        outcomes.append(Outcome(benchmark, sheet, Rounds(1), 1.0, 0.0, Shares(0.0, 0.0)))
    return Suite(outcomes)


def test_the_model_is_told_or_what_it_lacks() -> None:
    lines = list(scale.told(suite_of(*NAMES.values())))
    assert lines[0].startswith("model, 10 workers: they could send 9,000/s")
    assert any("first: harness, one thread" in line for line in lines)
    (lacking,) = scale.told(suite_of(("workers", "CPU per create, etcd, 1 worker")))
    assert lacking == "model: not made; it needs the figures of overhead, storage, workers"


def test_the_generators_cpu_is_that_between_two_borders() -> None:
    costs = Costs()
    for t_ns, value in ((5, 1.0), (10, 1.5), (20, 2.0), (31, 4.0), (50, 9.0)):
        costs.sample("load", "load.cpu", value, t_ns=t_ns)
    assert costs.spent(10, 31) == 2.5
    assert costs.spent(12, 40) == 2.5
