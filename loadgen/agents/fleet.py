"""The agents of a fleet: what each does about its BundleDeployments, when, and that it says it is alive."""

from __future__ import annotations

import heapq
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import gevent
from gevent.event import Event
from gevent.queue import Queue

from loadgen.agents.asked import Asked
from loadgen.agents.diary import LATE_S, Diary
from loadgen.agents.following import Follower, JSONObject
from loadgen.transport import Transport
from loadgen.verdicts import MAX_ATTEMPTS, Answer, judge, pause_s

CLUSTER_LABEL, CLUSTER_NAMESPACE_LABEL = "fleet.cattle.io/cluster", "fleet.cattle.io/cluster-namespace"
BUNDLE_LABEL = "fleet.cattle.io/bundle-name"
_API = "/apis/fleet.cattle.io/v1alpha1"
_MERGE = "application/merge-patch+json"
_OLDEST = "1"
"""A resourceVersion that no object has any more."""
_CONDITIONS = ("Installed", "Deployed", "Monitored", "Ready")


@dataclass(order=True, slots=True)
class _Job:
    due_ns: int
    number: int
    do: Callable[[int], None] = field(compare=False)


class Fleet:
    """Plays all agents of a namespace's Clusters. `on_error` gets a sentence, once for each sort of refusal."""

    def __init__(self, asked: Asked, transport: Transport, on_error: Callable[[str], None]) -> None:
        self.diary = Diary()
        self._asked = asked
        self._transport = transport
        self._on_error = on_error
        self._told: set[str] = set()
        self._wanted: dict[str, tuple[str, int]] = {}
        """By the uid of a BundleDeployment: the deployment that its agent knows of, and how many there were before."""
        self._clusters: dict[str, bool] = {}
        """Clusters there are, and whether their agent is online."""
        self._due: list[_Job] = []
        self._numbers = 0
        self._wake = Event()
        self._queue: Queue = Queue()
        namespace = asked.plan.namespace
        self._clusters_path = f"{_API}/namespaces/{namespace}/clusters"
        selector = f"{CLUSTER_NAMESPACE_LABEL}={namespace}"
        self._followers = [
            Follower(transport, f"{_API}/bundledeployments", selector, self._deployment),
            Follower(transport, self._clusters_path, "", self._cluster, metadata_only=True),
        ]

    def start(self, broken: Callable[[BaseException], None], stopping: Event) -> None:
        """Begin; returns when all that is there has been seen, or when stopping. `broken` is told what none can go on after."""

        def alone(work: Callable[[], None]) -> None:
            try:
                work()
            except Exception as fault:  # noqa: BLE001  # told, and the end of the process
                broken(fault)

        waits = [Event() for _ in self._followers]
        for follower, synced in zip(self._followers, waits, strict=True):
            gevent.spawn(alone, partial(follower.run, synced.set))
        gevent.spawn(alone, self._dispatch)
        for _ in range(self._asked.concurrency):
            gevent.spawn(alone, self._work)
        ready = gevent.spawn(lambda: [synced.wait() for synced in waits])
        gevent.wait([ready, stopping], count=1)

    def close(self) -> None:
        """Hang up; what is still due stays so."""
        for follower in self._followers:
            follower.close()

    def _cluster(self, kind: str, item: JSONObject) -> None:
        name = item["metadata"]["name"]
        if kind == "DELETED":
            self._clusters.pop(name, None)
        elif name not in self._clusters:
            self._clusters[name] = online = not self._offline(name)
            if online and self._asked.heartbeat_s is not None:
                first = self._asked.source("heartbeat", name).uniform(0.0, self._asked.heartbeat_s)
                self._at(_now_ns() + round(first * 1e9), lambda due_ns: self._beat(name, due_ns))

    def _deployment(self, kind: str, item: JSONObject) -> None:
        metadata = item["metadata"]
        uid = metadata["uid"]
        if kind == "DELETED":
            self._wanted.pop(uid, None)
            return
        wanted = (item.get("spec") or {}).get("deploymentID")
        known, before = self._wanted.get(uid, (None, -1))
        if wanted is None or "deletionTimestamp" in metadata or known == wanted:
            return
        self._wanted[uid] = wanted, before + 1
        if (item.get("status") or {}).get("appliedDeploymentID") == wanted:
            return  # somebody has answered it before us
        self.diary.seen += 1
        labels = metadata.get("labels") or {}
        cluster = labels.get(CLUSTER_LABEL, "")
        if self._offline(cluster):
            self.diary.offline += 1
            return
        source = self._asked.source(cluster, labels.get(BUNDLE_LABEL, metadata["name"]), before + 1)
        delay_s = self._asked.delay(source)
        ready, refused = source.random() >= self._asked.not_ready, source.random() < self._asked.conflicts
        path = f"{_API}/namespaces/{metadata['namespace']}/bundledeployments/{metadata['name']}/status"

        def answer(due_ns: int) -> None:
            self._answer(path, uid, _status(metadata, wanted, ready=ready), due_ns, refused=refused)

        self._at(_now_ns() + round(delay_s * 1e9), answer)

    def _answer(self, path: str, uid: str, status: JSONObject, due_ns: int, *, refused: bool) -> None:
        """One agent's status of one deployment, unless it has been replaced meanwhile."""
        diary = self.diary
        if self._wanted.get(uid, ("", 0))[0] != status["appliedDeploymentID"]:
            diary.superseded += 1
            return
        sent_ns = _now_ns()
        if refused:
            outdated = {"metadata": {"resourceVersion": _OLDEST}, "status": status}
            conflict = self._patch(path, outdated, tries=1).status == 409
            diary.conflicts += conflict  # not in one line: others count while it is sent
        answer = self._patch(path, {"status": status})
        if answer.status == 404:
            diary.superseded += 1
        elif 200 <= answer.status < 300:
            late_s = (sent_ns - due_ns) / 1e9
            diary.answered += 1
            diary.not_ready += not status["ready"]
            diary.late += late_s > LATE_S
            diary.late_s.append(late_s)
            diary.took_s.append((_now_ns() - sent_ns) / 1e9)
        else:
            diary.failed += 1

    def _beat(self, cluster: str, due_ns: int) -> None:
        if cluster not in self._clusters:
            return
        assert self._asked.heartbeat_s is not None
        body = {"status": {"agent": {"lastSeen": _stamp(), "namespace": "cattle-fleet-system"}}}
        answer = self._patch(f"{self._clusters_path}/{cluster}/status", body)
        if 200 <= answer.status < 300:
            self.diary.heartbeats += 1
        elif answer.status != 404:
            self.diary.heartbeats_failed += 1
        self._at(due_ns + round(self._asked.heartbeat_s * 1e9), lambda next_ns: self._beat(cluster, next_ns))

    def _patch(self, path: str, body: dict[str, Any], tries: int = MAX_ATTEMPTS) -> Answer:
        """Send until it is done or given up; a refusal of its sort is told once."""
        encoded = json.dumps(body, separators=(",", ":")).encode("ascii")
        for attempt in range(1, tries + 1):
            answer = self._transport.send("PATCH", path, encoded, _MERGE, "application/json")
            verdict = judge("patch", answer, doubtful=False)
            if verdict.error is None or answer.status == 404 or not verdict.retry or attempt == tries:
                break
            gevent.sleep(pause_s(attempt, answer, random.random()))  # noqa: S311  # spreads retries, guards nothing
        if verdict.error is not None and answer.status != 404 and tries > 1:
            self.diary.error = self.diary.error or verdict.error
            if verdict.reason not in self._told:
                self._told.add(verdict.reason or "")
                self._on_error(verdict.error)
        return answer

    def _offline(self, cluster: str) -> bool:
        return self._asked.offline > 0 and self._asked.source("offline", cluster).random() < self._asked.offline

    def _at(self, due_ns: int, do: Callable[[int], None]) -> None:
        self._numbers += 1
        heapq.heappush(self._due, _Job(due_ns, self._numbers, do))
        self._wake.set()

    def _dispatch(self) -> None:
        """Hand over each job when it is due."""
        while True:
            self._wake.clear()
            left_s = (self._due[0].due_ns - _now_ns()) / 1e9 if self._due else None
            if left_s is not None and left_s <= 0:
                self._queue.put(heapq.heappop(self._due))
                gevent.sleep(0)
            else:
                self._wake.wait(left_s)

    def _work(self) -> None:
        while True:
            job = self._queue.get()
            job.do(job.due_ns)


def _status(metadata: JSONObject, wanted: str, *, ready: bool) -> JSONObject:
    """What Fleet's agent writes when it has deployed what is wanted; not ready: applied, and its workload never comes up."""
    stamp = _stamp()
    conditions: list[JSONObject] = [
        {"type": type_, "status": "True" if ready or type_ != "Ready" else "False", "lastUpdateTime": stamp}
        for type_ in _CONDITIONS
    ]
    if not ready:
        conditions[-1] |= {"reason": "NotReady", "message": "the workload is not available"}
    return {
        "appliedDeploymentID": wanted,
        "release": f"{metadata['namespace']}/{metadata['name']}:1",
        "ready": ready,
        "nonModified": True,
        "display": {"deployed": "True", "monitored": "True", "state": "Ready" if ready else "NotReady"},
        "conditions": conditions,
    }


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _now_ns() -> int:
    return time.monotonic_ns()
