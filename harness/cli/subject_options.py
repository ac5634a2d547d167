"""What the command line may say of a subject of its own, and what that needs in the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from harness.core.errors import UsageError
from harness.scenario.fields import Url
from harness.scenario.model import Subject
from harness.scenario.problems import from_pydantic

Env = Annotated[
    list[str] | None,
    typer.Option(
        "--subject-env", metavar="NAME=VALUE", help="Set a variable of the subject's environment; repeatable."
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        "--subject-metrics",
        metavar="URL",
        help="Where --subject serves Prometheus metrics, such as http://127.0.0.1:{port:metrics}/metrics.",
    ),
]
Pprof = Annotated[
    str | None,
    typer.Option(
        "--subject-pprof",
        metavar="URL",
        help="Where --subject serves Go's pprof, such as http://127.0.0.1:6060/debug/pprof.",
    ),
]
ReadyAt = Annotated[
    str | None,
    typer.Option("--subject-ready", metavar="URL", help="The address that answers with 2xx once --subject is ready."),
]
Webhooks = Annotated[
    list[Path] | None,
    typer.Option(
        "--subject-webhooks",
        metavar="PATH",
        help="A file of webhook configurations: the API server calls --subject at {port:webhook}; repeatable.",
    ),
]
Apply = Annotated[
    list[Path] | None,
    typer.Option(
        "--apply",
        metavar="PATH",
        help="A manifest, or a folder of them, that --subject needs, such as its CRDs; repeatable.",
    ),
]


def environment(pairs: list[str]) -> dict[str, str]:
    """`--subject-env NAME=VALUE`, repeated, by the rules of a scenario's `env`. Raises UsageError."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            place = f"--subject-env {name}"  # a value alone may be a secret: it is not told
            raise UsageError("not NAME=VALUE", place=place, remedy="write it as --subject-env GOGC=50")
        try:
            Subject(command=["x"], env={name: value})
        except ValidationError as error:
            raise UsageError(from_pydantic(error)[0].cause, place=f"--subject-env {name}") from None
        found[name] = value
    return found


def address(url: str | None, option: str) -> str | None:
    """An address as a scenario takes it. Raises UsageError."""
    if url is None:
        return None
    try:
        return TypeAdapter(Url).validate_python(url)
    except ValidationError as error:
        raise UsageError(from_pydantic(error)[0].cause, place=option) from None
