"""The command line. Switches bear the same names here, in scenarios and in docs/scenarios.md."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.controllers.runtime.command_line import Parser, add_choice, address, count, share, switch
from harness.controllers.runtime.following import PAGE_SIZE
from harness.controllers.runtime.status import StatusPatch

DEFAULT_THRESHOLD = 1000
DEFAULT_WORKERS = 10
ALERT_AT, DEGRADE_AT = 0.7, 0.85
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class SecretsMode(StrEnum):
    """How a Secret is found: in a cache of all, by a read of its own, or in a cache until that holds too many."""

    CACHE = "cache"
    GET = "get"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Options:
    """What one process was told."""

    kubeconfig: Path
    namespace: str | None
    metrics: tuple[str, int] | None
    webhook: tuple[str, int] | None
    """Where admission reviews are answered; None: nowhere."""
    webhook_cert_dir: Path | None
    workers: int
    secrets: SecretsMode
    threshold: int
    selector: str
    namespaces: tuple[str, ...]
    """Of which Secrets are kept; empty: of all that the process is about."""
    page_size: int
    degrade_under_pressure: bool
    alert_at: float
    degrade_at: float
    status_patch: StatusPatch = StatusPatch.CHANGED


def parse(arguments: Sequence[str]) -> Options:
    """The options in `arguments`. Ends the process with one line and status 2 where they are wrong."""
    parser = _build()
    known = parser.parse_all(arguments)
    if (known.webhook is None) != (known.webhook_cert_dir is None):
        parser.error("a webhook needs both --webhook-bind-address and --webhook-cert-dir")
    if known.alert_at >= known.degrade_at:
        parser.error(f"alert_at {known.alert_at:g} must be below degrade_at {known.degrade_at:g}")
    if known.secrets is SecretsMode.GET and (known.selector or known.namespaces):
        parser.error("secrets=get keeps no Secrets, of which selector and namespaces would choose some")
    return Options(**vars(known))


def _build() -> Parser:
    parser = Parser("kserve", __doc__)
    add = parser.add_argument
    add("--workers", type=count, default=DEFAULT_WORKERS, metavar="N",
        help=f"reconciles at the same time (default: {DEFAULT_WORKERS})")  # fmt: skip
    add_choice(parser, "--secrets", "secrets", SecretsMode, SecretsMode.CACHE,
               "keep all Secrets in memory, read one by name, or keep them until they are more than threshold")  # fmt: skip
    add("--threshold", type=count, default=DEFAULT_THRESHOLD, metavar="N",
        help=f"of secrets=auto: with more Secrets than this they are read by name (default: {DEFAULT_THRESHOLD})")  # fmt: skip
    add("--selector", default="", metavar="LABELS", help="keep only Secrets with these labels; others are read by name")
    add("--namespaces", type=_namespaces, default=(), metavar="NS,NS",
        help="keep only Secrets of these namespaces; others are read by name (default: all)")  # fmt: skip
    add("--page_size", type=count, default=PAGE_SIZE, metavar="N",
        help=f"objects for each list request (default: {PAGE_SIZE})")  # fmt: skip
    add("--degrade_under_pressure", type=switch, default=False, metavar="on|off",
        help="drop the cache when the memory cgroup nears its limit (default: off)")  # fmt: skip
    add("--alert_at", type=share, default=ALERT_AT, metavar="SHARE",
        help=f"of the memory limit: from here on the alert metric is 1 (default: {ALERT_AT:g})")  # fmt: skip
    add("--degrade_at", type=share, default=DEGRADE_AT, metavar="SHARE",
        help=f"of the memory limit: here degrade_under_pressure drops the cache (default: {DEGRADE_AT:g})")  # fmt: skip
    add("--webhook-bind-address", dest="webhook", type=address, metavar="HOST:PORT",
        help="answer admission reviews there, with TLS (default: not)")  # fmt: skip
    add("--webhook-cert-dir", dest="webhook_cert_dir", type=Path, metavar="DIR", help="holds tls.crt and tls.key")
    return parser


def _namespaces(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if not _NAME.fullmatch(name):
            raise argparse.ArgumentTypeError(f"{name!r} is not the name of a namespace")
    return names
