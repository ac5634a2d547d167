"""Rates that change, sizes with heavy tails, populations, and steps that work on what is there."""

from __future__ import annotations

import itertools
import json
import random
from statistics import median
from typing import Any

import pytest

from loadgen.actions import Request, action_of
from loadgen.builders import ObjectBuilder
from loadgen.fields import Fields, PlanError
from loadgen.phaserun import PhaseRun
from loadgen.plan import parse
from loadgen.rates import Burst, Poisson, Ramp, Steps, UntilFailure
from loadgen.rounds import Round, steps_of
from loadgen.schedule import SECOND_NS, times_of
from loadgen.sizes import size_of
from loadgen.verdicts import Answer, judge
from tests.unit.loadgen.loadgen_plans import phase, plan


def offsets(rate: Any, count: int, seed: str = "7/x") -> list[float]:
    times = times_of(rate, count, seed)
    return [(times.offset_ns(index) or 0) / SECOND_NS for index in range(count)]


def test_poisson_arrivals_follow_the_seed_alone() -> None:
    assert offsets(Poisson(50.0), 500) == offsets(Poisson(50.0), 500)
    assert offsets(Poisson(50.0), 500) != offsets(Poisson(50.0), 500, "8/x")
    drawn = offsets(Poisson(50.0), 5000)
    gaps = [after - before for before, after in itertools.pairwise(drawn)]
    assert min(gaps) >= 0
    assert sum(gaps) / len(gaps) == pytest.approx(1 / 50, rel=0.1)
    # of an exponential distribution the median is ln 2 of the mean; a constant rate would have the mean
    assert median(gaps) == pytest.approx(0.693 / 50, rel=0.1)


def test_a_ramp_goes_up_in_a_straight_line_and_stays() -> None:
    times = offsets(Ramp(10.0, 30.0, 2.0), 100)
    assert sum(at < 1.0 for at in times) == 15
    assert sum(at < 2.0 for at in times) == 40
    assert times[40:43] == pytest.approx([2.0, 2.0 + 1 / 30, 2.0 + 2 / 30])
    assert offsets(Ramp(20.0, 20.0, 1.0), 3) == pytest.approx([0.0, 0.05, 0.1])
    assert sum(at < 2.0 for at in offsets(Ramp(30.0, 10.0, 2.0), 100)) == 40


def test_steps_and_bursts() -> None:
    assert offsets(Steps((2.0, 4.0), 1.0), 7) == pytest.approx([0.0, 0.5, 1.0, 1.25, 1.5, 1.75, 2.0])
    assert offsets(Burst(2, 5.0), 5) == [0.0, 0.0, 5.0, 5.0, 10.0]


@pytest.mark.parametrize(
    ("rate", "count", "asked"),
    [
        (200.0, 10, 200.0),
        (None, 10, None),
        (Burst(100, 5.0), 150, 15.0),
        (Steps((2.0, 4.0), 1.0), 6, 3.0),
        (Ramp(10.0, 30.0, 2.0), 40, 20.0),
        (UntilFailure(1.0, 1.0, 5.0, 1.0), 10, None),
    ],
)
def test_what_is_asked_for_is_the_average_of_the_schedule(rate: Any, count: int, asked: float | None) -> None:
    per_s = times_of(rate, count, "s").requested_per_s
    assert per_s == (None if asked is None else pytest.approx(asked))


def test_a_paced_churn_rests_between_its_cycles() -> None:
    times = times_of(10.0, 8, "s", pause_every=4, pause_s=2.0)
    assert [(times.offset_ns(index) or 0) / SECOND_NS for index in (3, 4)] == [0.3, 2.4]
    assert times.requested_per_s == pytest.approx(8 / 2.8)


def sizes(value: dict[str, Any], count: int) -> list[int]:
    size = size_of(Fields({"size": value}, "p"), "size")
    return [size(random.Random(f"7/x/{index}")) for index in range(count)]


def test_sizes_have_their_median_a_heavy_tail_and_an_end() -> None:
    drawn = sizes({"lognormal": {"median": 3000, "sigma": 1.0}, "min": 1, "max": 20_000}, 4000)
    assert median(drawn) == pytest.approx(3000, rel=0.1)
    assert max(drawn) == 20_000
    assert sum(drawn) / len(drawn) > 1.3 * median(drawn)
    heavy = sizes({"pareto": {"smallest": 100, "alpha": 0.5}, "min": 1, "max": 900_000}, 4000)
    assert min(heavy) >= 100
    assert max(heavy) == 900_000
    assert median(heavy) == pytest.approx(400, rel=0.15)


def made(action: str, count: int, params: dict[str, Any], **changes: Any) -> tuple[Any, list[Request]]:
    """A phase after one that creates 10 Secrets in two namespaces, and its requests."""
    paths = ["/api/v1/namespaces/a/secrets", "/api/v1/namespaces/b/secrets"]
    document = plan(
        phase("create-Secret", count=10, paths=paths), phase("it", action=action, count=count, params=params, **changes)
    )
    parsed = parse(json.loads(json.dumps(document)))
    action_ = action_of(parsed, parsed.phases["it"])
    return parsed, [action_(index) for index in range(count)]


def part(*ranges: list[int]) -> list[dict[str, Any]]:
    return [{"phase": "create-Secret", "indexes": list(ranges)}]


def test_objects_are_found_where_they_were_made() -> None:
    parsed, requests = made("delete", 3, {"objects": part([1, 3], [9, 10])})
    assert [(r.verb, r.method, r.path) for r in requests] == [
        ("delete", "DELETE", "/api/v1/namespaces/b/secrets/create-secret-k4x7q-00001"),
        ("delete", "DELETE", "/api/v1/namespaces/a/secrets/create-secret-k4x7q-00002"),
        ("delete", "DELETE", "/api/v1/namespaces/b/secrets/create-secret-k4x7q-00009"),
    ]
    built = ObjectBuilder(parsed, parsed.phases["create-Secret"]).build(1)
    assert "namespace" not in built["metadata"]


def test_reads_draw_by_seed_and_patches_merge() -> None:
    _, first = made("read", 40, {"objects": part([0, 10])})
    _, again = made("read", 40, {"objects": part([0, 10])})
    assert first == again
    assert {request.verb for request in first} == {"get"}
    assert len({request.name for request in first}) > 5
    _, patches = made("patch", 2, {"objects": part([0, 2]), "body": {"metadata": {"labels": {"a": "b"}}}})
    assert [json.loads(r.body) for r in patches] == [{"metadata": {"labels": {"a": "b"}}}] * 2


def test_a_churn_creates_again_what_it_has_deleted_byte_for_byte() -> None:
    parsed, requests = made("churn", 12, {"objects": part([0, 10]), "share": 3, "cycles": 2, "delay_s": 0})
    create = action_of(parsed, parsed.phases["create-Secret"])
    originals = {request.name: request for request in map(create, range(10))}
    for cycle in (requests[:6], requests[6:]):
        deleted, created = cycle[:3], cycle[3:]
        assert [r.verb for r in cycle] == ["delete"] * 3 + ["create"] * 3
        assert [r.name for r in deleted] == [r.name for r in created]
        assert [originals[r.name] for r in created] == created
    assert {r.name for r in requests[:3]} != {r.name for r in requests[6:9]}


def test_a_paged_list_follows_its_pages_and_a_watch_asks_for_a_stream() -> None:
    params = {"page_size": 2, "selector": {"a": "b"}, "metadata_only": True}
    _, (request,) = made("list", 1, params)
    assert request.path.endswith("/secrets?labelSelector=a%3Db&limit=2")
    assert request.accept.startswith("application/json;as=PartialObjectMetadataList")
    assert request.follow is not None
    following = request.follow(b'{"metadata": {"continue": "to/ken"}}')
    assert following is not None
    assert following.path.endswith("&limit=2&continue=to%2Fken")
    assert following.follow is not None
    assert following.follow(b'{"metadata": {}}') is None
    _, (whole,) = made("list", 1, {})
    assert (whole.path.endswith("/secrets"), whole.follow) == (True, None)
    _, (watch,) = made("watch", 1, {})
    assert watch.path.endswith("/secrets?watch=true")


@pytest.mark.parametrize(
    ("action", "count", "params", "message"),
    [
        ("delete", 2, {"objects": part([0, 3])}, "plan.phases[1].params.objects: must be as many as count, 2, are 3"),
        ("delete", 2, {"objects": part([9, 11])}, "must be ascending ranges [first, end] within 0 to 10"),
        ("delete", 1, {"objects": [{"phase": "it", "indexes": [[0, 1]]}]}, "must be the name of a create phase"),
        ("churn", 5, {"objects": part([0, 10]), "share": 2, "cycles": 1, "delay_s": 0}, "count 2 x share x cycles"),
        ("list", 1, {"page_size": 0}, "plan.phases[1].params.page_size: must be at least 1, is 0"),
    ],
)
def test_a_wrong_phase_is_one_line(action: str, count: int, params: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError) as caught:
        made(action, count, params)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        ({"ramp": [1.0], "over_s": 1.0}, "plan.phases[0].rate.ramp: must be two rates, [first, last]"),
        ({"steps": [1.0, 0], "each_s": 1.0}, "plan.phases[0].rate.steps: must be a list of numbers above 0"),
        ({"poisson": 1.0, "x": 1}, "plan.phases[0].rate: unknown key 'x'; known are poisson"),
        ({"until_failure": 9.0, "to": 9.0, "by": 1.0, "each_s": 1.0}, "the first step alone needs 9 requests"),
    ],
)
def test_a_wrong_rate_is_one_line(rate: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse(plan(phase(rate=rate)))
    assert message in str(caught.value)


def test_a_step_is_kept_or_not() -> None:
    step = Round(100, 200, rate=50.0)
    assert step.sustained(100, 0, 1_980_000_000)
    assert step.sustained(99, 1, 1_980_000_000)
    assert not step.sustained(98, 2, 1_980_000_000)
    assert not step.sustained(100, 0, 2_200_000_000)
    # a step that would be cut short is left out: it proves nothing
    assert [each.end for each in steps_of(UntilFailure(10.0, 10.0, 50.0, 1.0), 59)] == [10, 30]


def carried_out(failing_from: int) -> PhaseRun:
    """A step_until_failure of 10, 20, 30 per second whose requests fail from an index on, on a clock of its own."""
    clock = [0]
    parsed = parse(plan(phase(count=60, rate={"until_failure": 10.0, "to": 30.0, "by": 10.0, "each_s": 1.0})))
    item = parsed.phases["create-Secret"]
    run = PhaseRun(item, action_of(parsed, item), lambda: clock[0])
    run.begin()
    while (index := run.claim()) is not None:
        clock[0] = max(clock[0], run.intended_ns(index) or 0)
        run.settle("no" if index >= failing_from else None, clock[0], clock[0])
    return run


def test_it_steps_up_until_a_step_is_not_kept_and_then_sends_no_more() -> None:
    run = carried_out(failing_from=35)
    assert (run.sustained_per_s, run.failed_at_per_s) == (20.0, 30.0)
    whole = carried_out(failing_from=60)
    assert (whole.sustained_per_s, whole.failed_at_per_s) == (30.0, None)
    first = carried_out(failing_from=0)
    assert (first.sustained_per_s, first.failed_at_per_s) == (None, 10.0)
    line = first.ended_line()
    assert (line["requested"], line["failed"], line["sustained_per_s"]) == (10, 10, None)


def test_a_name_that_is_still_being_deleted_is_waited_for() -> None:
    def answer(message: str) -> Answer:
        return Answer(409, json.dumps({"reason": "AlreadyExists", "message": message}).encode())

    assert judge("create", answer("object is being deleted: secrets x already exists"), doubtful=False).retry
    assert not judge("create", answer("secrets x already exists"), doubtful=False).retry
    gone = Answer(404, b'{"reason": "NotFound", "message": "gone"}')
    assert judge("delete", gone, doubtful=True).error is None
    assert judge("delete", gone, doubtful=False).error is not None
