"""Checks as annotations of GitHub Actions: workflow commands, one line each."""

from __future__ import annotations

from collections.abc import Iterator

from harness.record.checks import Checks

_MOST = 10  # of each level; GitHub shows that many of a step


def lines(checks: Checks) -> list[str]:
    """Lines such as `::error title=…::…`; errors first, and no more of a level than GitHub shows."""
    errors, warnings = list(_errors(checks)), list(_warnings(checks))
    return [*errors[:_MOST], *warnings[:_MOST]]


def _errors(checks: Checks) -> Iterator[str]:
    if checks.alert is not None:
        yield command("error", "no conclusion, night after night", checks.alert)
    for suite in checks.suites:
        for check in suite.checks:
            if check.state == "failed":
                yield command("error", f"{suite.title}: {check.name}", "\n".join([check.message, *check.details]))
        if suite.blame and suite.exit_code == 1:
            yield command("error", f"{suite.title}: what grew", "\n".join(suite.blame))


def _warnings(checks: Checks) -> Iterator[str]:
    for suite in checks.suites:
        for check in suite.checks:
            if check.state in ("unclear", "acknowledged"):
                yield command("warning", f"{suite.title}: {check.name} {check.state}", check.message)
    for warning in checks.warnings:
        yield command("warning", "acknowledgements", warning)


def command(level: str, title: str, message: str) -> str:
    """One workflow command. What would end it, or begin another, is escaped as the runner's toolkit does."""
    name = _data(title).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={name}::{_data(message)}"


def _data(text: str) -> str:
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return "".join(c if c.isprintable() else " " for c in escaped)
