"""Reference pages are made from their source, and are in step with it."""

from __future__ import annotations

import re

from harness.cli import page
from harness.core.errors import MEANINGS, ExitCode
from tests.doc_commands import REPOSITORY

_DOCS = REPOSITORY / "docs"


def test_the_page_of_the_command_line_is_in_step() -> None:
    assert (_DOCS / "cli.md").read_text() == page.cli(), "run `make docs`"


def test_the_page_of_the_exit_codes_is_in_step() -> None:
    assert (_DOCS / "exit-codes.md").read_text() == page.exit_codes(), "run `make docs`"


def test_every_exit_code_has_a_meaning_and_stands_in_readme_and_architecture() -> None:
    assert set(MEANINGS) == set(ExitCode)
    codes = {str(int(code)) for code in ExitCode}
    for file in (REPOSITORY / "README.md", _DOCS / "architecture.md"):
        (line,) = [
            line for line in file.read_text().splitlines() if re.search(r"\b0 passed\b.*\b130 interrupted\b", line)
        ]
        assert codes <= set(re.findall(r"\d+", line)), file.name


def test_every_option_of_every_verb_is_on_the_page() -> None:
    text = (_DOCS / "cli.md").read_text()
    for option in ("--on-demand", "--memray-pairs", "--vary", "--i-know-what-i-am-doing"):
        assert f"`{option}" in text
