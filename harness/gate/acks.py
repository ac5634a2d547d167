"""`acks.yaml`: regressions that are known, each of one metric in one scenario, with a reason and an end.

An acknowledgement turns a failed check into a warning until the end of its day; from then on it is told as expired. It
never covers a run that is invalid or broke down: nobody knows what such a run hides.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, PlainValidator, ValidationError

from harness.core import metrics
from harness.core.errors import ScenarioError, UsageError
from harness.scenario.document import MAX_BYTES, parse_document
from harness.scenario.fields import Model, Text, fault, named
from harness.scenario.file import first_of
from harness.scenario.hints import shown, suggest
from harness.scenario.problems import Problem, from_pydantic

MOST_DAYS = 366
"""How far ahead an acknowledgement may end: what is to be so for ever belongs into the scenario."""
_DOCS = "docs/ci.md describes it"
_SCENARIO_NAME = named("a scenario's name (lower-case letters, digits, '-')", r"[a-z0-9][a-z0-9-]{0,39}")


def _metric(value: object) -> str:
    if not isinstance(value, str):
        raise fault(f"expected a metric such as memory.heap.settled, got {shown(value)}")
    if any(character in value for character in "*?["):
        raise fault(f"{shown(value)} is a wildcard; name each metric on its own")
    try:
        metrics.resolve(value)
    except ValueError as error:
        raise fault(str(error)) from None
    return value


def _until(value: object) -> dt.date:
    if isinstance(value, str):
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            pass
    raise fault(f"expected a day such as 2026-12-31, got {shown(value)}")


def _scenario(value: object) -> str:
    if isinstance(value, str) and any(character in value for character in "*?["):
        raise fault(f"{shown(value)} is a wildcard; name each scenario on its own")
    return _SCENARIO_NAME(value)


class Ack(Model):
    """One known regression."""

    metric: Annotated[str, PlainValidator(_metric)]
    scenario: Annotated[str, PlainValidator(_scenario)]
    until: Annotated[dt.date, PlainValidator(_until)]
    reason: Text

    @property
    def words(self) -> str:
        """What stands beside the check."""
        return f"acknowledged until {self.until}: {self.reason}"


class _File(Model):
    acks: Annotated[list[Ack], Field(max_length=1000)]


@dataclass(frozen=True, slots=True)
class Acks:
    """The acknowledgements of a file on one day."""

    current: Sequence[Ack] = ()
    expired: Sequence[Ack] = ()
    source: str = ""

    def of(self, metric: str, scenario: str) -> Ack | None:
        """The one for a metric in a scenario."""
        return next((ack for ack in self.current if (ack.metric, ack.scenario) == (metric, scenario)), None)

    def warnings(self, scenarios: Iterable[str]) -> list[str]:
        """What is to be told: the expired ones of these scenarios, and names that look mistyped."""
        known = set(scenarios)
        told = [
            f"{self.source}: the acknowledgement of {ack.metric} in {ack.scenario} expired on {ack.until}: {ack.reason}"
            for ack in self.expired
            if ack.scenario in known
        ]
        for ack in self.current:
            hint = suggest(ack.scenario, known, title="")
            if ack.scenario not in known and hint.startswith("did you mean"):
                told.append(f"{self.source}: no scenario {ack.scenario!r} was judged; {hint}")
        return told


NONE = Acks()


def load(path: Path, today: dt.date) -> Acks:
    """Read a file of acknowledgements. Raises UsageError with line and column for the first thing wrong with it."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise UsageError(error.strerror or str(error), place=str(path)) from error
    except UnicodeDecodeError as error:
        raise UsageError("it is not UTF-8 text", place=str(path)) from error
    if len(text) > MAX_BYTES:
        raise UsageError(f"longer than {MAX_BYTES // 1024} KiB", place=str(path))
    try:
        document = parse_document(text, str(path))
    except ScenarioError as error:
        cause = "expected the one key acks" if error.cause.startswith("a scenario is") else error.cause
        remedy = _DOCS if "scenario" in (error.remedy or "") else error.remedy
        raise UsageError(cause, place=error.place, remedy=remedy) from None
    try:
        found = _File.model_validate(document.data).acks
    except ValidationError as error:
        problems = from_pydantic(error)
        raise first_of(document, [replace(item, remedy=_docs(item.remedy)) for item in problems]) from None
    if problems := list(_problems(found, today)):
        raise first_of(document, problems)
    return Acks(
        [ack for ack in found if ack.until >= today], [ack for ack in found if ack.until < today], source=str(path)
    )


def _docs(remedy: str | None) -> str | None:
    """Our page in place of that of scenarios."""
    return _DOCS if remedy and remedy.startswith("docs/") else remedy


def _problems(acks: Sequence[Ack], today: dt.date) -> Iterator[Problem]:
    seen: dict[tuple[str, str], int] = {}
    for index, ack in enumerate(acks):
        key = (ack.metric, ack.scenario)
        if key in seen:
            yield Problem(("acks", index), f"{ack.metric} in {ack.scenario} is acknowledged twice", "keep one of them")
        seen[key] = index
        if (ack.until - today).days > MOST_DAYS:
            cause = f"{ack.until} is more than {MOST_DAYS} days ahead"
            yield Problem(("acks", index, "until"), cause, "what is so for good belongs into the scenario")
