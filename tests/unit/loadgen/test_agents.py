"""The fake agents without an API server: what they answer, when, once for each, and what is asked of them that is wrong.

What they do to a real API server is tested in tests/integration/test_fleet_scale.py.
"""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadgen.agents.asked import Asked, read
from loadgen.agents.diary import Diary
from loadgen.fields import PlanError

DOCUMENT: dict[str, Any] = {
    "schema": "harness.agents/v1",
    "plan": {
        "schema": "harness.plan/v1",
        "run_id": "20261122-093015-k4x7q",
        "seed": 7,
        "origin_ns": 0,
        "server": "http://127.0.0.1:1",
        "ca_file": None,
        "namespace": "run-20261122-093015-k4x7q",
        "labels": {},
        "phases": [],
    },
    "delay": {"min_s": 0.1, "max_s": 0.3},
    "heartbeat_s": 60.0,
    "not_ready": 0.0,
    "offline": 0.0,
    "conflicts": 0.0,
    "concurrency": 4,
}


def asked(**changes: object) -> Asked:
    return read({**copy.deepcopy(DOCUMENT), **changes})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": "harness.plan/v1"}, "agents.schema: must be 'harness.agents/v1'"),
        ({"offline": 1.5}, "agents.offline: must be a share from 0 to 1, is 1.5"),
        ({"not_ready": -1}, "agents.not_ready: must be above 0"),
        ({"delay": {"min_s": 2, "max_s": 1}}, "agents.delay.min_s: is above max_s"),
        (
            {"delay": {"lognormal": {"median_s": 0, "sigma": 1}, "max_s": 1}},
            "agents.delay.lognormal.median_s: must be above 0",
        ),
        ({"heartbeat_s": 0}, "agents.heartbeat_s: must be above 0"),
        ({"concurrency": 0}, "agents.concurrency: must be at least 1"),
        ({"clusters": 5}, "agents: unknown key 'clusters'"),
        ({"plan": {}}, "plan.schema: is missing"),
    ],
)
def test_what_is_asked_wrongly_is_one_line_that_names_the_field(changes: dict[str, object], says: str) -> None:
    with pytest.raises(PlanError) as caught:
        asked(**changes)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_delays_lie_where_they_should_and_are_the_same_for_the_same_seed() -> None:
    one, two = asked(), asked()
    drawn = [one.delay(one.source("cluster-k4x7q-00001", f"bundle-{i}", 0)) for i in range(200)]
    assert drawn == [two.delay(two.source("cluster-k4x7q-00001", f"bundle-{i}", 0)) for i in range(200)]
    assert 0.1 <= min(drawn) < 0.12
    assert 0.28 < max(drawn) <= 0.3
    tail = asked(delay={"lognormal": {"median_s": 1.0, "sigma": 1.0}, "max_s": 20.0})
    values = sorted(tail.delay(tail.source(i)) for i in range(2000))
    assert 0.9 < values[1000] < 1.1
    assert values[-1] == 20.0 or values[-1] < 20.0
    assert 4.0 < values[1900] < 6.5  # e^1.645 = 5.2


def test_draws_do_not_hang_on_the_run() -> None:
    other = copy.deepcopy(DOCUMENT["plan"]) | {"run_id": "20261123-093015-zzzzz"}
    assert asked().source("cluster-k4x7q-00001").random() == asked(plan=other).source("cluster-zzzzz-00001").random()
    assert asked().source("cluster-k4x7q-00001").random() != asked().source("cluster-k4x7q-00002").random()


def test_a_diary_tells_what_still_waits_and_how_late_answers_were() -> None:
    diary = Diary(seen=10, answered=4, offline=2, superseded=1, failed=1)
    assert diary.counts()["waiting"] == 2
    assert diary.quantiles()["late_p99_s"] is None
    diary.late_s = [number / 100 for number in range(1, 101)]
    assert [diary.quantiles()[f"late_{q}_s"] for q in ("p50", "p99", "max")] == [0.5, 0.99, 1.0]


def behaviour(script: str) -> list[str]:
    """What a script says that runs with gevent's patch, in a process of its own."""
    head = (
        "from gevent import monkey; monkey.patch_all()\n"
        "import json, time, gevent\n"
        "from loadgen.agents.asked import read\nfrom loadgen.agents.fleet import Fleet\nfrom loadgen.verdicts import Answer\n"
        f"DOCUMENT = {DOCUMENT!r}\n"
        "class Transport:\n"
        "    def __init__(self): self.sent = []; self.answers = {}\n"
        "    def send(self, method, path, body, content_type, accept):\n"
        "        self.sent.append((path, json.loads(body))); gevent.sleep(0.001)\n"
        "        status = self.answers.get(path, 200)\n"
        "        return Answer(409 if 'resourceVersion' in body.decode() else status, b'{}')\n"
        "def fleet(**changes):\n"
        "    made = Fleet(read({**DOCUMENT, **changes}), Transport(), print)\n"
        "    gevent.spawn(made._dispatch); [gevent.spawn(made._work) for _ in range(4)]\n"
        "    return made\n"
        "def deployment(number, wanted='s-1', **status):\n"
        "    labels = {'fleet.cattle.io/cluster': f'cluster-k4x7q-{number:05d}', 'fleet.cattle.io/bundle-name': 'b'}\n"
        "    return {'metadata': {'uid': str(number), 'name': 'b', 'namespace': f'ns-{number}', 'labels': labels},\n"
        "            'spec': {'deploymentID': wanted}, 'status': status}\n"
        "def until(holds):\n"
        "    end = time.monotonic() + 20\n"
        "    while not holds():\n"
        "        assert time.monotonic() < end, 'too late'\n"
        "        gevent.sleep(0.01)\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", head + script], capture_output=True, text=True, timeout=60, cwd=root, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_each_deployment_is_answered_once_and_again_for_what_it_deploys_next() -> None:
    said = behaviour(
        "made = fleet(delay={'min_s': 0, 'max_s': 0})\n"
        "made._deployment('ADDED', deployment(1))\n"
        "until(lambda: made.diary.answered == 1)\n"
        "made._deployment('MODIFIED', deployment(1, appliedDeploymentID='s-1'))\n"  # its own write comes back
        "made._deployment('ADDED', deployment(2, appliedDeploymentID='s-1'))\n"  # somebody else's answer
        "made._deployment('MODIFIED', deployment(1, wanted='s-2', appliedDeploymentID='s-1'))\n"
        "until(lambda: made.diary.answered == 2)\n"
        "gevent.sleep(0.1)\n"
        "for path, body in made._transport.sent: print(path, body['status']['appliedDeploymentID'], body['status']['ready'])\n"
        "print(made.diary.seen, made.diary.waiting)\n"
    )
    path = "/apis/fleet.cattle.io/v1alpha1/namespaces/ns-1/bundledeployments/b/status"
    assert said == [f"{path} s-1 True", f"{path} s-2 True", "2 0"]


def test_one_that_is_replaced_or_gone_before_its_answer_is_not_answered() -> None:
    said = behaviour(
        "made = fleet(delay={'min_s': 0.3, 'max_s': 0.3})\n"
        "made._deployment('ADDED', deployment(1)); made._deployment('MODIFIED', deployment(1, wanted='s-2'))\n"
        "made._deployment('ADDED', deployment(2)); made._deployment('DELETED', deployment(2))\n"
        "made._transport.answers['/apis/fleet.cattle.io/v1alpha1/namespaces/ns-3/bundledeployments/b/status'] = 404\n"
        "made._deployment('ADDED', deployment(3))\n"
        "print(made.diary.waiting)\n"
        "until(lambda: made.diary.waiting == 0)\n"
        "print(made.diary.answered, made.diary.superseded, made.diary.failed)\n"
    )
    assert said == ["4", "1 3 0"]


def test_what_is_asked_to_go_wrong_does() -> None:
    said = behaviour(
        "made = fleet(delay={'min_s': 0, 'max_s': 0}, offline=0.3, not_ready=0.5, conflicts=0.5)\n"
        "for number in range(200): made._deployment('ADDED', deployment(number))\n"
        "until(lambda: made.diary.waiting == 0)\n"
        "d = made.diary\n"
        "print(d.seen == 200 and d.answered + d.offline == 200, 40 <= d.offline <= 80)\n"
        "print(45 <= d.not_ready <= 95, 45 <= d.conflicts <= 95)\n"
        "outdated = [b for _, b in made._transport.sent if 'metadata' in b]\n"
        "print(len(outdated) == d.conflicts, len(made._transport.sent) == d.answered + d.conflicts)\n"
        "ready = [c['status'] for _, b in made._transport.sent for c in b['status']['conditions'] if c['type'] == 'Ready']\n"
        "print(ready.count('False') >= d.not_ready)\n"
    )
    assert said == ["True True", "True True", "True True", "True"]


def test_an_answer_that_is_refused_for_good_is_failed_and_told_once() -> None:
    said = behaviour(
        "made = fleet(delay={'min_s': 0, 'max_s': 0})\n"
        "for number in (1, 2):\n"
        "    path = f'/apis/fleet.cattle.io/v1alpha1/namespaces/ns-{number}/bundledeployments/b/status'\n"
        "    made._transport.answers[path] = 403\n"
        "    made._deployment('ADDED', deployment(number))\n"
        "until(lambda: made.diary.failed == 2)\n"
        "print(made.diary.waiting, made.diary.error)\n"
    )
    assert said == ["403 Unknown: no message", "0 403 Unknown: no message"]


def test_each_cluster_that_is_online_reports_again_and_again_until_it_is_gone() -> None:
    said = behaviour(
        "made = fleet(heartbeat_s=0.05)\n"
        "made._cluster('ADDED', {'metadata': {'name': 'cluster-k4x7q-00001'}})\n"
        "until(lambda: made.diary.heartbeats >= 3)\n"
        "made._cluster('MODIFIED', {'metadata': {'name': 'cluster-k4x7q-00001'}})\n"
        "made._cluster('DELETED', {'metadata': {'name': 'cluster-k4x7q-00001'}})\n"
        "gevent.sleep(0.2); before = made.diary.heartbeats; gevent.sleep(0.3)\n"
        "path, body = made._transport.sent[0]\n"
        "print(made.diary.heartbeats == before, list(body['status']['agent']), path.partition('/clusters/')[2])\n"
        "silent = fleet(heartbeat_s=0.05, offline=1.0)\n"
        "silent._cluster('ADDED', {'metadata': {'name': 'cluster-k4x7q-00001'}}); gevent.sleep(0.3)\n"
        "print(silent._transport.sent)\n"
    )
    assert said == ["True ['lastSeen', 'namespace'] cluster-k4x7q-00001/status", "[]"]
