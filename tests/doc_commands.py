"""The `harness …` and `make …` lines of README, docs and `--help`, and whether the real parser takes them.

A line in a fenced block, or an example of `--help`, is a command: it must parse, and what it names must be there. In running
text `harness show RUN` or `harness run … --memray launch` is notation: verb and options must be there.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.exceptions import TyperException

from harness.cli.main import VERBS, root
from harness.cli.run_options import parse_sets
from harness.core import metrics
from harness.experiment import specs
from harness.scenario.load import load
from harness.scenario.resolve import resolve

REPOSITORY = Path(__file__).resolve().parents[1]
_INLINE = re.compile(r"`((?:\.venv/bin/)?harness [^`]+|make [a-z][^`]*)`")
_NOTATION = re.compile(r"…|\[-|\[[A-Z]|[\w>]\|[\w<]| \| |\.\.\.")
_VARIABLE = re.compile(r"[A-Z_]+=\S*")
_ANSWERS = ("console", "text", "json", "xml")
"""Languages of fenced blocks whose lines are commands only behind `$ `, or never."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that calls the harness: where it stands, and whether it must be a whole command."""

    place: str
    text: str
    strict: bool


def pages() -> list[Path]:
    """README and docs. What has been and what is open (CHANGELOG, roadmap) may name what is no longer or not yet there."""
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def name(page: Path) -> str:
    """What a page is called: README.md, docs/README.md."""
    return str(page.relative_to(REPOSITORY)) if page.is_relative_to(REPOSITORY) else page.name


def lines(page: Path, text: str | None = None) -> Iterator[Line]:
    """The calls of a page."""
    fence: str | None = None
    whole = page.read_text() if text is None else text
    for number, line in enumerate(_continued(whole.splitlines()), 1):
        place = f"{name(page)}:{number}"
        if line.lstrip().startswith("```"):
            fence = line.strip().removeprefix("```").strip() if fence is None else None
        elif fence is None:
            for found in _INLINE.finditer(line):
                yield Line(place, found[1].replace(r"\|", "|"), strict=False)
        elif fence.split(" ")[0] not in _ANSWERS or line.lstrip().startswith("$ "):
            for call in calls(line.strip().removeprefix("$ ")):
                yield Line(place, call, strict=not _NOTATION.search(_unquoted(call)))


def _continued(written: list[str]) -> Iterator[str]:
    """Each line; one that ends with a backslash has what follows it, and empty lines stand for that."""
    kept, rest = "", 0
    for line in written:
        if line.endswith("\\"):
            kept, rest = f"{kept}{line[:-1].rstrip()} ", rest + 1
            continue
        yield f"{kept}{line.lstrip()}" if kept else line
        yield from [""] * rest
        kept, rest = "", 0


def calls(line: str) -> Iterator[str]:
    """The calls of `harness` in a line of a shell, without what stands around them."""
    for part in _parts(line):
        words = part.split()
        while words and _VARIABLE.fullmatch(words[0]):
            words.pop(0)
        if words and (words[0] == "harness" or words[0].endswith("/harness")) and len(words) > 1:
            yield part[part.index(words[0]) :].strip()


def _parts(line: str) -> Iterator[str]:
    """A line at its `&&`, `;`, `|`, `$(` and `)` outside quotes, without its comment."""
    part, quote = "", ""
    for character in line:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "#" and (not part or part[-1] == " "):
            break
        if (not quote and character in "&;()") or (not quote and character == "|" and part.endswith(" ")):
            yield part.removesuffix("$")
            part = ""
        else:
            part += character
    yield part
    yield from re.findall(r'"\$\(([^)]*)\)', line)


def _unquoted(text: str) -> str:
    return re.sub(r"'[^']*'|\"[^\"]*\"", "Q", text)


def wrong(line: Line) -> str | None:
    """Why a line is not true, None where it is."""
    words = shlex.split(line.text) if line.strict else _unquoted(line.text).split()
    if words[1].startswith("-") or (words[1].isupper() and not line.strict):
        return _mentioned(words[1:])  # `harness --install-completion` would do it
    if words[1] not in VERBS:
        return f"there is no verb {words[1]!r}"
    return _parsed(words[1:]) if line.strict else _mentioned(words[1:])


def _parsed(words: list[str]) -> str | None:
    words = [word for word in words if word not in ("--help", "-h")]
    try:
        context: Any = root(words[:1]).make_context("harness", list(words))
        seen: dict[str, Any] = {}
        while True:
            rest = [*context._protected_args, *context.args]
            if not rest or not hasattr(context.command, "resolve_command"):
                break
            called, command, rest = context.command.resolve_command(context, rest)
            context = command.make_context(called, rest, parent=context)
            seen |= context.params
        _check(words[0], seen)
    except TyperException as error:
        return error.format_message()
    except (typer.Exit, SystemExit):
        return None
    except Exception as error:  # noqa: BLE001 # a sentence for whoever wrote the line, whatever is wrong with it
        return f"{type(error).__name__}: {error}"
    return None


def _check(verb: str, given: dict[str, Any]) -> None:
    """What the options name must be there. Raises the harness's own errors."""
    if metric := given.get("metric") or given.get("by") if verb in ("history", "sweep") else None:
        metrics.resolve(metric)
    named = given.get("scenario") if isinstance(given.get("scenario"), str) else None
    for each in [named] if named else given.get("scenario") or []:
        if each.isupper() or "/" in each or each.endswith(".yaml"):
            continue  # the reader's own file
        file = load(each)
        profile = given.get("profile")
        profile = None if profile == "quick" and verb in ("capacity", "sweep", "leak") else profile
        sets = parse_sets(given.get("sets") or [])
        for pair in given.get("vary") or []:
            key, _, values = pair.partition("=")
            sets[key] = values.split(",")[0]
        arms = given.get("arm") or [None]
        for arm in [arms] if isinstance(arms, str) else arms:
            resolve(file, profile=profile, sets=sets, arm=arm)
        for pair in given.get("primary") or []:
            metrics.resolve(pair.partition("=")[0])
        for side in ("baseline", "candidate"):
            if (spec := given.get(side)) and specs.is_spec(spec) and not spec.isupper():
                meant = specs.parse(spec, file, side=side, build=given.get("build"), subject=given.get("subject"))
                specs.checked(meant, file, profile=profile, sets=sets, side=side)


def _mentioned(words: list[str]) -> str | None:
    """Verb and options of notation, whatever stands between them."""
    words = [word for word in re.split(r"[\s\[\]|=]+", " ".join(words)) if word]
    command: Any = root(words[:1]).commands[words[0]] if words[0] in VERBS else root(())
    known = _options(command)
    for word in words[1:]:
        below = getattr(command, "commands", {})
        if word in below:
            command = below[word]
            known |= _options(command)
    if hasattr(command, "commands") and "show" in command.commands:  # `harness history METRIC` is `show`
        known |= _options(command.commands["show"])
    unknown = [word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word) and word not in known]
    return f"`harness {words[0]}` has no {', '.join(unknown)}" if unknown else None


def _options(command: Any) -> set[str]:
    found = {option for item in command.params for option in (*item.opts, *item.secondary_opts)}
    return found | {"--help", "-h"}


def targets() -> set[str]:
    """The targets of the Makefile."""
    text = (REPOSITORY / "Makefile").read_text()
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", text, re.MULTILINE))
