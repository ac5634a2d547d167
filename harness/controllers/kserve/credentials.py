"""What an InferenceService opens its storage with: the Secrets it names, by itself or by its ServiceAccount."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from harness.controllers.kserve import names
from harness.controllers.kserve.access import Secrets
from harness.controllers.runtime.client import Api, ApiError
from harness.controllers.runtime.resources import Object, name_of


@dataclass(slots=True)
class Credentials:
    """What was found. `digest` is over names and contents: two ways to the same Secrets give the same."""

    found: int = 0
    missing: list[str] = field(default_factory=list)
    digest: str = ""


class Finder:
    """Looks up the credentials of an InferenceService. ServiceAccounts are read by name: they are few, and small."""

    def __init__(self, api: Api, secrets: Secrets) -> None:
        self._api, self._secrets = api, secrets

    async def find(self, service: Object, namespace: str) -> Credentials:
        """All that it names. Raises as `Api.get`."""
        result, digest = Credentials(), hashlib.sha256()
        for name in await self._named(service, namespace, result):
            secret = await self._secrets.get(namespace, name)
            if secret is None:
                result.missing.append(f"Secret {name}")
                continue
            result.found += 1
            digest.update(name_of(secret).encode())
            for key, value in sorted((secret.get("data") or {}).items()):
                digest.update(f"\0{key}\0{value}".encode())
        result.digest = digest.hexdigest()[:16] if result.found else ""
        return result

    async def _named(self, service: Object, namespace: str, result: Credentials) -> list[str]:
        if secret := names.secret_of(service):
            return [secret]
        account = names.account_of(service)
        if not account:
            return []
        try:
            found = await self._api.get(names.ACCOUNTS.path(namespace, account))
        except ApiError as error:
            if error.status != 404:
                raise
            result.missing.append(f"ServiceAccount {account}")
            return []
        return [str(item["name"]) for item in found.get("secrets") or () if item.get("name")]
