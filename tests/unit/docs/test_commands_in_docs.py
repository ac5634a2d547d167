"""No example names a verb, option, scenario, parameter or make target that is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.cli import examples
from harness.cli.main import VERBS, root
from tests import doc_commands
from tests.doc_commands import Line

_PAGES = doc_commands.pages()


@pytest.mark.parametrize("page", _PAGES, ids=doc_commands.name)
def test_the_real_parser_takes_every_line_of_a_page(page: Path) -> None:
    found = [line for line in doc_commands.lines(page) if "harness " in line.text]
    told = {f"{line.place}: {line.text}": doc_commands.wrong(line) for line in found}
    assert {line: why for line, why in told.items() if why is not None} == {}


@pytest.mark.parametrize("page", _PAGES, ids=doc_commands.name)
def test_every_make_target_of_a_page_is_there(page: Path) -> None:
    named = {line.text.split()[1] for line in doc_commands.lines(page) if line.text.startswith("make ")}
    assert named - doc_commands.targets() == set()


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_has_an_example_that_is_true(verb: str) -> None:
    command: Any = root([verb]).commands[verb]
    for names, each in examples.walk(command, verb):
        lines = (each.epilog or "").splitlines()[2:]
        assert lines, f"harness {' '.join(names)} --help has no example"
        for line in lines:
            assert "harness" in line
            for call in doc_commands.calls(line.strip()):
                assert doc_commands.wrong(Line(f"{verb} --help", call, strict=True)) is None


def test_a_page_without_commands_would_be_noticed() -> None:
    counts = {doc_commands.name(page): len(list(doc_commands.lines(page))) for page in _PAGES}
    assert counts["README.md"] > 20
    assert sum(counts.values()) > 150


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("harness run smok", "unknown scenario 'smok'"),
        ("harness run smoke --set sercets=3", "sercets"),
        ("harness run smoke --profile quik", "no profile 'quik'"),
        ("harness run smoke --arm none", "no arm 'none'"),
        ("harness run smoke --frobnicate", "--frobnicate"),
        ("harness frobnicate", "no verb"),
        ("harness sweep label-flip --vary wokers=1,2", "wokers"),
        ("harness history latency.flip.p98", "unknown metric"),
        ("harness gate label-flip --baseline scenario --candidate set:wokers=2", "wokers"),
    ],
)
def test_what_is_not_true_is_told(text: str, says: str) -> None:
    assert says in (doc_commands.wrong(Line("here", text, strict=True)) or "")


def test_notation_is_held_to_its_options_and_a_line_of_a_shell_to_its_calls() -> None:
    assert doc_commands.wrong(Line("here", "harness run NAME|FILE [--set k=v] [--profle P]", strict=False)) is not None
    assert doc_commands.wrong(Line("here", "harness run NAME|FILE [--set k=v] [--profile P]", strict=False)) is None
    line = "A=1 .venv/bin/harness show a --json | head; harness export b -o 'x;y' && ls # harness no"
    assert list(doc_commands.calls(line)) == [".venv/bin/harness show a --json", "harness export b -o 'x;y'"]
