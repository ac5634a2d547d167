"""The client against a scripted HTTP server: retries, deadlines, credentials and words of refusal."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest
from aiohttp import web

from harness.core.errors import EnvironmentFault, UsageError
from harness.core.kinds import find
from harness.kube.api import Api
from harness.kube.errors import ApiError, ApiUnreachable
from tests.unit.kube.kube_server import Handler, serving, write_config

SECRET = find("Secret")


def against(
    tmp_path: Path, handler: Handler, use: Callable[[Api], Awaitable[None]], user: Mapping[str, object] | None = None
) -> None:
    async def scenario() -> None:
        async with serving(handler) as server:
            config = write_config(tmp_path / "config", server, user or {"token": "t0k3n"})
            async with await Api.connect(config) as api:
                await use(api)

    asyncio.run(scenario())


def test_token_accept_and_paths(tmp_path: Path) -> None:
    seen: list[tuple[str, str, str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        headers = request.headers
        seen.append((request.method, request.path_qs, headers["Authorization"], headers["Accept"]))
        return web.json_response({"metadata": {}})

    async def use(api: Api) -> None:
        await api.get(SECRET, "s", "ns", metadata_only=True)
        await api.list(SECRET, label_selector="harness.dev/run=a,b in (c)")

    against(tmp_path, handler, use)
    assert seen[0] == (
        "GET",
        "/api/v1/namespaces/ns/secrets/s",
        "Bearer t0k3n",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    )
    assert seen[1][1].startswith("/api/v1/secrets?limit=500&labelSelector=")


def test_a_refusal_is_one_line_with_the_object_and_the_servers_words(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        status = {"kind": "Status", "reason": "Forbidden", "message": 'secrets "s" is\nforbidden: no'}
        return web.json_response(status, status=403)

    async def use(api: Api) -> None:
        with pytest.raises(ApiError) as refusal:
            await api.get(SECRET, "s", "ns")
        assert (refusal.value.status, refusal.value.reason) == (403, "Forbidden")
        assert str(refusal.value) == (
            'GET /api/v1/namespaces/ns/secrets/s: the API server answered 403 Forbidden: secrets "s" is forbidden: no'
        )

    against(tmp_path, handler, use)


def test_an_answer_that_is_no_status_is_quoted(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=502, text="bad gateway")

    async def use(api: Api) -> None:
        with pytest.raises(ApiError, match="502 Unknown: bad gateway"):
            await api.version()

    against(tmp_path, handler, use)


def test_throttling_is_waited_for(tmp_path: Path) -> None:
    answers = [429, 429, 200]

    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"gitVersion": "v1"}, status=answers.pop(0), headers={"Retry-After": "0"})

    async def use(api: Api) -> None:
        assert await api.version() == "v1"

    against(tmp_path, handler, use)
    assert not answers


def test_silence_ends_at_the_deadline(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async def use(api: Api) -> None:
        with pytest.raises(ApiUnreachable, match=r"no answer within 0\.1 s"):
            await api.get(SECRET, "s", "ns", timeout_s=0.1)

    against(tmp_path, handler, use)


def test_nobody_there(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with await Api.connect(write_config(tmp_path / "config", "http://127.0.0.1:1", {})) as api:
            with pytest.raises(ApiUnreachable, match=r"GET /version: http://127.0.0.1:1 cannot be reached"):
                await api.version()

    asyncio.run(scenario())


def test_list_begins_again_when_its_version_expires(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        limit = int(request.query["limit"])
        if "continue" in request.query:
            return web.json_response({"kind": "Status", "reason": "Expired", "message": "old"}, status=410)
        more = {"continue": "c"} if limit < 4 else {}
        return web.json_response({"metadata": {"resourceVersion": "7", **more}, "items": [{}] * min(limit, 3)})

    async def use(api: Api) -> None:
        listed = await api.list(SECRET, page_size=2)
        assert (len(listed.items), listed.resource_version) == (3, "7")

    against(tmp_path, handler, use)


def plugin(tmp_path: Path, code: str) -> dict[str, object]:
    script = tmp_path / "plugin.py"
    script.write_text(code)
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "command": sys.executable, "args": [str(script)]}}


def test_an_exec_plugin_gives_the_token(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"gitVersion": request.headers["Authorization"]})

    async def use(api: Api) -> None:
        assert await api.version() == "Bearer from-plugin"

    answer = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "from-plugin"},
    }
    against(tmp_path, handler, use, plugin(tmp_path, f"print({json.dumps(json.dumps(answer))})"))


def test_a_plugin_that_fails_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        config = write_config(tmp_path / "config", "http://127.0.0.1:1", plugin(tmp_path, "raise SystemExit(3)"))
        with pytest.raises(EnvironmentFault, match=r"credential plugin .* gave no credentials; run it by hand"):
            await Api.connect(config)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "cannot be read"),
        ("just text", "not a kubeconfig"),
        ("current-context: x\ncontexts: []\n", "Expected object with name x"),
        (
            """
            current-context: x
            contexts: [{name: x, context: {cluster: c, user: u}}]
            users: []
            clusters: [{name: c, cluster: {server: 'http://h'}}]
            """,
            "names the user 'u', which it does not hold",
        ),
    ],
)
def test_a_bad_kubeconfig_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as refusal:
        asyncio.run(Api.connect(path))
    assert str(refusal.value).startswith(str(path))


def test_what_is_read_and_cut_off_is_asked_for_again_and_nothing_is_written_twice(tmp_path: Path) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.method)
        if asked.count("GET") < 3:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"metadata": {}})

    async def use(api: Api) -> None:
        with pytest.raises(ApiUnreachable):
            await api.create(SECRET, {"metadata": {"name": "s"}}, "ns")
        await api.get(SECRET, "s", "ns")

    against(tmp_path, handler, use)
    assert asked == ["POST", "GET", "GET", "GET"]
