"""Goals of the benchmarks: met, missed, or not measured; and the order of the two sides."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any, Self, cast

import pytest

from harness.core.errors import RunFault
from harness.core.handles import Silent
from harness.kube.watch import WatchEvent
from tests.bench import creates, goals, kubeburner, output, peers
from tests.bench.rounds import Rounds
from tests.bench.senders import Sent
from tests.bench.sheet import Sheet
from tests.bench.suite import Outcome, Suite
from tests.bench.surroundings import Shares


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
    asyncio.run(creates.CreatesBenchmark().run(Rounds(3), tmp_path, cast("Any", Silent()), sheet))
    warm_up, *rounds = order
    assert warm_up == "BareLoop"
    assert rounds == ["Loadgen", "BareLoop", "BareLoop", "Loadgen", "Loadgen", "BareLoop"]
    assert sheet.figures[creates.RATIO].values == [0.5, 0.5, 0.5]  # always ours over the other's


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


def test_a_missed_goal_is_an_exit_code_and_one_with_an_excuse_is_not() -> None:
    sheet = Sheet()
    sheet.extend(creates.RATIO, "ratio", [0.95])
    sheet.extend(creates.CPU_PER_CREATE, "seconds", [0.4e-3])
    suite = Suite([_outcome(creates.CreatesBenchmark(), sheet)])
    assert suite.missed == []
    assert suite.exit_code == 0
    assert goals.judge("creates", sheet)[1].sentence.endswith("(does not count: the bare loop takes more, too)")
    sheet.figures[creates.RATIO].values = [0.5]
    assert suite.exit_code == 1
    assert output.summary_line(suite, 1.0).startswith("bench: GOALS MISSED after 1 s, exit code 1: goal MISSED: rate")
    sheet.problem("half of it was not there")
    assert suite.exit_code == 3  # what was not done has no figures to judge


def test_without_a_binary_of_kube_burner_there_is_nothing_to_compare_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(kubeburner.VARIABLE, raising=False)
    sheet = Sheet()
    asyncio.run(peers.KubeBurnerBenchmark().run(Rounds(1), tmp_path, cast("Any", Silent()), sheet))
    suite = Suite([_outcome(peers.KubeBurnerBenchmark(), sheet)])
    assert suite.exit_code == 0
    assert sheet.skipped is not None
    assert output.summary_line(suite, 1.0) == "bench: complete in 1 s: kube-burner not measured"
    monkeypatch.setenv(kubeburner.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(RunFault, match="not a program"):
        kubeburner.binary()


def test_kube_burner_is_asked_for_the_same_secrets(tmp_path: Path) -> None:
    files: Any = type("Files", (), {"server": "https://x", "ca_file": "a", "cert_file": "b", "key_file": "c"})
    plan = creates.plan_of(files, "20260101-000000-abcde", "run-x", count=7, seed=1)
    config = json.loads(kubeburner.write_config(tmp_path, plan).read_text())
    (job,) = config["jobs"]
    (item,) = job["objects"]
    assert (job["namespace"], item["replicas"], job["cleanup"]) == ("run-x", 7, False)
    template = (tmp_path / "secret.json").read_text()
    assert max(line.count("{{") for line in template.splitlines()) == 1, (
        "kube-burner takes all between two of them for one"
    )
    secret = json.loads(template)
    assert secret["metadata"] == {"name": "secret-abcde-{{.Replica}}", "labels": plan["labels"]}
    low, high = creates.SIZE
    assert low <= len(base64.b64decode(item["inputVars"]["payload"])) <= high


def test_the_rate_of_a_witness_is_from_the_first_to_the_last_object() -> None:
    arrivals = peers.Arrivals()
    for number in range(11):
        arrivals.take(WatchEvent("ADDED", {}, 1_000_000_000 + number * 100_000_000))
    arrivals.take(WatchEvent("DELETED", {}, 9_000_000_000))
    assert (arrivals.count, arrivals.per_s) == (11, 10.0)


def _outcome(benchmark: Any, sheet: Sheet) -> Outcome:
    return Outcome(benchmark, sheet, Rounds(1), 1.0, 0.1, Shares(0.0, 0.0))
