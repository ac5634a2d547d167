"""Grafana's HTTP API for annotations, as far as the harness uses it. The token is in a header and nowhere else."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from harness.core.errors import EnvironmentFault, UsageError
from harness.report.annotations import Annotation

TIMEOUT_S = 10.0
_MOST = 5000
_LAST_WORDS = 200


class Grafana:
    """One Grafana. Errors are EnvironmentFaults. Redirects are not followed, so that no other gets the token."""

    def __init__(self, url: str, token: str) -> None:
        """Raises UsageError where `url` is none, or holds a password."""
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # of the port
            valid = False
        if not valid:
            raise UsageError("this is no address of a Grafana", remedy="write it as http://127.0.0.1:3000")
        if parts.username or parts.password:
            raise UsageError(
                "the address of the Grafana holds a user or password", remedy="use a service account's token instead"
            )
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._parts = parts
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    def put(self, wanted: Sequence[Annotation], tags: Sequence[str], dashboard: str) -> tuple[int, int]:
        """Have exactly these annotations with `tags` on the dashboard: how many were added, and how many taken away."""
        there = self.found(tags)
        known = {(each["time"], each.get("timeEnd") or each["time"], each["text"]): each["id"] for each in there}
        missing = [each for each in wanted if known.pop((each.start_ms, each.end_ms, each.text), None) is None]
        for each in missing:
            body = {
                "dashboardUID": dashboard,
                "time": each.start_ms,
                "timeEnd": each.end_ms,
                "tags": list(each.tags),
                "text": each.text,
            }
            self._ask("POST", "/api/annotations", body)
        for number in known.values():
            self._ask("DELETE", f"/api/annotations/{number}")
        return len(missing), len(known)

    def found(self, tags: Sequence[str]) -> list[dict[str, Any]]:
        """Annotations that have all these tags."""
        query = urlencode([("type", "annotation"), ("limit", _MOST), *(("tags", tag) for tag in tags)])
        answer = self._ask("GET", f"/api/annotations?{query}")
        try:
            return [
                {key: each[key] for key in ("id", "time", "text")} | {"timeEnd": each.get("timeEnd")} for each in answer
            ]
        except (TypeError, KeyError) as error:
            raise EnvironmentFault("it does not answer as a Grafana does", place=self.url) from error

    def _ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 # JSON
        headers = dict(self._headers) | ({} if body is None else {"Content-Type": "application/json"})
        connection = self._connect()
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, f"{self._parts.path.rstrip('/')}{path}", data, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise EnvironmentFault(
                f"no answer: {str(error) or type(error).__name__}", place=self.url, remedy="is it up?"
            ) from error
        finally:
            connection.close()
        if answer.status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
            raise EnvironmentFault(
                f"it refuses the token (status {answer.status})",
                place=self.url,
                remedy="give one that may write annotations",
            )
        if answer.status >= http.client.MULTIPLE_CHOICES:
            words = " ".join(text.decode(errors="replace").split())[:_LAST_WORDS]
            raise EnvironmentFault(
                f"it answered {method} {path.partition('?')[0]} with status {answer.status}: {words}", place=self.url
            )
        try:
            return json.loads(text)
        except ValueError as error:
            raise EnvironmentFault("it does not answer as a Grafana does", place=self.url) from error

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=ssl.create_default_context())
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
