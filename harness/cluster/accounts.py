"""Identities by ServiceAccount and token: what every cluster has, also those that sign no certificates for clients.

The accounts are in the run's namespace and carry its label. A token lasts at most a day and is renewed before it expires,
in the file that kubeconfigs and the load generator's plan name.
"""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path

from harness.core.errors import EnvironmentFault, HarnessError
from harness.core.ids import RUN_LABEL, namespace_of
from harness.core.kinds import find
from harness.kube.api import Api
from harness.kube.errors import ApiError
from harness.kube.kubeconfig import ClientFiles, write_kubeconfig, write_private

ACCOUNT = find("ServiceAccount")

_ASKED_S = 24 * 3600
"""A server may give less."""
_RENEW_SHARE = 0.7
_LEAST_WAIT_S, _AFTER_FAILURE_S = 30.0, 60.0


def account_name(user: str, run_id: str) -> str:
    """The account of a user of the harness: `harness:subject:RUN_ID` is `harness-subject` in the run's namespace."""
    return re.sub(r"[^a-z0-9]+", "-", user.removesuffix(f":{run_id}").lower()).strip("-")


class Accounts:
    """The identities of one run; `close` it to stop renewing."""

    def __init__(
        self, *, kubeconfig: Path, server: str, ca_file: Path, directory: Path, run_id: str, cluster: str
    ) -> None:
        self._kubeconfig = kubeconfig
        self._server = server
        self._ca_file = ca_file
        self._directory = directory
        self._run_id = run_id
        self._cluster = cluster
        self._made: dict[str, Path] = {}
        self._renewing: list[asyncio.Task[None]] = []

    def username(self, user: str) -> str:
        """What the API server calls the account."""
        return f"system:serviceaccount:{namespace_of(self._run_id)}:{account_name(user, self._run_id)}"

    async def identity(self, user: str) -> Path:
        """A kubeconfig (mode 0600) of the account, made on first use; the run's namespace must be there."""
        if user in self._made:
            return self._made[user]
        name = account_name(user, self._run_id)
        token_file = self._directory / f"{name}.token"
        async with await Api.connect(self._kubeconfig) as api:
            body = {
                "apiVersion": ACCOUNT.api_version,
                "kind": ACCOUNT.kind,
                "metadata": {"name": name, "labels": {RUN_LABEL: self._run_id}},
                "automountServiceAccountToken": False,
            }
            try:
                await api.create(ACCOUNT, body, namespace_of(self._run_id))
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    raise
            seconds = await self._write_token(api, name, token_file)
        path = self._directory / f"{name}.kubeconfig"
        files = ClientFiles(self._server, self._ca_file, None, None, token_file)
        write_kubeconfig(path, files, name, self._cluster)
        self._renewing.append(asyncio.create_task(self._renew(name, token_file, seconds), name=f"token-{name}"))
        self._made[user] = path
        return path

    async def close(self) -> None:
        """Stop renewing; again is harmless."""
        for task in self._renewing:
            task.cancel()
        await asyncio.gather(*self._renewing, return_exceptions=True)

    async def _renew(self, name: str, token_file: Path, seconds: float) -> None:
        while True:
            await asyncio.sleep(max(seconds * _RENEW_SHARE, _LEAST_WAIT_S))
            try:
                async with await Api.connect(self._kubeconfig) as api:
                    seconds = await self._write_token(api, name, token_file)
            except HarnessError:
                seconds = _AFTER_FAILURE_S  # it is still valid for a while; a server that is gone is told by `Health`

    async def _write_token(self, api: Api, name: str, token_file: Path) -> float:
        """Ask for a token and keep it; returns for how many seconds it is valid."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _ASKED_S},
        }
        path = ACCOUNT.path(namespace_of(self._run_id), name, "token")
        status = (await api.transport.request_json("POST", path, body=body)).get("status") or {}
        token, until = status.get("token"), status.get("expirationTimestamp")
        if not token or not until:
            raise EnvironmentFault("the cluster gave no token for a ServiceAccount", place=name)
        write_private(token_file, str(token).encode())
        return (datetime.fromisoformat(until) - datetime.now(UTC)).total_seconds()
