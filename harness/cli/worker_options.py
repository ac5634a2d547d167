"""The options of `run` about load workers that come from other machines."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

import typer

from harness.core import units
from harness.core.errors import UsageError
from harness.experiment.options import ExternalWorkers

External = Annotated[
    int | None,
    typer.Option(
        "--workers-external",
        min=1,
        max=256,
        metavar="N",
        help="Load workers that come by themselves, to --workers-listen.",
    ),
]
Listen = Annotated[
    str | None,
    typer.Option(
        "--workers-listen", metavar="IP:PORT", help="Where they come in, and at the next port; 127.0.0.1:5556."
    ),
]
Secret = Annotated[
    Path | None, typer.Option("--workers-secret", metavar="FILE", help="The secret that they and the master know.")
]
Wait = Annotated[str | None, typer.Option("--workers-wait", metavar="TIME", help="How long to wait for them all; 2m.")]
Account = Annotated[
    str | None,
    typer.Option("--workers-account", metavar="NAMESPACE/NAME", help="Their ServiceAccount: it may load for the run."),
]
_MOST_PORT = 65534
_LONGEST_S = 3600.0


def parse(
    wanted: int | None, listen: str | None, secret: Path | None, wait: str | None, account: str | None
) -> ExternalWorkers | None:
    """What the options say together; None where no such workers are wanted. Raises UsageError."""
    if wanted is None:
        for option, value in (
            ("--workers-listen", listen), ("--workers-secret", secret), ("--workers-wait", wait), ("--workers-account", account)
        ):  # fmt: skip
            if value is not None:
                raise UsageError(f"{option} is about load workers of other machines", remedy="add --workers-external N")
        return None
    if secret is None:
        remedy = "make one with `openssl rand -hex 32`, and name its file with --workers-secret"
        raise UsageError(
            "load workers of other machines prove that they know a secret, and there is none", remedy=remedy
        )
    host, port = _address(listen or "127.0.0.1:5556")
    return ExternalWorkers(host, port, secret, _seconds(wait or "2m"), None if account is None else _account(account))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    try:
        address = str(ipaddress.IPv4Address(host))
        if not port.isascii() or not port.isdecimal() or not 0 < int(port) <= _MOST_PORT:
            raise ValueError
    except ValueError:
        raise UsageError(
            f"--workers-listen {text!r} is not IPv4:PORT, with a port below {_MOST_PORT + 1}", remedy="as 0.0.0.0:5556"
        ) from None
    return address, int(port)


def _seconds(text: str) -> float:
    try:
        seconds = units.parse(text, "seconds")
        if not 0 < seconds <= _LONGEST_S:
            raise ValueError("it must be above 0 s, and an hour at most")
    except ValueError as error:
        raise UsageError(f"--workers-wait: {error}", remedy="write it as --workers-wait 2m") from None
    return seconds


def _account(text: str) -> tuple[str, str]:
    namespace, _, name = text.partition("/")
    if not namespace or not name or "/" in name or ":" in text:
        raise UsageError(f"--workers-account {text!r} is not NAMESPACE/NAME", remedy="as harness/load-worker")
    return namespace, name
