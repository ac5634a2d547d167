"""When an API server that is nobody's child is said to be gone, against a scripted one and with little patience."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from harness.cluster import health
from harness.cluster.health import Health
from tests.unit.kube.kube_server import serving, write_config

_LIMIT_S = 30.0


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_LIMIT_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("trouble", "words"), [("silence", "no answer within 0.05 s"), ("503", "503 Unknown")], ids=["silence", "errors"]
)
def test_silence_and_errors_of_its_own_are_told_after_a_while_and_a_refusal_is_an_answer(
    trouble: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SILENT_S", 0.3), ("_EVERY_S", 0.01), ("_CALL_LIMIT_S", 0.05)):
        monkeypatch.setattr(health, name, value)
    state = "well"
    asked = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        if state == "silence":
            await asyncio.sleep(_LIMIT_S)
        return web.Response(status={"well": 200, "refused": 403}.get(state, 503))

    async def run() -> None:
        nonlocal state, asked
        async with serving(answer) as url:
            told = Health(write_config(tmp_path / "config", url, {"token": "x"}))
            try:
                await _until(lambda: asked > 3)
                state = trouble
                await _until(lambda: told.failure() is not None)
                said = told.failure() or ""
                assert said.startswith("the API server did not answer for 0.3 s (")
                assert said.endswith(f"{words})")
                state, asked = "refused", 0
                await _until(lambda: told.failure() is None)
            finally:
                await told.close()

    asyncio.run(run())
