"""Keeping secrets out of records and messages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

HIDDEN = "REDACTED"

_WORDS = (
    "token|password|passwd|passphrase|pwd|secret|credentials?|api[-_]?key|access[-_]?key|secret[-_]?key|private[-_]?key"
)
# A name that ends in such a word: `--auth-token`, `GITHUB_TOKEN`, `clientSecret`. Not `--token-file` (a path), and not
# `cache.Secret`, where Secret is a kind of Kubernetes.
_NAME = rf"(?:[A-Za-z0-9_.-]*[_-])?(?:{_WORDS})|[a-z0-9]+(?:Token|Password|Secret|ApiKey)"
_KEY = re.compile(_NAME, re.IGNORECASE)
_FLAG = re.compile(rf"--?(?:{_NAME})", re.IGNORECASE)
_ASSIGNED = re.compile(rf"(?P<name>(?<![\w.-])-{{0,2}}(?:{_NAME})[=:]\s*)(?P<value>[^\s,;&\"'}}]+)", re.IGNORECASE)
_FLAG_INSIDE = re.compile(rf"(?P<name>(?<!\S)--?(?:{_NAME})\s+)(?P<value>[^\s-]\S*)", re.IGNORECASE)
_QUOTED = re.compile(rf"(?P<name>[\"'](?:{_NAME})[\"']\s*:\s*)(?P<value>\"[^\"]*\"|'[^']*')", re.IGNORECASE)
_USERINFO = re.compile(r"(?P<name>\b[a-z][a-z0-9+.-]*://[^/\s:@]*:)(?P<value>[^/\s@]+)(?=@)", re.IGNORECASE)
_BEARER = re.compile(r"(?P<name>\b(?:bearer|basic)\s+)(?P<value>[A-Za-z0-9._~+/=-]{8,})", re.IGNORECASE)
_JWT = re.compile(r"(?P<name>)(?P<value>\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*)")


def redact_text(text: str) -> str:
    """`text` with the values of secret-looking assignments, URLs and tokens hidden."""
    for pattern in (_JWT, _BEARER, _USERINFO, _QUOTED, _FLAG_INSIDE, _ASSIGNED):
        text = pattern.sub(lambda match: match["name"] + HIDDEN, text)
    return text


def redact_document(value: Any) -> Any:  # noqa: ANN401 # of whatever a scenario holds
    """A piece of a scenario with secrets hidden: values of secret-looking keys, and what `redact` finds in texts and commands."""
    match value:
        case str():
            return redact_text(value)
        case list() if value and all(isinstance(item, str) for item in value):
            return redact(value)
        case list():
            return [redact_document(item) for item in value]
        case dict():
            return {key: HIDDEN if _is_secret(key, item) else redact_document(item) for key, item in value.items()}
    return value


def _is_secret(key: object, value: object) -> bool:
    """Whether the key says that its value is one. `Secret` is a kind of Kubernetes, and `cache.Secret` an option about it."""
    name = str(key).rpartition(".")[2]
    return isinstance(value, str) and bool(value) and name != "Secret" and _KEY.fullmatch(name) is not None


def redact(command: Sequence[str]) -> list[str]:
    """A command with secrets hidden: `--token=x`, `--password x`, `API_KEY=x`, `https://user:x@host`, bearer tokens."""
    shown: list[str] = []
    for position, word in enumerate(command):
        before = command[position - 1] if position else ""
        if _FLAG.fullmatch(before) and not word.startswith("--"):
            shown.append(HIDDEN)
        else:
            shown.append(redact_text(word))
    return shown
