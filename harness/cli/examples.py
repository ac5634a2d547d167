"""The examples in the help of a verb: lines of its docstring that begin with `Example: `.

They are kept out of the text around them, so that `--help` and docs/cli.md show each as a line that can be copied.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from typer.core import TyperCommand, TyperGroup

_EXAMPLE = re.compile(r"^Example: (?P<line>.+)$", re.MULTILINE)
_AS_IT_IS = "\b\n"  # the help of typer and click folds a paragraph into lines unless it begins so

Command = TyperCommand | TyperGroup


def split(text: str | None) -> tuple[str, list[str]]:
    """The text of a help without its examples, and these."""
    clean = inspect.cleandoc(text or "")
    examples = [found["line"].strip() for found in _EXAMPLE.finditer(clean)]
    return re.sub(r"\n{3,}", "\n\n", _EXAMPLE.sub("", clean)).strip(), examples


def walk(command: Command, *names: str) -> Iterator[tuple[tuple[str, ...], Command]]:
    """A command and all below it, each with the words that call it."""
    yield names, command
    for name, below in getattr(command, "commands", {}).items():
        yield from walk(below, *names, name)


def lay_out(command: Command) -> None:
    """Move the examples of a command, and of all below it, behind their options, a line each."""
    for _, each in walk(command):
        text, examples = split(each.help)
        if examples:
            each.help = text
            title = "Example:" if len(examples) == 1 else "Examples:"
            each.epilog = "\n".join([f"{_AS_IT_IS}{title}", *(f"  {line}" for line in examples)])
