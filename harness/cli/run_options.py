"""What several verbs ask of the runs that they make, and where records are: options that are the same in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completing
from harness.core import units
from harness.core.errors import UsageError

Scenario = Annotated[
    str | None,
    typer.Argument(
        metavar="SCENARIO", autocompletion=completing.scenarios, help="A shipped scenario's name or a file."
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", autocompletion=completing.settings, help="Set a parameter; repeatable."),
]
Profile = Annotated[
    str | None,
    typer.Option("--profile", autocompletion=completing.profiles, help="A profile of the scenario, such as quick."),
]
Arm = Annotated[
    str | None,
    typer.Option("--arm", autocompletion=completing.arms, help="Which arm, where the scenario has some."),
]
Subject = Annotated[str | None, typer.Option("--subject", help="A command to test instead of the scenario's subject.")]
QuietFor = Annotated[str, typer.Option("--quiet-for", help="How long nothing may move before it is at rest.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Order and seeds of the runs are drawn from it.")]
Resume = Annotated[
    str | None,
    typer.Option(
        "--resume",
        autocompletion=completing.experiments,
        metavar="EXPERIMENT",
        help="Take an interrupted one up again.",
    ),
]
Out = Annotated[Path | None, typer.Option("--out", help="Where run records go; default runs/.")]
Records = Annotated[Path | None, typer.Option("--out", help="Where run records are; default runs/.")]

_LEAST_QUIET_S = 0.1
_MOST_QUIET_S = 60.0
_LEAST_BUDGET_S = 60.0  # no pair takes less


def parse_sets(pairs: Sequence[str] | None) -> dict[str, str]:
    """`--set KEY=VALUE`, repeated, as a mapping. Raises UsageError."""
    sets: dict[str, str] = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {pair!r} is not KEY=VALUE", remedy="write it as --set secrets=500")
        sets[key] = value
    return sets


def seconds(option: str, text: str, example: str) -> float:
    """The time that an option says. Raises UsageError, with an example of one that is right."""
    try:
        return units.parse(text, "seconds")
    except ValueError as error:
        raise UsageError(f"{option}: {error}", remedy=f"write it as {option} {example}") from None


def budget_seconds(text: str, example: str) -> float:
    """`--budget` in seconds. Raises UsageError."""
    found = seconds("--budget", text, example)
    if not found >= _LEAST_BUDGET_S:
        raise UsageError(f"--budget {text} is less than a minute", remedy=f"write it as --budget {example}")
    return found


def quiet_seconds(text: str) -> float:
    """`--quiet-for` in seconds. Raises UsageError."""
    found = seconds("--quiet-for", text, "500ms")
    if not _LEAST_QUIET_S <= found <= _MOST_QUIET_S:
        raise UsageError(f"--quiet-for {text} is not from 100ms to 1m", remedy="write it as --quiet-for 500ms")
    return found
