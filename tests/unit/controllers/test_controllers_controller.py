"""The controller loop: outcomes of a reconcile, names of its tasks, what was created and not seen yet, what is gone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from harness.controllers.runtime import creations
from harness.controllers.runtime.client import ConflictError, ObjectGoneError
from harness.controllers.runtime.controller import DONE, Controller, Result
from harness.controllers.runtime.creations import Creations
from harness.controllers.runtime.informer import Informer
from harness.controllers.runtime.metrics import Metrics
from harness.controllers.runtime.status import StatusPatch, StatusWriter
from harness.controllers.runtime.store import BY_NAMESPACE, by_namespace
from tests.unit.controllers.controllers_fake_api import CONFIG_MAPS, serving

LABELS = {"name": "test", "controller": "test"}


def obj(name: str, version: str = "1") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": version}}


async def worked(metrics: Metrics) -> None:
    """Wait until a reconcile is over; the deadline is the caller's."""
    while True:
        if metrics.registry.get_sample_value("workqueue_work_duration_seconds_count", LABELS):
            return
        await asyncio.sleep(0.001)


def made(tmp_path: Path) -> tuple[Informer, Creations]:
    async def within() -> tuple[Informer, Creations]:
        async with serving(tmp_path) as (_, api):
            informer = Informer(api, CONFIG_MAPS, indexers={BY_NAMESPACE: by_namespace})
            return informer, Creations(informer, BY_NAMESPACE)

    return asyncio.run(within())


def test_a_creation_counts_until_it_is_seen_and_not_after_it_is_deleted(tmp_path: Path) -> None:
    informer, created = made(tmp_path)
    informer._put(obj("old"), initial=True)
    created.add(obj("new"))
    assert list(created.find("ns")) == ["ns/old", "ns/new"]
    informer._put(obj("new", "2"), initial=False)
    assert created.find("ns")["ns/new"] == obj("new", "2")
    informer._remove("ns/new", None)
    assert list(created.find("ns")) == ["ns/old"]
    assert not created._unseen


def test_what_was_seen_before_the_answer_came_is_not_kept(tmp_path: Path) -> None:
    informer, created = made(tmp_path)
    informer._put(obj("new", "2"), initial=False)
    created.add(obj("new"))
    assert not created._unseen
    assert created.find("ns") == {"ns/new": obj("new", "2")}


def test_what_is_never_seen_is_not_believed_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, created = made(tmp_path)
    created.add(obj("new"))
    monkeypatch.setattr(creations, "FORGET_S", -1.0)
    assert created.find("ns") == {}
    assert not created._unseen


def test_a_status_write_to_an_object_that_is_gone_ends_the_reconcile_without_an_error(tmp_path: Path) -> None:
    async def check() -> None:
        async with serving(tmp_path) as (fake, api):
            fake.failures = [404]
            writer = StatusWriter(api, Informer(api, CONFIG_MAPS), StatusPatch.ALWAYS)
            after: list[str] = []

            async def reconcile(key: str) -> Result:
                await writer.write(obj("a"), {"ready": True})
                after.append(key)
                return DONE

            metrics = Metrics()
            controller = Controller("test", reconcile, workers=1, metrics=metrics)
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                controller.start(group)
                controller.queue.add("ns/a")
                await worked(metrics)
                controller.stop()
            assert after == []
            assert controller.queue.delayed == 0
            labels = {"controller": "test", "result": "success"}
            assert metrics.registry.get_sample_value("controller_runtime_reconcile_total", labels) == 1

    asyncio.run(check())


@pytest.mark.parametrize(
    ("outcome", "result", "delayed"),
    [
        (DONE, "success", 0),
        (Result(requeue=True), "requeue", 1),
        (Result(requeue_after_s=60), "requeue_after", 1),
        (OSError("unreachable"), "error", 1),
        (KeyError("a bug"), "error", 1),
        (ObjectGoneError("gone"), "success", 0),
        (ConflictError("somebody else was first"), "requeue", 1),
    ],
)
def test_what_a_reconcile_asks_for_is_done_and_counted(outcome: Result | Exception, result: str, delayed: int) -> None:
    async def check() -> None:
        async def reconcile(_: str) -> Result:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        metrics = Metrics()
        controller = Controller("test", reconcile, workers=1, metrics=metrics)
        assert await controller._once("key") == result
        assert controller.queue.delayed == delayed
        controller.stop()

    asyncio.run(check())


def test_tasks_are_called_after_their_controller() -> None:
    async def check() -> None:
        async def reconcile(_: str) -> Result:
            return DONE

        controller = Controller("bundle", reconcile, workers=2, metrics=Metrics())
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            controller.start(group)
            workers = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            assert sorted(task.get_name() for task in workers) == ["bundle-worker-0", "bundle-worker-1"]
            assert {getattr(task.get_coro(), "__qualname__", "") for task in workers} == {"bundle.worker"}
            controller.stop()

    asyncio.run(check())
