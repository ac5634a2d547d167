"""The reference pages of the command line: `python -m harness.cli.page > docs/cli.md`, and with the word `exit-codes` the other.

Both are made from what the parser itself knows: a verb, an option or a code that is not there cannot stand in them.
"""

from __future__ import annotations

import re
import sys

import typer

from harness.cli import examples
from harness.cli.examples import Command
from harness.cli.main import VERBS, root
from harness.core.errors import MEANINGS

PAGES = {
    "annotate": "dashboards.md", "capacity": "capacity.md", "claims": "claims.md", "cluster": "providers.md",
    "coldstart": "coldstart.md", "compare": "gate.md", "dashboards": "dashboards.md", "export": "record.md",
    "gate": "gate.md", "history": "history.md", "leak": "leak.md", "nightly": "nightly.md", "overhead": "overhead.md",
    "profile": "profiling.md", "report": "record.md", "run": "scenarios.md", "scenarios": "scenarios.md", "serve": "serve.md",
    "show": "record.md", "sweep": "sweep.md",
}  # fmt: skip
"""Where each verb is explained."""

_CODES = re.compile(r"\bexits?\b|\bexit code\b|(^|\. )[013]:? [a-z]", re.IGNORECASE)
_NOTES = re.compile(r"\s*\[(?P<parts>[^\[\]]*)\]$")
_SENTENCE = re.compile(r"(?<=\.)\s+(?=[A-Z0-9`])")


def cli() -> str:
    """docs/cli.md: every verb with its arguments, options and examples."""
    command = root()
    lines = [
        "# The command line",
        "",
        "Every verb of `harness` with its options, made from the parser itself (this page is written by `make docs`).",
        "`harness VERB --help` says the same. [Exit codes](exit-codes.md) · [completion in your shell](howto.md#complete-at-tab)",
        "",
        " · ".join(f"[{verb}](#harness-{verb})" for verb in VERBS),
    ]
    for names, each in examples.walk(command, "harness"):
        if len(names) > 1:
            lines += ["", *_section(names, each)]
    return "\n".join(lines) + "\n"


def exit_codes() -> str:
    """docs/exit-codes.md: what each code means, and what the verbs say of theirs."""
    lines = [
        "# Exit codes",
        "",
        "Of every verb, and stable (this page is written by `make docs`, from the code). CI systems may branch on them: 1 is the",
        "controller's fault, 2 that of whoever wrote the command, 3 and 4 the circumstances', 70 ours.",
        "",
        "| code | means | then |",
        "|---|---|---|",
        *(f"| {int(code)} | {meaning} | {remedy or '-'} |" for code, (meaning, remedy) in MEANINGS.items()),
        "",
        "## What verbs say of theirs",
        "",
        "| verb | in its own words |",
        "|---|---|",
    ]
    for names, each in examples.walk(root(), "harness"):
        text, _ = examples.split(each.help)
        said = [sentence for sentence in _SENTENCE.split(" ".join(text.split())) if _CODES.search(sentence)]
        if said:
            lines.append(f"| [`{' '.join(names)}`](cli.md#{'-'.join(names)}) | {_cell(' '.join(said))} |")
    return "\n".join(lines) + "\n"


def _section(names: tuple[str, ...], command: Command) -> list[str]:
    context = typer.Context(command, info_name=" ".join(names))
    verb, page = names[1], PAGES.get(names[1])
    usage = " ".join([*names, *command.collect_usage_pieces(context)])
    lines = [f"{'#' * len(names)} {' '.join(names)}", "", (command.help or "").strip(), "", "```", usage, "```"]
    if command.epilog:
        shown = [line.strip() for line in command.epilog.splitlines()[2:]]
        lines += ["", f"{'Example' if len(shown) == 1 else 'Examples'}:", "```", *shown, "```"]
    rows = [_row(parameter, context) for parameter in command.params if not getattr(parameter, "hidden", False)]
    if rows:
        lines += ["", "| name | default | meaning |", "|---|---|---|", *rows]
    if page is not None and len(names) == 2:
        lines += ["", f"Explained in [{page}]({page})." if verb != page.removesuffix(".md") else f"[Its page]({page})."]
    return lines


def _row(parameter: object, context: typer.Context) -> str:
    """One argument or option as a row, in the words of `--help`; typer's classes for these are not public."""
    name, meaning = getattr(parameter, "get_help_record")(context)  # noqa: B009 # see above
    default = ""
    if notes := _NOTES.search(meaning):
        parts = notes["parts"].split("; ")
        default = next((part.removeprefix("default: ") for part in parts if part.startswith("default: ")), "")
        rest = "; ".join(part for part in parts if not part.startswith("default: "))
        meaning = meaning[: notes.start()] + (f" [{rest}]" if rest else "")
    return f"| `{_cell(name)}` | {f'`{_cell(default)}`' if default else ''} | {_cell(meaning)} |"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    sys.stdout.write(exit_codes() if sys.argv[1:] == ["exit-codes"] else cli())
