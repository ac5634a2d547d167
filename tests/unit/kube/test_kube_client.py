"""Being somebody by files: certificates against a TLS server that wants them, a token that is replaced; any other kubeconfig
goes to the official client, which is not imported before."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from harness.cluster import guard, isolation
from harness.cluster.pki import Authority
from harness.core.errors import UsageError
from harness.core.kinds import find
from harness.kube import client as client_module
from harness.kube.api import Api
from harness.kube.client import by_files
from harness.kube.kubeconfig import ClientFiles, client_files, write_kubeconfig

_SECRET = find("Secret")
_CLUSTER = {"server": "https://127.0.0.1:1", "certificate-authority": "ca.crt"}
_FILES = {"client-certificate": "a.crt", "client-key": "a.key"}


def _document(cluster: dict[str, Any], user: dict[str, Any]) -> dict[str, Any]:
    return {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }


def test_a_kubeconfig_of_ours_is_read_by_its_files() -> None:
    found = by_files(_document(_CLUSTER, _FILES), Path("/b"))
    assert found == ClientFiles("https://127.0.0.1:1", Path("/b/ca.crt"), Path("/b/a.crt"), Path("/b/a.key"))
    token = by_files(_document(_CLUSTER, {"tokenFile": "/t/token"}), Path("/b"))
    assert token is not None
    assert (token.token_file, token.cert_file) == (Path("/t/token"), None)


@pytest.mark.parametrize(
    ("cluster", "user"),
    [
        (_CLUSTER, {"token": "t"}),
        (_CLUSTER, {"exec": {"command": "c"}}),
        (_CLUSTER, _FILES | {"as": "somebody"}),
        (_CLUSTER | {"insecure-skip-tls-verify": True}, _FILES),
        (_CLUSTER | {"proxy-url": "http://p"}, _FILES),
        ({"server": "https://h", "certificate-authority-data": "eA=="}, _FILES),
        (_CLUSTER | {"server": "http://127.0.0.1:1"}, _FILES),
        (_CLUSTER | {"server": 7}, _FILES),
    ],
)
def test_any_other_form_is_left_to_the_official_client(cluster: dict[str, Any], user: dict[str, Any]) -> None:
    assert by_files(_document(cluster, user), Path()) is None


def test_what_is_broken_is_left_to_the_official_client_to_refuse() -> None:
    assert by_files({}, Path()) is None
    assert by_files({**_document(_CLUSTER, _FILES), "current-context": "other"}, Path()) is None


def _against(directory: Path, use: Callable[[Authority, str], Awaitable[None]]) -> list[tuple[str | None, str | None]]:
    """Serve over TLS, certificates of clients wanted; who asked, by certificate's name and Authorization."""
    seen: list[tuple[str | None, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        peer = request.transport.get_extra_info("peercert")
        names = [value for part in peer["subject"] for key, value in part if key == "commonName"] if peer else []
        seen.append((names[0] if names else None, request.headers.get("Authorization")))
        return web.json_response({"metadata": {}, "body": await request.text()})

    async def scenario() -> None:
        authority = Authority(directory / "ca")
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.ca_file)
        tls.load_cert_chain(*authority.server("127.0.0.1"))
        tls.verify_mode = ssl.CERT_OPTIONAL
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.01)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        try:
            port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr] # it has started
            await use(authority, f"https://127.0.0.1:{port}")
        finally:
            await runner.cleanup()

    asyncio.run(scenario())
    return seen


def test_the_certificate_says_who_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "empty.pem"
    bundle.touch()
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(bundle))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")

    async def use(authority: Authority, server: str) -> None:
        async with await Api.connect(authority.kubeconfig(server, "c", "harness:me")) as api:
            made = await api.create(_SECRET, {"metadata": {"name": "s"}}, "ns")
            assert '"name": "s"' in made["body"]

    assert _against(tmp_path, use) == [("harness:me", None)]


def test_a_token_is_read_again_when_its_file_was_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_TOKEN_S", 0.0)
    token = tmp_path / "token"

    async def use(authority: Authority, server: str) -> None:
        path = tmp_path / "config"
        write_kubeconfig(path, ClientFiles(server, authority.ca_file, None, None, token), "u", "c")
        token.write_text("first\n")
        async with await Api.connect(path) as api:
            await api.get(_SECRET, "s", "ns")
            token.write_text("second\n")
            await api.get(_SECRET, "s", "ns")

    assert _against(tmp_path, use) == [(None, "Bearer first"), (None, "Bearer second")]


def test_a_certificate_that_is_gone_is_one_line(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    path = authority.kubeconfig("https://127.0.0.1:1", "c", "me")
    authority.ca_file.unlink()
    with pytest.raises(UsageError, match=r"this kubeconfig cannot be used: .*No such file"):
        asyncio.run(Api.connect(path))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"clusters": "v1"}, "is malformed: clusters is not of the sort it must be"),  # found by `make fuzz`
        (
            {"clusters": [{"cluster": {"certificate-authority": True}}]},
            "is malformed: clusters.0.cluster.certificate-a",
        ),
        ({"clusters": [{"cluster": {"server": "https://[::1"}}]}, "is malformed: clusters.0.cluster.server"),
        ({"clusters": [{"cluster": {"server": "https://a:bc"}}]}, "is malformed: clusters.0.cluster.server"),
        ({"users": [{}]}, "cannot be used: .*users list to have .name. key"),
        ({"current-context": "none"}, "cannot be used: .*none"),
    ],
)
def test_a_kubeconfig_of_other_values_is_one_line(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    path = Authority(tmp_path / "ca").kubeconfig("https://127.0.0.1:1", "c", "me")
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changed}))
    with pytest.raises(UsageError, match=f"this kubeconfig {said}"):
        asyncio.run(Api.connect(path))


@pytest.mark.parametrize(
    "changed",
    [{"current-context": [{"token": "s3cret"}]}, {"contexts": [{"name": ["s3cret"]}]}, {"users": {"u": "s3cret"}}],
)
def test_what_stands_where_a_name_must_is_not_shown(tmp_path: Path, changed: dict[str, Any]) -> None:
    """Found by `make fuzz`: errors tell names, and a token in a wrong place was told as one."""
    path = Authority(tmp_path / "ca").kubeconfig("https://127.0.0.1:1", "c", "me")
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changed}))
    readers: list[Callable[[], object]] = [
        lambda: guard.check(path, "c", allowed=False),
        lambda: client_files(path),
        lambda: isolation.isolate(path, None, tmp_path),
        lambda: asyncio.run(Api.connect(path)),
    ]
    for read in readers:
        with pytest.raises(UsageError, match="this kubeconfig is malformed") as caught:
            read()
        assert "s3cret" not in str(caught.value)


def test_the_official_client_is_not_imported_for_it(tmp_path: Path) -> None:
    path = Authority(tmp_path / "ca").kubeconfig("https://127.0.0.1:1", "c", "me")
    code = (
        "import asyncio, sys; from pathlib import Path; from harness.kube.api import Api\n"
        "asyncio.run(Api.connect(Path(sys.argv[1]))); print('kubernetes' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr
