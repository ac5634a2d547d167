"""Checks as Markdown, for a comment on a pull request or the summary of a CI job."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.record.checks import Check, Checks, CheckSuite

_MOST_ROWS = 60  # of a table; a summary holds 1 MiB on GitHub, a comment 64 KiB
_MARK = {
    "passed": "ok", "failed": "**FAILED**", "unclear": "**unclear**", "acknowledged": "acknowledged", "not judged": "not judged",
}  # fmt: skip
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@$:-])")


def render(checks: Checks) -> str:
    """The text. Names and messages are escaped: they cannot mention, link, embed or end a table's row."""
    return "\n".join(_lines(checks)).rstrip() + "\n"


def _lines(checks: Checks) -> Iterator[str]:
    if checks.alert is not None:
        yield from (f"> **Alert:** {plain(checks.alert)}", "")
    for suite in checks.suites:
        yield from _suite(suite)
    if checks.warnings:
        yield from ("### Acknowledgements", "")
        yield from (f"- {plain(warning)}" for warning in checks.warnings)


def _suite(suite: CheckSuite) -> Iterator[str]:
    yield from (f"### {plain(suite.title)}: {plain(suite.verdict)}", "")
    yield from _table([["check", "", "what was found"], *(_row(check) for check in suite.checks)], escaped=True)
    if suite.blame:
        yield from ("", "What grew:", "")
        yield from (f"- {plain(line)}" for line in suite.blame)
    if suite.warnings:
        yield from ("", "Warnings:", "")
        yield from (f"- {plain(line)}" for line in suite.warnings)
    if len(suite.table) > 1:
        yield from ("", "<details><summary>Figures</summary>", "")
        yield from _table(suite.table[: _MOST_ROWS + 1])
        if len(suite.table) > _MOST_ROWS + 1:
            yield from ("", f"{len(suite.table) - 1 - _MOST_ROWS} more are in the record.")
        yield from ("", "</details>")
    facts = " · ".join(f"{name} {plain(value)}" for name, value in suite.facts.items())
    yield from ("", f"<sub>{plain(suite.id)}{' · ' if facts else ''}{facts}</sub>", "")


def _row(check: Check) -> list[str]:
    return [plain(check.name), _MARK[check.state], plain(check.message)]


def _table(rows: Sequence[Sequence[str]], *, escaped: bool = False) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield f"| {' | '.join(row if escaped else map(plain, row))} |"
        if number == 0:
            yield f"|{'---|' * len(row)}"


def plain(text: str) -> str:
    """Text as Markdown shows it literally, on one line."""
    one_line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", one_line)
