"""Cleaning up while the API server has trouble of its own, against a scripted one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from harness.cluster import cleanup
from tests.unit.kube.kube_server import serving, write_config

RUN_ID = "20260101-000000-tests"


class Server:
    """Holds one Secret of the run. `trouble` is asked for each request, with how often it was asked before: a status or None."""

    def __init__(self, trouble: Callable[[str, str, int], int | None]) -> None:
        self.there = True
        self.rules: list[dict[str, list[str]]] | None = None
        self.asked: Counter[tuple[str, str]] = Counter()
        self._trouble = trouble

    async def answer(self, request: web.Request) -> web.StreamResponse:
        key = request.method, request.path
        status = self._trouble(*key, self.asked[key])
        self.asked[key] += 1
        if status is not None:
            return web.json_response({"kind": "Status", "reason": "InternalError", "message": "no"}, status=status)
        match key:
            case "GET", "/readyz":
                return web.Response(text="ok")
            case "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews" if self.rules is not None:
                return web.json_response({"status": {"incomplete": False, "resourceRules": self.rules}}, status=201)
            case "GET", "/apis":
                return web.json_response({"groups": []})
            case "GET", "/api/v1":
                secrets = {"name": "secrets", "kind": "Secret", "namespaced": True, "verbs": ["list", "delete"]}
                return web.json_response({"resources": [secrets]})
            case "GET", "/api/v1/secrets":
                item = {"metadata": {"name": "s", "namespace": "default"}}
                return web.json_response({"metadata": {}, "items": [item] if self.there else []})
            case "DELETE", "/api/v1/namespaces/default/secrets/s":
                self.there = False
                return web.json_response({})
        raise AssertionError(key)

    def clean(self, tmp_path: Path, patience_s: float = 30.0) -> list[str]:
        async def run() -> list[str]:
            async with serving(self.answer) as url:
                config = write_config(tmp_path / "config", url, {"token": "x"})
                return list(await cleanup.after_run(config, RUN_ID, patience_s))

        return asyncio.run(run())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "_AGAIN_S", 0.01)
    monkeypatch.setattr(cleanup, "_POLL_S", 0.01)


@pytest.mark.parametrize("path", ["/apis", "/api/v1", "/api/v1/secrets", "/api/v1/namespaces/default/secrets/s"])
def test_trouble_that_passes_is_waited_for(path: str, tmp_path: Path) -> None:
    server = Server(lambda _, asked, times: 500 if asked == path and times < 2 else None)
    assert server.clean(tmp_path) == []
    assert not server.there


def test_trouble_that_stays_is_told_and_what_may_be_left_with_it(tmp_path: Path) -> None:
    deaf = Server(lambda method, *_: 500 if method == "DELETE" else None)
    assert deaf.clean(tmp_path) == ["Secret default/s could not be removed: 500 InternalError: no"]
    gone = Server(lambda *_: 503)
    (said,) = gone.clean(tmp_path, patience_s=0.1)
    assert said.startswith(f"what run {RUN_ID} made in the cluster may still be there: ")


def test_a_refusal_is_not_asked_again(tmp_path: Path) -> None:
    server = Server(lambda method, *_: 403 if method == "DELETE" else None)
    assert server.clean(tmp_path) == ["Secret default/s could not be removed: 403 InternalError: no"]
    assert server.asked["DELETE", "/api/v1/namespaces/default/secrets/s"] == 1


def test_a_server_that_does_not_know_yet_who_may_do_what_is_waited_for(tmp_path: Path) -> None:
    def starting(_: str, asked: str, times: int) -> int | None:
        if asked != "/readyz":
            return None
        if times >= 3:
            server.rules = [{"verbs": ["list", "delete"], "apiGroups": [""], "resources": ["secrets"]}]
        return 500 if times < 3 else None

    server = Server(starting)
    server.rules = [{"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["*"]}]
    assert server.clean(tmp_path) == []
    assert not server.there


def test_no_rule_at_all_is_not_believed(tmp_path: Path) -> None:
    server = Server(lambda *_: None)
    server.rules = []
    assert server.clean(tmp_path) == []
    assert not server.there


@pytest.mark.parametrize("status", [403, 500])
def test_a_server_that_never_says_that_it_is_ready_is_believed(status: int, tmp_path: Path) -> None:
    server = Server(lambda _, asked, __: status if asked == "/readyz" else None)
    assert server.clean(tmp_path, patience_s=0.1) == []
    assert not server.there
