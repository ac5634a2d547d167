"""The `harness` command. A verb is imported when it is called, so that `harness show` need not carry a cluster."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, cast

import typer
from rich.console import Console
from typer.core import TyperGroup
from typer.exceptions import TyperException

import harness
from harness.cli import completing, examples
from harness.core import paths
from harness.core.errors import ExitCode, HarnessError, one_line

VERBS = (
    *(
        "run",
        "show",
        "report",
        "compare",
        "gate",
        "nightly",
        "claims",
        "capacity",
        "sweep",
        "leak",
        "coldstart",
        "overhead",
    ),
    *("history", "export", "serve", "annotate", "dashboards", "profile", "scenarios", "cluster", "doctor", "clean"),
)
"""Each is a module of this package with a function, or an `app` of its own, of the same name."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"harness {harness.__version__}")
        raise typer.Exit


def _root(
    context: typer.Context,
    _shown: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def command_line(verbs: Sequence[str]) -> typer.Typer:
    """The command line with these verbs."""
    app = typer.Typer(
        name="harness",
        help="Memory profiling and load tests for Kubernetes controllers, against a real control plane.",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_root)
    for verb in verbs:
        module = importlib.import_module(f"harness.cli.{verb}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=verb)
        else:
            app.command(verb)(getattr(module, verb))
    return app


def root(verbs: Sequence[str] = VERBS) -> TyperGroup:
    """The command line with these verbs as it parses words and shows help."""
    command = _parser(command_line(verbs))
    examples.lay_out(command)
    return command


def _completed(words: Sequence[str]) -> TyperGroup:
    """The command line for a shell that completes `words`: with the verb they name, else with the names of all, none imported."""
    called = [verb for verb in words[1:2] if verb in VERBS]
    if called:
        return root(called)
    app = command_line(())
    for verb in VERBS:
        app.command(verb)(_nothing)
    return _parser(app)


def _parser(app: typer.Typer) -> TyperGroup:
    return cast("TyperGroup", typer.main.get_command(app))  # an app with a callback is a group


def _nothing() -> None:
    """In place of a verb of which only the name is asked."""


def main() -> None:
    """Entry point: every ending has its documented exit code, and only a bug of ours has a traceback, kept in a file."""
    try:
        words = completing.words()
        called = [verb for verb in sys.argv[1:2] if verb in VERBS]
        command = root(called or VERBS) if words is None else _completed(words)
        code = command.main(prog_name="harness", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except TyperException as error:
        message = error.format_message().rstrip(".")
        if message.startswith("Usage:"):  # a group called without a verb: its help is the answer
            sys.stderr.write(message + "\n")
            sys.exit(ExitCode.USAGE)
        verb = [] if message.startswith("No such command") else sys.argv[1:2]
        _say(f"harness: {message}; see {' '.join(['harness', *verb, '--help'])}")
        sys.exit(ExitCode.USAGE)
    except HarnessError as error:
        _say(f"harness: {error}")
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _say("harness: interrupted")
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # the reader of our output went away (`harness show | head`): nothing to tell anybody
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.PASSED)
    except Exception as error:  # noqa: BLE001 # the last place: a bug must not show a traceback to a user
        _say(f"harness: a bug of ours: {type(error).__name__}: {error}; the traceback is in {_keep_traceback()}")
        sys.exit(ExitCode.BUG)


def _say(line: str) -> None:
    Console(stderr=True, soft_wrap=True).print(one_line(line), style="red", markup=False, highlight=False)


def _keep_traceback() -> str:
    directory = paths.state_dir() / "bugs"
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = directory / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.txt"
        path.write_text(traceback.format_exc())
    except OSError as error:
        return f"no file ({error.strerror})"
    return str(path)


if __name__ == "__main__":
    main()
