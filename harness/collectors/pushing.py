"""Sends profiles to a Pyroscope server: Connect's `Push` in JSON, as the server's own clients do in protobuf."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import aiohttp

from harness.core.errors import RunFault

_TIMEOUT = aiohttp.ClientTimeout(total=10)
_LONGEST = 1000
"""Characters of a label's value: a server refuses more than about 2,000."""
_LAST_WORDS = 200


def tag(name: str) -> str:
    """A label name that Pyroscope shows: letters, digits and underscores."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def without_secrets(url: str) -> str:
    """The address without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


class Pusher:
    """One server; `push` may be called at any time."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._headers: dict[str, str] = {}
        if parts.username:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._base = without_secrets(url).rstrip("/")

    async def push(self, name: str, labels: Mapping[str, str], raw: bytes) -> None:
        """Send one profile as the series `name`. Raises RunFault with the server's words where it is not taken."""
        pairs = {"__name__": name, **{tag(key): value[:_LONGEST] for key, value in labels.items() if value}}
        series = {
            "labels": [{"name": key, "value": value} for key, value in pairs.items()],
            "samples": [{"rawProfile": base64.b64encode(raw).decode(), "ID": str(uuid.uuid4())}],
        }
        url = f"{self._base}/push.v1.PusherService/Push"
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False, headers=self._headers) as session,
                session.post(url, json={"series": [series]}) as answer,
            ):
                if answer.status >= 400:
                    words = " ".join((await answer.text(errors="replace")).split())[:_LAST_WORDS]
                    raise RunFault(
                        f"the server refused a profile with status {answer.status}: {words}", place=self._base
                    )
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise RunFault(
                f"a profile could not be sent: {str(error) or type(error).__name__}", place=self._base
            ) from error


def page(url: str, profile_type: str, labels: Mapping[str, str], from_s: int, until_s: int) -> str:
    """Address of the server's own page for these profiles."""
    wanted = ", ".join(f'{tag(key)}="{value}"' for key, value in labels.items() if value)
    query = quote(f"{profile_type}{{{wanted}}}", safe="")
    return f"{without_secrets(url).rstrip('/')}/?query={query}&from={from_s}&until={until_s}"
