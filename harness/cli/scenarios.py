"""`harness scenarios`: what comes with the harness, what can be set in each, and one made from a real cluster."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.cli.progress import TerminalObserver
from harness.core.errors import EnvironmentFault, UsageError
from harness.core.handles import Progress
from harness.core.inventory import Inventory
from harness.scenario import synthetic
from harness.scenario.fields import ParamValue
from harness.scenario.file import ScenarioFile
from harness.scenario.load import load, shipped
from harness.scenario.placeholders import written

_WIDTH = 110
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


app = typer.Typer(name="scenarios")


@app.callback(invoke_without_command=True)
def scenarios(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the shipped scenarios: what each shows, its arms and profiles, and the parameters for `--set`.

    Example: harness scenarios --json
    """
    if context.invoked_subcommand is not None:
        return
    files = [load(name) for name in shipped()]
    if as_json:
        typer.echo(json.dumps({"scenarios": [_facts(file) for file in files]}, indent=1))
        return
    typer.echo("\n\n".join(_paragraph(file) for file in files))
    typer.echo("\nRun one: harness run NAME [--profile PROFILE] [--set PARAMETER=VALUE]")


@app.command("from-cluster")
def from_cluster(
    context: Annotated[str, typer.Option("--context", help="The context to read; there is no default.")],
    kubeconfig: Annotated[
        Path | None, typer.Option("--kubeconfig", help="Where it is; default KUBECONFIG, else ~/.kube/config.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Only what this namespace holds; default all.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file to write; default stdout.")] = None,
    name: Annotated[str, typer.Option("--name", help="The scenario's name.")] = "from-cluster",
    certain: Annotated[
        bool, typer.Option("--i-know-what-i-am-doing", help="Read a context that looks like production.")
    ] = False,
) -> None:
    """Write a scenario with a synthetic load equal to what a cluster holds: counts, sizes, labels; never a value.

    Example: harness scenarios from-cluster --context staging -o staging.yaml && harness run ./staging.yaml
    """
    from harness.cluster import guard  # a list of scenarios need not carry a cluster

    source = kubeconfig or guard.default_kubeconfig()
    guard.check(source, context, allowed=certain)
    _check_output(output, name)
    with TerminalObserver(Console(stderr=True)) as progress:
        inventory = asyncio.run(_take(source, context, namespace, progress))
    text = synthetic.write(inventory, name=name)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(f"cannot be written: {error.strerror}", place=str(output)) from error
    load(output.absolute())  # what we wrote must be what we read
    typer.echo(f"{output}: run it with `harness run {output if output.parts[1:] else f'./{output}'}`", err=True)


def _check_output(output: Path | None, name: str) -> None:
    """What is wrong with the answer's place is said before a cluster is asked."""
    if not _SLUG.fullmatch(name):
        raise UsageError(f"{name!r} is not a scenario's name", remedy="up to 40 lower-case letters, digits and '-'")
    if output is not None and output.exists():
        raise UsageError("it exists already", place=str(output), remedy="remove it, or name another file")
    if output is not None and not output.parent.is_dir():
        raise UsageError("its directory does not exist", place=str(output))


async def _take(kubeconfig: Path, context: str, namespace: str | None, progress: Progress) -> Inventory:
    from harness.kube import inventory
    from harness.kube.api import Api

    async with await Api.connect(kubeconfig, context) as api:
        return await inventory.take(api, namespace, progress)


def _facts(file: ScenarioFile) -> dict[str, object]:
    return {
        "name": file.name,
        "summary": file.summary,
        "path": str(file.path),
        "arms": file.arms,
        "profiles": {name: dict(values) for name, values in file.head.profiles.items()},
        "params": dict(file.params),
    }


def _paragraph(file: ScenarioFile) -> str:
    lines = [file.name, *_wrapped("", file.summary)]
    if file.arms:
        lines += _wrapped("arms: ", ", ".join(file.arms))
    if file.profiles:
        profiles = (f"{name} ({_settings(values)})" for name, values in file.head.profiles.items())
        lines += _wrapped("profiles: ", ", ".join(profiles))
    if file.params:
        lines += _wrapped("parameters: ", _settings(file.head.params))
    return "\n".join(lines)


def _wrapped(title: str, text: str) -> list[str]:
    indent = "  "
    return textwrap.wrap(
        title + text, _WIDTH, initial_indent=indent, subsequent_indent=indent * 2, break_long_words=False
    )


def _settings(values: dict[str, ParamValue]) -> str:
    return ", ".join(f"{name}={_written(value)}" for name, value in values.items())


def _written(value: ParamValue) -> str:
    """As it would stand behind `--set`."""
    if isinstance(value, list):
        return f"[{','.join(_written(item) for item in value)}]"
    if value is None:
        return "null"
    return written(value)
