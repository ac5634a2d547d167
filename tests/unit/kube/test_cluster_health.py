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
    ("trouble", "words", "limit_s"),
    [("silence", "no answer within 0.05 s", 0.05), ("503", "503 Unknown", _LIMIT_S)],
    ids=["silence", "errors"],
)
def test_silence_and_errors_of_its_own_are_told_after_a_while_and_a_refusal_is_an_answer(
    trouble: str, words: str, limit_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SILENT_S", 0.3), ("_EVERY_S", 0.01), ("_CALL_LIMIT_S", limit_s)):
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
                # Where nothing came to run for so long, the words are first those of nobody, or of a call before.
                await _until(lambda: (told.failure() or "").endswith(f"{words})"))
                assert (told.failure() or "").startswith("the API server did not answer for 0.3 s (")
                state, asked = "refused", 0
                await _until(lambda: told.failure() is None)
            finally:
                await told.close()

    asyncio.run(run())
