"""A hook as a real process; Leases against an API of lists (a fake, the real one is in tests/integration)."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.core.ids import RUN_ENV, new_run_id
from harness.experiment.hook import run_hook
from harness.experiment.leases import Leases
from harness.kube.api import Api, ObjectList
from harness.process import leftovers


def hook(tmp_path: Path, script: str, timeout_s: float = 20.0, command: str = "sh") -> tuple[str | None, str]:
    """What came of it, and what it wrote. Nothing of it may be left."""
    run_id, log = new_run_id(), tmp_path / "hook.log"
    env = {"PATH": os.environ["PATH"], RUN_ENV: run_id}
    failure = asyncio.run(run_hook([command, "-c", script], env=env, log=log, timeout_s=timeout_s))
    assert leftovers(run_id) == []
    return failure, log.read_text() if log.exists() else ""


def test_a_hook_that_does_its_work(tmp_path: Path) -> None:
    failure, said = hook(tmp_path, 'sleep 60 & echo "run ${HARNESS_RUN_ID%%-*}"')  # what it leaves behind is ended
    assert failure is None
    assert said.startswith("run 2")


@pytest.mark.parametrize(
    ("script", "timeout_s", "says"),
    [
        ("echo a; echo b; echo token=abc >&2; exit 3", 20, "sh failed with exit code 3; its last words: a | b | token=REDACTED"),
        ("exit 1", 20, "sh failed with exit code 1; it said nothing"),
        (f"kill -{signal.SIGKILL} $$", 20, "sh was killed by SIGKILL; it said nothing"),
        ("echo waiting; sleep 60", 3, "sh did not end within 3 s; its last words: waiting"),
    ],
)  # fmt: skip
def test_a_hook_that_fails(tmp_path: Path, script: str, timeout_s: float, says: str) -> None:
    assert hook(tmp_path, script, timeout_s)[0] == says


def test_a_hook_that_does_not_exist(tmp_path: Path) -> None:
    assert "cannot start './none'" in (hook(tmp_path, "", command="./none")[0] or "")


class FakeApi(Api):
    """Leases in a list."""

    def __init__(self, *names: str) -> None:
        self.leases = [self.lease(name) for name in names]

    @staticmethod
    def lease(name: str, **labels: str) -> dict[str, Any]:
        namespace, _, own = name.partition("/")
        return {"metadata": {"namespace": namespace, "name": own, "uid": f"uid-{name}", "labels": labels}}

    async def list(  # type: ignore[override] # as it is called
        self, _kind: object, namespace: str | None = None, **_: object
    ) -> ObjectList:
        return ObjectList([one for one in self.leases if namespace in (None, one["metadata"]["namespace"])], "1")

    async def delete(self, kind: object, name: str, namespace: str | None = None, **_: object) -> bool:
        self.leases = [each for each in self.leases if each["metadata"]["uid"] != f"uid-{namespace}/{name}"]
        return True


def test_only_leases_of_the_subject_are_cleared() -> None:
    async def body() -> None:
        api = FakeApi("default/of-somebody-else")
        leases = Leases(api)
        await leases.remember()
        names = ("default/leader", "kube-system/leader", "kube-system/kube-controller-manager", "kube-node-lease/node")
        api.leases += [api.lease(name) for name in names]
        api.leases.append(
            api.lease("kube-system/apiserver-x", **{"apiserver.kubernetes.io/identity": "kube-apiserver"})
        )
        assert await leases.clear() == ["default/leader", "kube-system/leader"]
        assert await leases.clear() == []
        assert len(api.leases) == 4

    asyncio.run(body())


def test_a_guest_clears_leases_of_its_own_namespace_only() -> None:
    async def body() -> None:
        api = FakeApi()
        leases = Leases(api, "run-x")
        await leases.remember()
        api.leases += [api.lease("run-x/leader"), api.lease("default/of-somebody-who-came-just-now")]
        assert await leases.clear() == ["run-x/leader"]
        assert len(api.leases) == 1

    asyncio.run(body())
