"""What the Kubernetes API answers when it refuses, as errors for people."""

from __future__ import annotations

import json

from harness.core.errors import RunFault


class ApiError(RunFault):
    """The API server refused a request.

    `status` is the HTTP status, `reason` the API's machine-readable word (`NotFound`, `Forbidden`, `Expired`), `message`
    the server's own sentence.
    """

    def __init__(self, status: int, reason: str, message: str, *, place: str | None = None) -> None:
        self.status = status
        self.reason = reason
        self.message = message
        super().__init__(f"the API server answered {status} {reason}: {message}", place=place)

    @classmethod
    def from_body(cls, status: int, body: bytes, place: str) -> ApiError:
        """Read a `Status` object, or whatever else came as the body of a refusal."""
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if isinstance(answer, dict) and answer.get("kind") == "Status":
            return cls(status, str(answer.get("reason") or "Unknown"), str(answer.get("message") or ""), place=place)
        text = body[:300].decode("utf-8", "replace").strip()
        return cls(status, "Unknown", text or "no explanation given", place=place)


class ApiUnreachable(RunFault):
    """No answer came: connection refused or reset, TLS failure, deadline passed."""
