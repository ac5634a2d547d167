"""What several verbs ask of the runs that they make, and where records are: options that are the same in all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completing

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
