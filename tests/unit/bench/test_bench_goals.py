"""Goals of the benchmarks: met, missed, or not measured; and the order of the two sides."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Self, cast

import pytest

from tests.bench import creates, goals
from tests.bench.rounds import Rounds
from tests.bench.senders import Sent
from tests.bench.sheet import Sheet


@pytest.mark.parametrize(
    ("ratio", "cpu", "met", "words"),
    [
        (0.95, 0.3e-3, [True, True], "goal met: rate, load generator / bare loop 0.95, at least 0.9"),
        (0.89, 0.4e-3, [False, False], "goal MISSED: rate, load generator / bare loop 0.89, at least 0.9"),
        (None, 0.35e-3, [None, True], "goal not measured: rate, load generator / bare loop"),
    ],
)
def test_a_goal_is_judged_by_the_median(ratio: float | None, cpu: float, met: list[bool | None], words: str) -> None:
    sheet = Sheet()
    if ratio is not None:
        sheet.extend(creates.RATIO, "ratio", [ratio, 0.1, 2.0])
    sheet.extend(creates.CPU_PER_CREATE, "seconds", [cpu])
    judged = goals.judge("creates", sheet)
    assert [each.met for each in judged] == met
    assert judged[0].sentence == words
    assert goals.judge("cluster", sheet) == []


def test_the_sides_take_turns_at_being_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    async def one(_self: Any, kind: type, place: str, count: int, *, seed: int) -> tuple[Sent, None]:
        order.append(kind.__name__)
        return Sent(count, 0, 100.0 if kind is creates.Loadgen else 200.0, 1.0, 1, 0.1, None), None

    monkeypatch.setattr(creates.Sides, "one", one)
    monkeypatch.setattr(creates.embedded, "start", _cluster)
    for name in ("prepare", "bind"):
        monkeypatch.setattr(creates, name, _nothing)
    monkeypatch.setattr(creates, "client_files", lambda _: None)
    monkeypatch.setattr(creates.Api, "connect", _cluster)
    sheet = Sheet()
    asyncio.run(creates.CreatesBenchmark().run(Rounds(3), tmp_path, cast("Any", _Quiet()), sheet))
    warm_up, *rounds = order
    assert warm_up == "BareLoop"
    assert rounds == ["Loadgen", "BareLoop", "BareLoop", "Loadgen", "Loadgen", "BareLoop"]
    assert sheet.figures[creates.RATIO].values == [0.5, 0.5, 0.5]  # always ours over the other's


class _Quiet:
    def step(self, text: str) -> None: ...

    def detail(self, text: str) -> None: ...


class _Context:
    kubeconfig = Path()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def identity(self, _user: str) -> Path:
        return Path()


async def _cluster(*_: object, **__: object) -> _Context:
    return _Context()


async def _nothing(*_: object, **__: object) -> None: ...
